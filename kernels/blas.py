"""NumPy's matrix products, kept from slowing down the kernels that follow them.

NumPy's wheels come with OpenBLAS, which has threads of its own. Once woken for a product they spin, ready for the
next one, for about 80 ms before they sleep; and a GAN's step has a small product every 50 ms, between convolutions that
want all cores. So a product that one thread finishes soon is left to one thread, and nothing wakes the others. OpenBLAS
has a function for it, which is looked up in the library that NumPy has loaded. Where it is missing (NumPy built with
another BLAS), products run as NumPy runs them.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from typing import Any

import numpy as np

# Multiply-adds from which a product gets all threads: about 15 ms of one core's time.
LARGE = 1 << 30

# OpenBLAS as NumPy's wheels name it, and as distributions do, with integers of 64 and of 32 bits.
_NAMES = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")

# The number of threads is the whole library's: one thread at a time may change it, or it might not be put back.
_lock = threading.Lock()


@functools.cache
def openblas() -> tuple[Any, Any] | None:
    """Return OpenBLAS's functions that set and get its number of threads, or None."""
    try:
        library = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return None
    for name in _NAMES:
        try:
            return getattr(library, name.format("set_num_threads")), getattr(library, name.format("get_num_threads"))
        except AttributeError:
            continue
    return None


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return ``a @ b``, for NumPy arrays or others with that operator."""
    if a.ndim > 1 < b.ndim and a.shape[-1] == b.shape[-2] == 1:
        return a * b  # sums of one term: BLAS takes ten times as long, and this is the gradient below a single logit
    threads = openblas() if isinstance(a, np.ndarray) and a.size * b.shape[-1] < LARGE else None
    if threads is None:
        return a @ b
    set_threads, get_threads = threads
    with _lock:
        before = get_threads()
        if before == 1:
            return a @ b
        set_threads(1)
        try:
            return a @ b
        finally:
            set_threads(before)
