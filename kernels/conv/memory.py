"""Working memory that is kept from call to call."""

from __future__ import annotations

import threading

import numpy as np

_memory = threading.local()

# What is larger is not in the third cache any more when the next operator reads it.
_STREAM_BYTES = 8 * 1024 * 1024


def workspace(count: int, dtype: np.dtype) -> np.ndarray:
    """Return uninitialised memory for ``count`` numbers. It is kept from call to call, one for each thread that
    calls: fresh memory costs a page fault for every 4 KiB, which is more than a small layer's arithmetic."""
    size = (count + 64) * dtype.itemsize  # whole registers are read behind the last number
    if getattr(_memory, "bytes", None) is None or _memory.bytes.size < size:
        _memory.bytes = np.empty(size, np.uint8)
    return _memory.bytes[:size].view(dtype)


def up(value: int, multiple: int) -> int:
    """Return the least multiple that is not below ``value``."""
    return -(-value // multiple) * multiple


def streamed(y: np.ndarray, pitch: int, lane: int) -> bool:
    """Say whether y is too large for the cache, and aligned so that whole registers of it can bypass that.

    Runs of y begin at multiples of ``pitch`` numbers; ``lane`` is how many a register holds.
    """
    return y.nbytes >= _STREAM_BYTES and pitch % lane == 0 and y.ctypes.data % (lane * y.itemsize) == 0
