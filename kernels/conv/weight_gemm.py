"""The weight gradient as a matrix product whose long side is the pixels: the fast path of conv2d_weight_grad.

    gw[o, c, tap] = sum over all pixels q of  x[c, q * step + tap] * gy[o, q]

is A @ B with A = the im2col matrix of x (rows: channel and tap; columns: pixels) and B = gy transposed (rows:
pixels; columns: o). For a block of at most 256 pixels, a task transposes gy's part, stages x's as ``gemm.py`` does,
and for 12 rows of A at a time copies the runs of pixels that they are, and multiplies. Rows of A lie as `multiply`
wants them, contiguous along the pixels, so only the smaller matrix is ever transposed. With one tap and no padding the
stage is A already.

Which of the two images is cut into rows is free: with stride 1, x and gy may change places (and the taps their
sign), so that a convolution with 3 output channels does not leave 29 of 32 columns empty. ``products.py`` decides.

Tasks divide the channels of x and, when these are few, the pixels, in slices whose partial sums are then added in
order. The number of slices follows from the shapes alone, so the result does not depend on the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import prange

from ..jit import kernel
from ..simd import PITCH, ROW_STEP, UNIT
from ..simd_runs import copy_run, transpose_square
from .blocks import RUNS, locate, stage
from .gemm import multiply

PANEL_ROWS = 3 * ROW_STEP
REGISTER_BYTES = UNIT.register_bytes


class WeightProduct(NamedTuple):
    """What the product needs besides a ``Shape``, in which x is the source and ``rows`` counts gy's channels."""

    taps: int
    slices: int
    slice_blocks: int  # blocks of pixels in a slice
    panel_at: int  # where in a worker's memory the panel of A begins
    transposed_at: int  # and the transposed part of gy
    transposed_pitch: int
    partial_pitch: int  # numbers from one row of the partial sums to the next
    partial_rows: int  # rows of the partial sums of one channel block
    staged: int  # 1 if the stage is A
    memory: int
    tasks: int


@kernel
def _transpose(y, memory, table, runs, shape, product, first_plane, first_column, width):
    """memory[transposed_at + p * pitch + o] = y[image, o, q] for the p-th pixel q of the block."""
    lanes = REGISTER_BYTES // y.itemsize
    channels, size, pitch = shape.rows, shape.grid_height * shape.grid_width, product.transposed_pitch
    planes, grid_width = shape.groups * channels, shape.grid_width
    to = product.transposed_at
    for run in range(RUNS * shape.block_rows, RUNS * shape.block_rows + 3 * runs, 3):
        # A block is whole rows of the grid, or part of a single one: the run's pixels are contiguous.
        pixels = table[run + 2] * width
        first = (table[run] * planes + first_plane) * size + table[run + 1] * grid_width + first_column
        for o in range(0, channels, lanes):  # as few planes at once as can be: each is on a page of its own
            for p in range(0, pixels, lanes):
                source = first + o * size + p
                if o + lanes <= channels and source + (lanes - 1) * size + lanes <= y.size:
                    transpose_square(memory, to + p * pitch + o, pitch, y, source, size)
                else:
                    for i in range(min(lanes, channels - o)):
                        for j in range(min(lanes, pixels - p)):
                            memory[to + (p + j) * pitch + o + i] = y[source + i * size + j]
        to += pixels * pitch


@kernel
def _task(x, y, partial, memory, table, tap_at, shape, product, task):
    channel_blocks = -(-shape.channels // shape.channel_block)
    channel_block = task % channel_blocks
    part = task // channel_blocks % product.slices
    group = task // channel_blocks // product.slices
    first_channel = channel_block * shape.channel_block
    channels = min(shape.channel_block, shape.channels - first_channel)
    target = ((part * shape.groups + group) * channel_blocks + channel_block) * product.partial_rows

    first_block = part * product.slice_blocks
    for block in range(first_block, min(shape.blocks, first_block + product.slice_blocks)):
        first_row = block // shape.blocks_across * shape.block_rows
        rows = min(shape.block_rows, shape.grid_rows - first_row)
        first_column = block % shape.blocks_across * shape.block_width
        width = min(shape.block_width, shape.grid_width - first_column)
        runs = locate(table, shape, first_row, rows, first_column)
        stage(x, memory, table, runs, group * shape.channels + first_channel, channels, shape)
        _transpose(y, memory, table, runs, shape, product, group * shape.rows, first_column, width)
        if product.staged:
            multiply(
                partial, target * product.partial_pitch, product.partial_pitch, memory, 0, channels,
                memory, product.transposed_at, product.transposed_pitch, shape.rows, rows * width,
                block == first_block,
            )  # fmt: skip
            continue
        for k in range(0, channels * product.taps, PANEL_ROWS):
            count = min(PANEL_ROWS, channels * product.taps - k)
            for i in range(count):
                channel = (k + i) // product.taps
                source = channel * shape.channel_pitch + tap_at[k + i - channel * product.taps]
                to = product.panel_at + i * PITCH
                for r in range(rows):
                    copy_run(memory, to + r * width, memory, source + table[r], width)
            multiply(
                partial, (target + k) * product.partial_pitch, product.partial_pitch, memory, product.panel_at,
                count, memory, product.transposed_at, product.transposed_pitch, shape.rows, rows * width,
                block == first_block,
            )  # fmt: skip


@kernel
def _collect(gw, partial, strides, element_taps, elements, shape, product, task):
    """Add up the slices, and the taps that a kernel element is part of, for one channel of x."""
    channel_blocks = -(-shape.channels // shape.channel_block)
    group, channel = task // shape.channels, task % shape.channels
    block = channel // shape.channel_block
    row = (group * channel_blocks + block) * product.partial_rows
    row += (channel - block * shape.channel_block) * product.taps
    slice_pitch = shape.groups * channel_blocks * product.partial_rows * product.partial_pitch
    for o in range(shape.rows):
        to = group * strides[0] + o * strides[1] + channel * strides[2]
        for element in range(elements.size - 1):
            value = partial[0]
            empty = True
            for i in range(elements[element], elements[element + 1]):
                source = (row + element_taps[i]) * product.partial_pitch + o
                for part in range(product.slices):
                    term = partial[source + part * slice_pitch]
                    value = term if empty else value + term
                    empty = False
            gw[to + element] = value


@kernel(parallel=True)
def correlate(collecting, x, y, gw, partial, memory, tables, tap_at, strides, element_taps, elements, shapes, products):
    """Called first without ``collecting``, which fills the partial sums, and then with it, which fills gw.

    All arrays are flat but ``tables``, which has one row for each worker. ``strides`` are gw's by group, channel of y
    and channel of x; its kernel elements are contiguous. Element e is part of the taps
    ``element_taps[elements[e]:elements[e + 1]]``.
    """
    workers = tables.shape[0]
    for worker in prange(workers):
        shape, product = shapes[0], products[0]
        if collecting:
            for task in range(worker, shape.groups * shape.channels, workers):
                _collect(gw, partial, strides, element_taps, elements, shape, product, task)
        else:
            own = memory[worker * product.memory : (worker + 1) * product.memory]
            for task in range(worker, product.tasks, workers):
                _task(x, y, partial, own, tables[worker], tap_at, shape, product, task)
