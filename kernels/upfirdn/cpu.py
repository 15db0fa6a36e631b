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

from ..jit import kernel, unowned


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


# Runs of blocks of rows that threads take in turn; each has its own scratch memory.
_MOST_TASKS = 32


def upfirdn(x, y, column, rows, up, down, before):
    """Fill y (planes, outH, outW) from x (planes, H, W), as ``_filtered`` of the wrapper says."""
    starts, firsts, counts, low, length, step = _phases(y.shape[2], rows.shape[1], up[1], down[1], before[1])
    planes, tall, wide = y.shape
    parts = min(-(-_MOST_TASKS // planes), -(-tall // 8))  # few planes are cut into blocks of rows
    block = -(-tall // parts)
    tasks = min(_MOST_TASKS, planes * -(-tall // block))
    lines = np.zeros((tasks, step * length), x.dtype)  # what is outside the image stays 0
    by_position = lines.reshape(tasks, 1, length) if step == 1 else np.zeros((tasks, step, length), x.dtype)
    sums = np.empty((tasks, starts.size, -(-wide // starts.size)), x.dtype)
    vertical, horizontal = (up[0], down[0], before[0]), (up[1], starts, firsts, counts)
    _upfirdn(x, y, column, rows, vertical, horizontal, low, block, lines, by_position, sums)


@kernel
def _add(total, w, a):
    for j in range(total.size):
        total[j] += w * a[j]


@kernel
def _add_two(total, w, a, v, b):
    for j in range(total.size):
        total[j] += w * a[j] + v * b[j]


@kernel
def _vertical(total, image, left, column, up, at, begin, end):
    """Add rows ``begin`` to ``end`` of an image, from pixel ``left`` on, each times its tap."""
    for i in range(begin, end - 1, 2):
        tap = i * up - at
        _add_two(total, column[tap], image[i, left:], column[tap + up], image[i + 1, left:])
    if (end - begin) % 2:
        _add(total, column[(end - 1) * up - at], image[end - 1, left:])


@kernel
def _sorted(line, parts):
    """Write pixel j * D + d of the line to parts[d, j]; D = 1 is the line itself."""
    step, length = parts.shape
    if step == 2:
        for j in range(length):
            parts[0, j] = line[2 * j]
            parts[1, j] = line[2 * j + 1]
    elif step > 2:
        for d in range(step):
            for j in range(length):
                parts[d, j] = line[step * j + d]


@kernel
def _add_row(parts, taps, horizontal, sums):
    """Add the horizontal filter ``taps`` of a sorted line to sums[r, q]."""
    up, starts, firsts, counts = horizontal
    step = parts.shape[0]
    for r in range(starts.size):
        at, tap = starts[r], firsts[r]
        for _ in range(counts[r] // 2):
            a, b = parts[at % step, at // step :], parts[(at + 1) % step, (at + 1) // step :]
            _add_two(sums[r], taps[tap], a, taps[tap + up], b)
            at, tap = at + 2, tap + 2 * up
        if counts[r] % 2:
            _add(sums[r], taps[tap], parts[at % step, at // step :])


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
def _upfirdn(x, y, column, rows, vertical, horizontal, low, block, lines, by_position, sums):
    up, down, top = vertical
    planes, height, width = x.shape
    tall, taps = y.shape[1], column.size
    blocks = (tall + block - 1) // block
    left, right = max(0, low), min(width, low + lines.shape[1])  # the pixels of x that a line holds
    units, tasks = planes * blocks, lines.shape[0]
    for task in prange(tasks):
        source, target, down_taps, across_taps = unowned(x), unowned(y), unowned(column), unowned(rows)
        phases = horizontal[0], unowned(horizontal[1]), unowned(horizontal[2]), unowned(horizontal[3])
        line, parts, total = unowned(lines)[task], unowned(by_position)[task], unowned(sums)[task]
        inside = line[left - low : max(left, right) - low]
        for unit in range(units * task // tasks, units * (task + 1) // tasks):
            p, first = unit // blocks, unit % blocks * block
            for row in range(first, min(first + block, tall)):
                at = row * down - top  # of tap 0, among rows and zeros
                begin, end = max(0, -(-at // up)), min(height, (at + taps - 1) // up + 1)
                total[:] = 0
                if across_taps.shape[0] == 1:  # separable
                    if begin < end:
                        inside[:] = 0
                        _vertical(inside, source[p], left, down_taps, up, at, begin, end)
                        _sorted(line, parts)
                        _add_row(parts, across_taps[0], phases, total)
                else:
                    for i in range(begin, end):
                        inside[:] = source[p, i, left : max(left, right)]
                        _sorted(line, parts)
                        _add_row(parts, across_taps[i * up - at], phases, total)
                _interleave(total, target[p, row])
