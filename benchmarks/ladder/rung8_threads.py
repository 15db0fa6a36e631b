"""Rung 8: all cores, each with blocks of its own.

No two blocks write the same output, so nothing has to be agreed upon: a worker takes every second (third, ...) block
and has a B of its own, in its own core's cache. The order in which a sum is added up is that of one thread, so the
result has the same bits with any number of them.

The border is written by all of them too: what one thread does alone weighs twice as much now. What is lost beside
perfect doubling: the panels of A are made by one thread, the cores share the way to memory, and the slowest worker
decides.
"""

from __future__ import annotations

import numba
import numpy as np

from scratchgan.kernels.simd import MAX_DEPTH

from .loops import compiled_with_threads, with_border_by_threads
from .product import panels, suits
from .rung6_blocks import PIXELS
from .rung7_copies import block

THREADS = True


@compiled_with_threads
def _convolve(x, a, depths, y, rows, height, width, b, block_rows):
    workers = b.shape[0]
    blocks = -(-height // block_rows)
    for worker in numba.prange(workers):
        for task in range(worker, x.shape[0] * blocks, workers):
            first_row = task % blocks * block_rows
            count = min(block_rows, height - first_row)
            block(x, a, depths, y, rows, height, width, b[worker], task // blocks, first_row, count)


def convolve(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """As in rung 1, for whole tiles."""
    suits(x, w)
    n, _, height, width = x.shape
    block_rows = max(1, PIXELS // width)
    a, depths = panels(w.reshape(len(w), -1))
    y = np.empty((n, len(w), height, width), x.dtype)
    b = np.empty((numba.get_num_threads(), MAX_DEPTH * block_rows * width), x.dtype)
    _convolve(with_border_by_threads(x), a, np.array(depths), y.reshape(-1), len(w), height, width, b, block_rows)
    return y
