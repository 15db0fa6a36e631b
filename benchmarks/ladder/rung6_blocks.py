"""Rung 6: a piece of the matrix at a time, made, used and overwritten in the cache.

The columns are made for at most 256 pixels and 256 values of k: 256 KB, which stays in the second cache while all
output channels use it, and is then overwritten. B never exists as a whole, and this is called an implicit matrix
product. The twelve rows of A that a tile needs (12 KB) stay in the first cache for all pixels of the block.

    registers      12 x 2 sums, for the whole of k
    first cache    12 rows of A                           12 KB of 32
    second cache   B: 256 pixels x 256 k                  256 KB of 1 MB
    memory         images, once; outputs, once for each 256 of k

(K. Goto and R. van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008.) On a machine whose third cache
is fast it gains little by itself: the columns are not far away in rung 5 either. What holds both back is how they are
made, which is the next rung. But two cores share the third cache, and each has a second one of its own.
"""

from __future__ import annotations

import numpy as np

from scratchgan.kernels.simd import MAX_DEPTH, PITCH

from .loops import compiled, with_border
from .product import multiply, panels, suits
from .rung5_tile import pack

THREADS = False
#: Pixels of a block, at most, if a row is not longer.
PIXELS = 256


@compiled
def block(x, a, depths, y, rows, height, width, b, n, first_row, count):
    """The outputs of ``count`` rows of one image."""
    pixels = height * width
    k = 0
    for part in range(len(depths)):
        pack(x, n, first_row, count, width, k, depths[part], b)
        multiply(
            y, n * rows * pixels + first_row * width, pixels, a, part * rows * PITCH, rows, b, count * width,
            count * width, depths[part], part == 0,
        )  # fmt: skip
        k += depths[part]


@compiled
def _convolve(x, a, depths, y, rows, height, width, b, block_rows):
    for n in range(x.shape[0]):
        for first_row in range(0, height, block_rows):
            block(x, a, depths, y, rows, height, width, b, n, first_row, min(block_rows, height - first_row))


def convolve(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """As in rung 1, for whole tiles."""
    suits(x, w)
    n, _, height, width = x.shape
    block_rows = max(1, PIXELS // width)
    a, depths = panels(w.reshape(len(w), -1))
    y = np.empty((n, len(w), height, width), x.dtype)
    b = np.empty(MAX_DEPTH * block_rows * width, x.dtype)
    _convolve(with_border(x), a, np.array(depths), y.reshape(-1), len(w), height, width, b, block_rows)
    return y
