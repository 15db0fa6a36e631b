"""upfirdn2d on the CPU, along rows of pixels, so that every inner loop runs over neighbours in memory.

A row of the output is made in two steps. The vertical filter adds up rows of x: one for each tap that meets a row and
not the zeros between rows. The horizontal filter then works on that line. For up 2, outputs 2q and 2q + 1 see other
taps, and for down 2 neighbouring outputs see pixels two apart. In general, with g the greatest common divisor of both,
there are U = up / g *phases* of outputs, each of which goes on by D = down / g pixels:

    y[q * U + r] = sum over t of  w_r[t] * line[start_r + t + q * D]

The line is sorted by position modulo D first, and the phases are interleaved at the end.
"""

import functools
import math

import numpy as np
from numba import prange

from ..jit import kernel


@functools.lru_cache(maxsize=256)
def _phases(wide, taps, up, down, before):
    """Return (starts, firsts, counts, low, length, step) of a horizontal filter.

    ``starts``: for each phase the line's pixel that its first tap meets; ``firsts``, ``counts``: which tap that is, and
    how many there are, ``up`` apart. ``low``: the pixel of x at which the line begins, perhaps a negative one, and
    ``step`` * ``length`` are the line's pixels.
    """
    common = math.gcd(up, down)
    count, step = up // common, down // common
    starts, firsts, counts = (np.zeros(count, np.int64) for _ in range(3))
    for r in range(count):
        at = r * down - before  # of the first output of the phase, among pixels and zeros
        starts[r] = -(-at // up)
        firsts[r] = starts[r] * up - at
        counts[r] = max(0, -(-(taps - firsts[r]) // up))
    low = int(starts.min())
    starts -= low
    across = -(-wide // count)
    length = across + int((starts + counts).max()) // step + 1
    return starts, firsts, counts, low, length, step


def upfirdn(x, y, column, rows, up, down, before):
    """Fill y (planes, outH, outW) from x (planes, H, W), as ``_filtered`` of the wrapper says."""
    starts, firsts, counts, low, length, step = _phases(y.shape[2], rows.shape[1], up[1], down[1], before[1])
    parts = min(-(-64 // y.shape[0]), -(-y.shape[1] // 8))  # few planes are cut into blocks of rows, for the threads
    block = -(-y.shape[1] // parts)
    separable = rows.shape[0] == 1
    _upfirdn(
        x, y, column, rows, separable, up[0], down[0], before[0], up[1], starts, firsts, counts, low, length, step, block
    )  # fmt: skip


@kernel
def _sorted(line, parts):
    """Write pixel j * D + d of the line to parts[d, j]."""
    step, length = parts.shape
    if step == 2:
        for j in range(length):
            parts[0, j] = line[2 * j]
            parts[1, j] = line[2 * j + 1]
    else:
        for d in range(step):
            for j in range(length):
                parts[d, j] = line[step * j + d]


@kernel
def _add_row(parts, taps, up, starts, firsts, counts, sums):
    """Add the horizontal filter ``taps`` of a sorted line to sums[r, q]."""
    step, across = parts.shape[0], sums.shape[1]
    for r in range(starts.size):
        total = sums[r]
        t = 0
        while t < counts[r]:
            at, tap = starts[r] + t, firsts[r] + t * up
            a, w = parts[at % step, at // step :], taps[tap]
            if t + 1 < counts[r]:
                b, v = parts[(at + 1) % step, (at + 1) // step :], taps[tap + up]
                for q in range(across):
                    total[q] += w * a[q] + v * b[q]
            else:
                for q in range(across):
                    total[q] += w * a[q]
            t += 2


@kernel
def _interleave(sums, row):
    phases, wide = sums.shape[0], row.size
    if phases == 1:
        for j in range(wide):
            row[j] = sums[0, j]
    elif phases == 2:
        for q in range(wide // 2):
            row[2 * q] = sums[0, q]
            row[2 * q + 1] = sums[1, q]
        if wide % 2:
            row[wide - 1] = sums[0, wide // 2]
    else:
        for r in range(min(phases, wide)):
            for q in range((wide - r - 1) // phases + 1):
                row[q * phases + r] = sums[r, q]


@kernel(parallel=True)
def _upfirdn(
    x, y, column, rows, separable, up, down, top, up_w, starts, firsts, counts, low, length, step, block
):  # fmt: skip
    planes, height, width = x.shape
    tall, wide = y.shape[1], y.shape[2]
    blocks, taps = (tall + block - 1) // block, column.size
    left, right = max(0, low), min(width, low + step * length)  # the pixels of x that the line holds
    for task in prange(planes * blocks):
        p, first = task // blocks, task % blocks * block
        line = np.zeros(step * length, x.dtype)  # what is outside the image stays 0
        parts = line.reshape(1, length) if step == 1 else np.zeros((step, length), x.dtype)
        sums = np.empty((starts.size, (wide + starts.size - 1) // starts.size), x.dtype)
        inside = line[left - low : max(left, right) - low]
        for row in range(first, min(first + block, tall)):
            at = row * down - top  # of tap 0, among rows and zeros
            begin, end = max(0, -(-at // up)), min(height, (at + taps - 1) // up + 1)
            sums[:] = 0
            if separable:
                inside[:] = 0
                i = begin
                while i < end:
                    w, a = column[i * up - at], x[p, i, left:]
                    if i + 1 < end:
                        v, b = column[(i + 1) * up - at], x[p, i + 1, left:]
                        for j in range(inside.size):
                            inside[j] += w * a[j] + v * b[j]
                    else:
                        for j in range(inside.size):
                            inside[j] += w * a[j]
                    i += 2
                if begin < end:
                    if step > 1:
                        _sorted(line, parts)
                    _add_row(parts, rows[0], up_w, starts, firsts, counts, sums)
            else:
                for i in range(begin, end):
                    a = x[p, i, left:]
                    for j in range(inside.size):
                        inside[j] = a[j]
                    if step > 1:
                        _sorted(line, parts)
                    _add_row(parts, rows[i * up - at], up_w, starts, firsts, counts, sums)
            _interleave(sums, y[p, row])
