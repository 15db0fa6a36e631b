"""Rung 5: a matrix product, with a tile of sums in registers.

Write the weights as a matrix A, a row for each output channel, and what the nine taps see of all channels as a matrix
B, a column for each pixel. Then y = A @ B. A matrix product can use everything twice: with 12 x 2 registers of sums,
a register of pixels serves 12 output channels and a weight 32 pixels, so 24 multiply-adds need 14 loads instead of
24, and 24 sums do not wait for each other. From here on the arithmetic decides, as long as the operands are near.

They are not. B of one image is 576 x 1024 numbers, 2.4 MB; it is written to memory and read from it again, once for
each 12 output channels. The second cache holds 1 MB.
"""

from __future__ import annotations

import numpy as np

from scratchgan.kernels.simd import PITCH

from .loops import compiled, with_border
from .product import multiply, panels, suits

THREADS = False


@compiled
def pack(x, n, first_row, rows, width, k, depth, b):
    """b[r, pixel] = what tap and channel k + r see, for the pixels of ``rows`` rows of image n."""
    for r in range(depth):
        c, tap = (k + r) // 9, (k + r) % 9
        u, v = tap // 3, tap % 3
        for i in range(rows):
            source = x[n, c, first_row + i + u]
            for j in range(width):
                b[r * rows * width + i * width + j] = source[j + v]


@compiled
def _convolve(x, a, depths, y, rows, height, width, b):
    pixels = height * width
    for n in range(x.shape[0]):
        k = 0
        for depth in depths:
            pack(x, n, 0, height, width, k, depth, b[k * pixels :])
            k += depth
        k = 0
        for part in range(len(depths)):
            multiply(
                y, n * rows * pixels, pixels, a, part * rows * PITCH, rows, b[k * pixels :], pixels, pixels,
                depths[part], part == 0,
            )  # fmt: skip
            k += depths[part]


def convolve(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """As in rung 1, for whole tiles."""
    suits(x, w)
    n, channels, height, width = x.shape
    a, depths = panels(w.reshape(len(w), -1))
    y = np.empty((n, len(w), height, width), x.dtype)
    columns = np.empty(9 * channels * height * width, x.dtype)
    _convolve(with_border(x), a, np.array(depths), y.reshape(-1), len(w), height, width, columns)
    return y
