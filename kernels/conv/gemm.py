"""Convolution as an implicit matrix product: the fast path of conv2d and of its input gradient.

With the weights as a matrix A (rows: output channels; columns k: a source channel and a tap) and with

    B[k = (channel, tap), j = pixel q] = source[channel, q * step + tap]          (the im2col matrix)

convolution is A @ B. B is never made as a whole: it repeats every source pixel once per tap. A task takes a block
of about a hundred pixels q and keeps all it needs in its processor's cache:

    source image --(1 stage)--> rows of the block, with the zero padding written out, and split by column
                                modulo the step, so that every tap of every row is a contiguous run
                 --(2 pack)---> at most 256 rows of B for the block's pixels, by copying those runs
                 --(3 multiply) A's panels of 12 rows times B's stripes of two registers, into sums
                 --(4 finish)-> the sums plus bias, written to the output's phases

Steps 2 and 3 repeat for each 256 rows of B, step 4 comes once for each row of phases. A block is made of whole
rows of the grid of q and may go across images, so that images of 4x4 pixels fill the registers as well as large ones.

Results do not depend on the number of threads: a pixel's sum is always taken over k in blocks of the same size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from ..jit import kernel
from ..simd import (
    MAX_DEPTH,
    PITCH,
    ROW_STEP,
    UNIT,
    copy_run,
    multiply_tile_high,
    multiply_tile_low,
    multiply_tile_middle,
)

REGISTER_BYTES = UNIT.register_bytes


class Shape(NamedTuple):
    """The sizes of one product. ``channels`` and ``rows`` are those of one group."""

    groups: int
    channels: int  # of the source
    height: int
    width: int
    rows: int  # of A: output channels
    out_height: int
    out_width: int
    grid_rows: int  # rows of q in all images together
    grid_height: int
    grid_width: int
    step_height: int
    step_width: int
    stride_height: int
    stride_width: int
    top: int  # first row and column that a tap looks at, relative to q * step
    left: int
    tap_lines: int  # source rows between the first and the last tap, both counted
    line: int  # numbers in one staged source row and one residue modulo the step
    block_rows: int  # of q, in a block
    block_width: int
    row_chunk: int  # rows of A in a task
    channel_pitch: int  # numbers staged for one channel
    columns_at: int  # where in a worker's memory the columns of B and the sums begin
    sums_at: int
    pitch: int  # numbers from one row of B, or of the sums, to the next
    memory: int  # numbers of memory for one worker
    blocks_across: int
    blocks: int
    tasks: int


@kernel
def stage(x, memory, at, row_at, first_channel, channels, shape, first_row, rows, first_column):  # type: ignore[no-untyped-def]
    """Copy what the block's taps look at; ``row_at[r]`` becomes the position of row r's first tap.

    ``first_channel`` counts over all images' channels up to the first image's: channel c of image n is
    source plane ``n * groups * channels + first_channel + c``.
    """
    planes = shape.groups * shape.channels
    row_length = shape.step_width * shape.line
    staged = 0
    r = 0
    while r < rows:
        image = (first_row + r) // shape.grid_height
        q = (first_row + r) - image * shape.grid_height
        count = min(shape.grid_height - q, rows - r)
        for i in range(count):
            row_at[r + i] = at + (staged + i * shape.step_height) * row_length
        lines = (count - 1) * shape.step_height + shape.tap_lines
        source_row = q * shape.step_height + shape.top
        for residue in range(shape.step_width):
            start = first_column * shape.step_width + shape.left + residue
            begin = min(max(0, -(start // shape.step_width)), shape.line)
            end = max(begin, min(shape.line, -((start - shape.width) // shape.step_width)))
            for c in range(channels):
                plane = (image * planes + first_channel + c) * shape.height
                to = at + c * shape.channel_pitch + staged * row_length + residue * shape.line
                for i in range(lines):
                    row = source_row + i
                    if row < 0 or row >= shape.height:
                        for j in range(shape.line):
                            memory[to + j] = 0
                    else:
                        for j in range(begin):
                            memory[to + j] = 0
                        source = (plane + row) * shape.width + start
                        if shape.step_width == 1:
                            for j in range(begin, end):
                                memory[to + j] = x[source + j]
                        else:
                            for j in range(begin, end):
                                memory[to + j] = x[source + j * shape.step_width]
                        for j in range(end, shape.line):
                            memory[to + j] = 0
                    to += row_length
        staged += lines
        r += count


@kernel
def pack(memory, to, pitch, row_at, rows, width, channel_pitch, tap_at, first_tap, taps, k, depth):  # type: ignore[no-untyped-def]
    """Write rows k ... k + depth of B, ``pitch`` apart, for the block's rows of ``width`` pixels each."""
    channel = k // taps
    tap = k - channel * taps
    for _ in range(depth):
        source = channel * channel_pitch + tap_at[first_tap + tap]
        for r in range(rows):
            copy_run(memory, to + r * width, memory, source + row_at[r], width)
        to += pitch
        tap += 1
        if tap == taps:
            tap = 0
            channel += 1


@kernel
def multiply(sums, sums_at, sums_pitch, a, a_at, rows, b, b_at, b_pitch, columns, depth, first):  # type: ignore[no-untyped-def]
    """sums (+)= A @ B for ``rows`` rows of A, rounded up to a row step, and whole stripes of B's columns."""
    stripe = 2 * REGISTER_BYTES // a.itemsize
    row = 0
    while row < rows:
        a_row, c_row = a_at + row * PITCH, sums_at + row * sums_pitch
        if rows - row > 2 * ROW_STEP:
            for j in range(0, columns, stripe):
                multiply_tile_high(sums, c_row + j, sums_pitch, a, a_row, b, b_at + j, b_pitch, depth, first)
            row += 3 * ROW_STEP
        elif rows - row > ROW_STEP:
            for j in range(0, columns, stripe):
                multiply_tile_middle(sums, c_row + j, sums_pitch, a, a_row, b, b_at + j, b_pitch, depth, first)
            row += 2 * ROW_STEP
        else:
            for j in range(0, columns, stripe):
                multiply_tile_low(sums, c_row + j, sums_pitch, a, a_row, b, b_at + j, b_pitch, depth, first)
            row += ROW_STEP


@kernel
def _finish(y, bias, memory, shape, first_channel, rows, first_row, block_rows, first_column, width, phase_row):  # type: ignore[no-untyped-def]
    """Write the sums of one row of phases, side by side in memory, to the output, and add the bias."""
    across = shape.stride_width
    phase_pitch = shape.row_chunk * shape.pitch
    planes = shape.groups * shape.rows
    for r in range(block_rows):
        image = (first_row + r) // shape.grid_height
        row = ((first_row + r) - image * shape.grid_height) * shape.stride_height + phase_row
        if row >= shape.out_height:
            continue
        first = first_column * across
        last = min(first + width * across, shape.out_width)
        for m in range(rows):
            b = bias[first_channel + m] if bias.size else bias.dtype.type(0)
            source = shape.sums_at + m * shape.pitch + r * width
            to = ((image * planes + first_channel + m) * shape.out_height + row) * shape.out_width + first
            whole = (last - first) // across
            if across == 1:
                for j in range(whole):
                    y[to + j] = memory[source + j] + b
            elif across == 2:
                for j in range(whole):
                    y[to + 2 * j] = memory[source + j] + b
                    y[to + 2 * j + 1] = memory[source + phase_pitch + j] + b
            else:
                for phase in range(across):
                    for j in range(whole):
                        y[to + across * j + phase] = memory[source + phase * phase_pitch + j] + b
            for phase in range(last - first - whole * across):
                y[to + across * whole + phase] = memory[source + phase * phase_pitch + whole] + b


@kernel
def _task(x, a, bias, y, memory, start, row_at, tap_at, phase_taps, phase_a, shape, task):  # type: ignore[no-untyped-def]
    chunks = -(-shape.rows // shape.row_chunk)
    block = task % shape.blocks
    chunk = task // shape.blocks % chunks
    group = task // shape.blocks // chunks
    first_row = block // shape.blocks_across * shape.block_rows
    block_rows = min(shape.block_rows, shape.grid_rows - first_row)
    first_column = block % shape.blocks_across * shape.block_width
    width = min(shape.block_width, shape.grid_width - first_column)
    first_m = chunk * shape.row_chunk
    rows = min(shape.row_chunk, shape.rows - first_m)
    padded_rows = -(-shape.rows // ROW_STEP) * ROW_STEP

    memory = memory[start : start + shape.memory]
    stage(x, memory, 0, row_at, group * shape.channels, shape.channels, shape, first_row, block_rows, first_column)
    for phase in range(shape.stride_height * shape.stride_width):
        phase_row = phase // shape.stride_width
        phase_column = phase - phase_row * shape.stride_width
        sums = shape.sums_at + phase_column * shape.row_chunk * shape.pitch
        taps = phase_taps[phase + 1] - phase_taps[phase]
        total = shape.channels * taps
        if total == 0:
            memory[sums : sums + rows * shape.pitch] = 0
        else:
            steps = -(-total // MAX_DEPTH)
            depth = -(-total // steps)
            for step in range(steps):
                k = step * depth
                now = min(depth, total - k)
                pack(
                    memory, shape.columns_at, shape.pitch, row_at, block_rows, width, shape.channel_pitch,
                    tap_at, phase_taps[phase], taps, k, now,
                )  # fmt: skip
                at = phase_a[phase] + ((group * steps + step) * padded_rows + first_m) * PITCH
                multiply(
                    memory, sums, shape.pitch, a, at, rows, memory, shape.columns_at, shape.pitch,
                    block_rows * width, now, step == 0,
                )  # fmt: skip
        if phase_column == shape.stride_width - 1:
            _finish(
                y, bias, memory, shape, group * shape.rows + first_m, rows, first_row, block_rows,
                first_column, width, phase_row,
            )  # fmt: skip


@kernel(parallel=True)
def convolve(x, a, bias, y, memory, row_at, tap_at, phase_taps, phase_a, shape):  # type: ignore[no-untyped-def]
    """y = A @ B + bias, block by block; all arrays flat but ``row_at``, which has one row for each worker.

    ``tap_at`` is the position of each tap relative to its row's first; phase p has the taps
    ``phase_taps[p]:phase_taps[p + 1]`` and its panels of A begin at ``phase_a[p]``.
    """
    workers = row_at.shape[0]
    for worker in prange(workers):
        for task in range(worker, shape.tasks, workers):
            _task(
                x, a, bias, y, memory, worker * shape.memory, row_at[worker], tap_at, phase_taps, phase_a,
                shape, task,
            )  # fmt: skip


def weight_panels(weights: np.ndarray, phases: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lay A out for ``multiply``: blocks of at most 256 columns k, in each its rows ``PITCH`` numbers apart.

    ``weights`` is groups, rows, channels, taps of the whole kernel; each phase is the indices of its taps.
    Returns all panels, flat, and where each phase begins. Rows are rounded up to a row step; what is in the extra
    rows, and behind the columns, is never used.
    """
    groups, rows, channels, _ = weights.shape
    padded = -(-rows // ROW_STEP) * ROW_STEP
    sizes, plans = [0], []
    for taps in phases:
        total = channels * len(taps)
        steps = -(-total // MAX_DEPTH)
        plans.append((total, steps))
        sizes.append(sizes[-1] + groups * steps * padded * PITCH)
    panels = np.empty(sizes[-1], weights.dtype)
    for taps, (total, steps), start, end in zip(phases, plans, sizes, sizes[1:], strict=False):
        if not steps:
            continue
        depth = -(-total // steps)
        target = panels[start:end].reshape(groups, steps, padded, PITCH)
        matrix = weights[:, :, :, taps].reshape(groups, rows, total)
        for step in range(steps):
            part = matrix[:, :, step * depth : (step + 1) * depth]
            target[:, step, :rows, : part.shape[2]] = part
    return panels, np.array(sizes[:-1])
