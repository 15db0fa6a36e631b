"""Convolution as an implicit matrix product: the fast path of conv2d and of its input gradient.

With the weights as a matrix A (rows: output channels; columns k: a source channel and a tap) and with

    B[k = (channel, tap), j = pixel q] = source[channel, q * step + tap]          (the im2col matrix)

convolution is A @ B. B is never made as a whole: it repeats every source pixel once per tap. A task takes a block
of one or two hundred pixels q and keeps all it needs in its processor's cache. For some channels at a time:

    1 stage      copy what the block's taps look at, the zero padding written out (``blocks.py``)
    2 pack       at most 256 rows of B for the block's pixels, by copying runs out of the stage; with one tap and no
                 padding the stage is B already
    3 multiply   A's panels of 12 rows by B's stripes of two registers, added to the sums

Steps 2 and 3 come once for each phase of the output. In the end

    4 finish     the phases' sums are interleaved, plus bias and through the activation, to rows of the output

which step 3 does itself where all of k is one block, as in a 1x1 convolution of at most 256 channels.

A pixel's sum is always taken over k in the same blocks, so results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import prange

from ..activation.cpu import leaky
from ..jit import kernel
from ..simd import (
    AHEAD,
    MAX_DEPTH,
    PITCH,
    ROW_STEP,
    ROWS_AHEAD,
    UNIT,
    multiply_tile_high,
    multiply_tile_low,
    multiply_tile_middle,
    write_tile_high,
    write_tile_low,
    write_tile_middle,
)
from ..simd_runs import copy_run, prefetch, stream_sum, write_interleaved, write_run
from .blocks import locate, stage

REGISTER_BYTES = UNIT.register_bytes


def rows_of_b(positions: Sequence[int]) -> np.ndarray:
    """Return what `multiply_into` knows B's rows by: their positions, and more of them, which are fetched in vain."""
    return np.array([*positions, *[0] * ROWS_AHEAD], np.int64)


class Product(NamedTuple):
    """What the product needs besides its ``Shape``. A worker's memory is the stage, columns of B, and sums."""

    row_chunk: int  # rows of A in a task
    columns_at: int
    sums_at: int
    pitch: int  # numbers from one row of B, or of the sums, to the next
    memory: int  # numbers of memory for one worker
    padded_rows: int  # rows of A in all, with what fills the last row step
    staged: int  # 1 if the stage is B
    packed: int  # 1 if B is packed; if neither, its rows are multiplied where they lie in the stage
    streamed: int  # 1 if the output is written past the caches, in whole registers
    direct: int  # 1 if sums are outputs: one block of k, and a block of pixels that is a run of each plane
    parts: int  # blocks of k in one channel block: more than one only if the kernel has over MAX_DEPTH taps
    tasks: int


ROWS_PER_TASK = 16


@kernel
def pack_weights(w, a, strides, elements, element_ends, phase_taps, phase_a, shape, product, task):
    """Lay A out in panels, sixteen rows of it. Row m of the block of k number b of group g begins, in its phase, at

        ((g * blocks + b) * padded_rows + m) * PITCH

    ``strides`` are those of w by group, row and channel. A tap's weight is the sum of the ``elements``, positions
    in the kernel, from the last tap's end to its own. Rows that fill the last row step are never used.
    """
    # Sizes in local names: after each number that is written, the compiler reads a record again.
    channel_block, padded_rows = shape.channel_block, product.padded_rows
    chunks = -(-shape.rows // ROWS_PER_TASK)
    group, first = task // chunks, task % chunks * ROWS_PER_TASK
    rows = min(ROWS_PER_TASK, shape.rows - first)
    blocks = -(-shape.channels // channel_block)
    phases = phase_taps.size - 1
    one_each = elements.size == element_ends.size
    by_row = strides[1] > strides[2]  # go through w in the order in which it lies in memory
    for block in range(blocks):
        first_channel = block * channel_block
        channels = min(channel_block, shape.channels - first_channel)
        panel = (group * blocks + block) * product.parts * padded_rows + first
        kernels_at = group * strides[0] + first * strides[1] + first_channel * strides[2]
        for i in range(rows if by_row else channels):
            for j in range(channels if by_row else rows):
                m, channel = (i, j) if by_row else (j, i)
                kernel_at = kernels_at + m * strides[1] + channel * strides[2]
                element = 0
                for phase in range(phases):
                    begin, end = phase_taps[phase], phase_taps[phase + 1]
                    to = phase_a[phase] + (panel + m) * PITCH + channel * (end - begin)
                    if one_each and end - begin <= MAX_DEPTH:
                        for tap in range(begin, end):
                            a[to + tap - begin] = w[kernel_at + elements[tap]]
                        element = end
                        continue
                    for tap in range(begin, end):
                        k = tap - begin
                        value = w[kernel_at + elements[element]]
                        element += 1
                        while element < element_ends[tap]:
                            value += w[kernel_at + elements[element]]
                            element += 1
                        a[to + k // MAX_DEPTH * padded_rows * PITCH + k % MAX_DEPTH] = value


@kernel
def pack(memory, to, pitch, table, rows, width, channel_pitch, tap_at, first_tap, taps, k, depth):
    """Write rows k ... k + depth of B, ``pitch`` apart, for the block's rows of ``width`` pixels each."""
    channel = k // taps
    tap = k - channel * taps
    for _ in range(depth):
        source = channel * channel_pitch + tap_at[first_tap + tap]
        for r in range(rows):
            copy_run(memory, to + r * width, memory, source + table[r], width)
        to += pitch
        tap += 1
        if tap == taps:
            tap = 0
            channel += 1


@kernel
def multiply(sums, sums_at, sums_pitch, a, a_at, rows, b, b_at, b_pitch, columns, depth, first):
    """sums (+)= A @ B for ``rows`` rows of A, rounded up to a row step, and whole stripes of B's columns.

    ``first`` says that the sums have no value yet.
    """
    stripe = 2 * REGISTER_BYTES // a.itemsize
    row = 0
    while row < rows:
        a_row, c_row = a_at + row * PITCH, sums_at + row * sums_pitch
        steps = min(3, -(-(rows - row) // ROW_STEP))
        ahead = a_row + steps * ROW_STEP * PITCH
        for j in range(0, columns, stripe):
            if steps == 3:
                multiply_tile_high(sums, c_row + j, sums_pitch, a, a_row, ahead, b, b_at + j, b_pitch, depth, first)
            elif steps == 2:
                multiply_tile_middle(sums, c_row + j, sums_pitch, a, a_row, ahead, b, b_at + j, b_pitch, depth, first)
            else:
                multiply_tile_low(sums, c_row + j, sums_pitch, a, a_row, ahead, b, b_at + j, b_pitch, depth, first)
            ahead += AHEAD * depth
        row += steps * ROW_STEP


@kernel
def multiply_into(
    y, y_at, y_pitch, bias, bias_at, slope, a, a_at, rows, b, b_at, b_rows, lines, line_pitch, columns, depth, streamed
):  # fmt: skip
    """y[row, line * columns + column] = A @ B + bias[row], times ``slope`` where that is not positive, written where it
    belongs and nowhere else, if one block of k is all there is.

    B is cut into ``lines`` of so many columns; row k of a line begins at b[b_at + line * line_pitch + b_rows[k]], and
    `rows_of_b` makes that array. ``streamed`` goes past the caches: for whole stripes of aligned lines only.
    """
    stripe = 2 * REGISTER_BYTES // a.itemsize
    row = 0
    while row < rows:
        at, steps = a_at + row * PITCH, min(3, -(-(rows - row) // ROW_STEP))
        ahead = at + steps * ROW_STEP * PITCH
        for line in range(lines):
            to, source = y_at + row * y_pitch + line * columns, b_at + line * line_pitch
            for j in range(0, columns, stripe):
                if steps == 3:
                    write_tile_high(
                        y, to + j, y_pitch, rows - row, columns - j, bias, bias_at + row, slope, a, at, ahead,
                        b, source + j, b_rows, depth, streamed,
                    )  # fmt: skip
                elif steps == 2:
                    write_tile_middle(
                        y, to + j, y_pitch, rows - row, columns - j, bias, bias_at + row, slope, a, at, ahead,
                        b, source + j, b_rows, depth, streamed,
                    )  # fmt: skip
                else:
                    write_tile_low(
                        y, to + j, y_pitch, rows - row, columns - j, bias, bias_at + row, slope, a, at, ahead,
                        b, source + j, b_rows, depth, streamed,
                    )  # fmt: skip
                ahead += AHEAD * depth
        row += steps * ROW_STEP


@kernel
def _finish(y, bias, slope, memory, table, shape, product, first_channel, rows, block_rows, first_column, width):
    """Write the sums of all phases to the output, channel by channel, with bias and activation."""
    across = shape.stride_width
    phase_pitch = product.row_chunk * product.pitch
    count = min(width * across, shape.out_width - first_column * across)
    for m in range(rows):
        b = bias[first_channel + m]
        plane = (first_channel + m) * shape.out_height * shape.out_width
        for r in range(block_rows):
            to = plane + table[shape.block_rows + r]
            source = product.sums_at + m * product.pitch + r * width
            if product.streamed:
                stream_sum(y, to, memory, source, b, slope, count)
                continue
            for _ in range(min(shape.stride_height, shape.out_height - table[2 * shape.block_rows + r])):
                # The same row two planes on: too far away for the processor to expect.
                for j in range(0, count, 64 // y.itemsize):
                    prefetch(y, to + 2 * shape.out_height * shape.out_width + j)
                if across == 1:
                    write_run(y, to, memory, source, b, slope, count)
                elif across == 2:
                    write_interleaved(y, to, memory, source, memory, source + phase_pitch, b, slope, count)
                else:
                    for j in range(count):
                        value = memory[source + j % across * phase_pitch + j // across] + b
                        y[to + j] = leaky(value, value, slope)
                to += shape.out_width
                source += across * phase_pitch


@kernel
def _task(x, a, bias, slope, y, memory, table, tap_at, b_rows, phase_taps, phase_a, shape, product, task):
    chunks = -(-shape.rows // product.row_chunk)
    block = task % shape.blocks
    chunk = task // shape.blocks % chunks
    group = task // shape.blocks // chunks
    first_row = block // shape.blocks_across * shape.block_rows
    block_rows = min(shape.block_rows, shape.grid_rows - first_row)
    first_column = block % shape.blocks_across * shape.block_width
    width = min(shape.block_width, shape.grid_width - first_column)
    first_m = chunk * product.row_chunk
    rows = min(product.row_chunk, shape.rows - first_m)
    channel_blocks = -(-shape.channels // shape.channel_block)

    runs = locate(table, shape, first_row, block_rows, first_column)
    for channel_block in range(channel_blocks):
        first_channel = channel_block * shape.channel_block
        channels = min(shape.channel_block, shape.channels - first_channel)
        stage(x, memory, table, runs, group * shape.channels + first_channel, channels, shape)
        for phase in range(phase_taps.size - 1):
            sums = product.sums_at + phase * product.row_chunk * product.pitch
            taps = phase_taps[phase + 1] - phase_taps[phase]
            if taps == 0:
                memory[sums : sums + rows * product.pitch] = 0
            for part in range(-(-channels * taps // MAX_DEPTH)):
                k = part * MAX_DEPTH
                depth = min(MAX_DEPTH, channels * taps - k)
                if product.packed:
                    pack(
                        memory, product.columns_at, product.pitch, table, block_rows, width, shape.channel_pitch,
                        tap_at, phase_taps[phase], taps, k, depth,
                    )  # fmt: skip
                panel = ((group * channel_blocks + channel_block) * product.parts + part) * product.padded_rows
                if product.direct:
                    channel = group * shape.rows + first_m
                    plane = shape.out_height * shape.out_width
                    lines = 1 if product.packed or product.staged else block_rows
                    multiply_into(
                        y, channel * plane + table[shape.block_rows], plane, bias, channel, slope, a,
                        phase_a[phase] + (panel + first_m) * PITCH, rows, memory, product.columns_at, b_rows, lines,
                        shape.step_height * shape.step_width * shape.line, block_rows * width // lines, depth,
                        product.streamed != 0,
                    )  # fmt: skip
                    return
                multiply(
                    memory, sums, product.pitch, a, phase_a[phase] + (panel + first_m) * PITCH, rows,
                    memory, product.columns_at, product.pitch, block_rows * width, depth,
                    channel_block == 0 and part == 0,
                )  # fmt: skip
    _finish(
        y, bias, slope, memory, table, shape, product, group * shape.rows + first_m, rows, block_rows, first_column,
        width,
    )  # fmt: skip


@kernel(parallel=True)
def convolve(
    packing, x, w, bias, slope, y, a, memory, tables, tap_at, b_rows, elements, element_ends, phase_taps, phase_a,
    strides, shapes, products,
):  # fmt: skip
    """Called first with ``packing``, which makes A of w, and then without: y = A @ B + bias, times ``slope`` where that
    is not positive, block by block.

    Every ``prange`` takes Numba seconds to compile, and so the two share one. All arrays are flat but ``tables``,
    which has one row for each worker. Phase p has the taps ``phase_taps[p]:phase_taps[p + 1]``; its panels go to
    a[phase_a[p]:]. ``tap_at`` is the position of each tap in the stage, relative to its row's first, and ``b_rows``
    that of each row of B, where the product is written directly.
    """
    workers = tables.shape[0]
    for worker in prange(workers):
        shape, product = shapes[0], products[0]
        if packing:
            for task in range(worker, shape.groups * -(-shape.rows // ROWS_PER_TASK), workers):
                pack_weights(w, a, strides, elements, element_ends, phase_taps, phase_a, shape, product, task)
        else:
            own = memory[worker * product.memory : (worker + 1) * product.memory]
            for task in range(worker, product.tasks, workers):
                _task(
                    x, a, bias, slope, y, own, tables[worker], tap_at, b_rows, phase_taps, phase_a, shape, product, task
                )
