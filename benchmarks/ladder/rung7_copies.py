"""Rung 7: copy in whole registers.

Rung 6 spends half of its time on packing. Counted in instructions that is not to be expected: a block of B takes
9,216 registers to copy and 147,456 multiply-adds of a register, of which each number of B serves 64 channels. But the
compiler does not know that rows are 32 long and do not overlap, so for each short row it asks whether they do, and
keeps a loop of single numbers for what may be left over. A copy of exactly two registers, said in LLVM's instructions
(`copy_run` in ``kernels/simd_runs.py``), has nothing to ask.

The lesson is the profiler's: once the loop that everybody looks at is fast, the time is in the loops around it.
"""

from __future__ import annotations

import numpy as np

from scratchgan.kernels.simd import MAX_DEPTH, PITCH
from scratchgan.kernels.simd_runs import copy_run

from .loops import compiled, with_border
from .product import multiply, panels, suits
from .rung6_blocks import PIXELS

THREADS = False


@compiled
def pack(x, plane, line, rows, width, k, depth, b):
    """As in rung 5; x is flat, and the first pixel that the block's first tap sees in channel c is c * plane."""
    tap, channel_at = k % 9, k // 9 * plane
    to = 0
    for _ in range(depth):
        source = channel_at + tap // 3 * line + tap % 3
        for _ in range(rows):
            copy_run(b, to, x, source, width)
            to += width
            source += line
        tap += 1
        if tap == 9:
            tap, channel_at = 0, channel_at + plane


@compiled
def block(x, a, depths, y, rows, height, width, b, n, first_row, count):
    """The outputs of ``count`` rows of one image; x has its border."""
    pixels, line = height * width, width + 2
    seen = x[n].reshape(-1)[first_row * line :]
    k = 0
    for part in range(len(depths)):
        pack(seen, (height + 2) * line, line, count, width, k, depths[part], b)
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
