"""How the rungs are compiled, and the border that all but the first write once."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

# Sums may be reordered and fused, as a compiler for C does with -ffast-math; NaN and infinity stay as they are.
_options: dict[str, Any] = {"fastmath": {"contract", "reassoc"}, "error_model": "numpy"}
compiled: Any = numba.njit(**_options)
compiled_with_threads: Any = numba.njit(parallel=True, **_options)


def with_border(x: np.ndarray) -> np.ndarray:
    """Return N,C,H+2,W+2: the images with a border of zeros, one pixel wide."""
    n, channels, height, width = x.shape
    padded = np.zeros((n, channels, height + 2, width + 2), x.dtype)
    padded[:, :, 1:-1, 1:-1] = x
    return padded


@compiled_with_threads
def _write_border(x, padded):
    height, width = x.shape[2], x.shape[3]
    for n in numba.prange(x.shape[0]):
        for c in range(x.shape[1]):
            plane = padded[n, c]
            plane[0] = 0
            plane[height + 1] = 0
            for i in range(height):
                plane[i + 1, 0] = 0
                plane[i + 1, 1 : width + 1] = x[n, c, i]
                plane[i + 1, width + 1] = 0


def with_border_by_threads(x: np.ndarray) -> np.ndarray:
    """As `with_border`, each thread some of the images."""
    n, channels, height, width = x.shape
    padded = np.empty((n, channels, height + 2, width + 2), x.dtype)
    _write_border(x, padded)
    return padded
