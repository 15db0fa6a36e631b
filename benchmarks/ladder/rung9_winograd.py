"""Rung 9: fewer multiplications.

The multiply-adds run at the speed of the processor, so the only way on is to need fewer. Two outputs of a filter with
three taps take six multiplications, but four are enough (S. Winograd, Arithmetic Complexity of Computations, 1980; A.
Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, 2016):

    p0 = (x0 - x2) w0                      y0 = p0 + p1 + p2
    p1 = (x1 + x2) (w0 + w1 + w2) / 2      y1 = p1 - p2 - p3
    p2 = (x2 - x1) (w0 - w1 + w2) / 2
    p3 = (x1 - x3) w2

In rows and columns, that is 16 products for 2 x 2 outputs where the definition has 36. The sums of pixels serve all
output channels and the sums of weights all images, so they cost little; for each pair of channels there are only the
16 products. And these are again matrix products over the channels, sixteen of them, so `multiply` does the work.

Less than half of the multiplications, and yet hardly faster than rung 8: the sums of pixels and of products are plain
loops over short rows with every second pixel, and now take longer than the products do. The last rung is what it
takes to make them cheap. Since a FLOP is counted as the definition has it, a speed can pass the ceiling from here on.
"""

from __future__ import annotations

import numba
import numpy as np

from scratchgan.kernels.simd import MAX_DEPTH, PITCH

from .loops import compiled, compiled_with_threads, with_border_by_threads
from .product import STRIPE, multiply, panels, suits

THREADS = True
#: Sums of weights in one dimension: the products' right factors.
WEIGHTS = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
#: Tiles of 2 x 2 outputs that are worked on together.
TILES = 64
#: Numbers left free between two products. Without them all sixteen would lie a power of two apart, in the same few sets
#: of the first cache, and drive each other out.
APART = 16


@compiled
def _sums_of_pixels(x, n, tile_row, rows, across, v, tiles, line):
    """v[product, channel, tile]: the products' left factors for ``rows`` rows of tiles."""
    channels = x.shape[1]
    for c in range(channels):
        for r in range(rows):
            top = 2 * (tile_row + r)
            # Differences of rows, with even and odd columns apart, so that neighbouring tiles lie side by side.
            for j in range(across + 1):
                for odd in range(2):
                    x0, x1 = x[n, c, top, 2 * j + odd], x[n, c, top + 1, 2 * j + odd]
                    x2, x3 = x[n, c, top + 2, 2 * j + odd], x[n, c, top + 3, 2 * j + odd]
                    line[0, odd, j], line[1, odd, j] = x0 - x2, x1 + x2
                    line[2, odd, j], line[3, odd, j] = x2 - x1, x1 - x3
            for p in range(4):
                even, odd = line[p, 0], line[p, 1]
                step = channels * tiles + APART
                to = 4 * p * step + c * tiles + r * across
                for t in range(across):
                    v[to + t] = even[t] - even[t + 1]
                    v[to + step + t] = odd[t] + even[t + 1]
                    v[to + 2 * step + t] = even[t + 1] - odd[t]
                    v[to + 3 * step + t] = odd[t] - odd[t + 1]


@compiled
def _outputs(m, y, n, tile_row, rows, across, tiles):
    """Add the products up to 2 x 2 outputs for each tile."""
    channels = y.shape[1]
    step = channels * tiles + APART
    for o in range(channels):
        for r in range(rows):
            above, below = y[n, o, 2 * (tile_row + r)], y[n, o, 2 * (tile_row + r) + 1]
            p = o * tiles + r * across
            for t in range(across):
                # Rows first: q0 and q1 of each of the four columns of products.
                a0, b0, c0, d0 = m[p + t], m[p + 4 * step + t], m[p + 8 * step + t], m[p + 12 * step + t]
                a1, b1, c1, d1 = m[p + step + t], m[p + 5 * step + t], m[p + 9 * step + t], m[p + 13 * step + t]
                a2, b2, c2, d2 = m[p + 2 * step + t], m[p + 6 * step + t], m[p + 10 * step + t], m[p + 14 * step + t]
                a3, b3, c3, d3 = m[p + 3 * step + t], m[p + 7 * step + t], m[p + 11 * step + t], m[p + 15 * step + t]
                q0, q1, q2, q3 = a0 + b0 + c0, a1 + b1 + c1, a2 + b2 + c2, a3 + b3 + c3
                s0, s1, s2, s3 = b0 - c0 - d0, b1 - c1 - d1, b2 - c2 - d2, b3 - c3 - d3
                above[2 * t], above[2 * t + 1] = q0 + q1 + q2, q1 - q2 - q3
                below[2 * t], below[2 * t + 1] = s0 + s1 + s2, s1 - s2 - s3


@compiled_with_threads
def _convolve(x, a, y, v, m, lines, block_rows):
    channels, rows = x.shape[1], y.shape[1]
    down, across = y.shape[2] // 2, y.shape[3] // 2
    workers = v.shape[0]
    blocks = -(-down // block_rows)
    for worker in numba.prange(workers):
        for task in range(worker, x.shape[0] * blocks, workers):
            n, first = task // blocks, task % blocks * block_rows
            count = min(block_rows, down - first)
            tiles = block_rows * across
            _sums_of_pixels(x, n, first, count, across, v[worker], tiles, lines[worker])
            step = channels * tiles + APART
            for p in range(16):
                multiply(
                    m[worker], p * (rows * tiles + APART), tiles, a, p * rows * PITCH, rows, v[worker, p * step :],
                    tiles, tiles, channels, True,
                )  # fmt: skip
            _outputs(m[worker], y, n, first, count, across, tiles)


def convolve(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """As in rung 1, for whole tiles and at most MAX_DEPTH channels."""
    suits(x, w)
    n, channels, height, width = x.shape
    across = width // 2
    block_rows = max(1, TILES // across)
    if channels > MAX_DEPTH or height % 2 or block_rows * across % STRIPE:
        raise ValueError(f"this rung needs at most {MAX_DEPTH} channels and even sizes, got {x.shape}")
    sums = np.einsum("pu,ocuv,qv->pqoc", WEIGHTS, w, WEIGHTS)  # 4, 4, O, C
    a = np.concatenate([panels(matrix)[0] for matrix in sums.reshape(16, len(w), channels)])
    y = np.empty((n, len(w), height, width), x.dtype)
    workers, tiles = numba.get_num_threads(), block_rows * across
    v = np.empty((workers, 16 * (channels * tiles + APART)), x.dtype)
    m = np.empty((workers, 16 * (len(w) * tiles + APART)), x.dtype)
    lines = np.empty((workers, 4, 2, across + 1), x.dtype)
    _convolve(with_border_by_threads(x), a, y, v, m, lines, block_rows)
    return y
