"""The weight gradient as a matrix product whose long side is the pixels: the fast path of conv2d_weight_grad.

    gw[o, c, tap] = sum over all pixels q of  x[c, q * step + tap] * gy[o, q]

is A @ B with A = the im2col matrix of x (rows: channel and tap; columns: pixels) and B = gy transposed (rows:
pixels; columns: o). A task takes a block of at most 256 pixels, transposes gy's part of it, and for 12 rows of A
at a time copies the runs of pixels that they are (as ``gemm.py`` does, from the same staging) and multiplies.
Rows of A are what `multiply` wants as they lie: contiguous along the pixels.

Which of the two is cut into rows is free: with stride 1, x and gy may change places (and the taps their sign), so
that a convolution with 3 output channels does not leave 29 of 32 columns empty. ``cpu.py`` decides.

Tasks are chunks of rows of A, and, when those are few, slices of the pixels, whose partial sums are then added in
order. The number of slices follows from the shapes alone, so the result does not depend on the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import prange

from ..jit import kernel
from ..simd import PITCH, ROW_STEP, UNIT, copy_run
from .gemm import Shape, multiply, stage

PANEL_ROWS = 3 * ROW_STEP
REGISTER_BYTES = UNIT.register_bytes


class Product(NamedTuple):
    """What the product needs besides a ``Shape``, in which the source is A's image and ``rows`` counts B's columns."""

    taps: int
    row_chunk: int  # rows of A in a task
    chunks: int
    slices: int
    slice_blocks: int  # blocks of pixels in a slice
    panel_at: int  # where in a worker's memory the panel of A begins
    transposed_at: int  # and the transposed block of B
    transposed_pitch: int
    partial_pitch: int  # numbers from one row of the partial sums to the next
    partial_rows: int  # rows of the partial sums of one group


@kernel
def _transpose(y, memory, to, pitch, shape, first_plane, first_row, rows, first_column, width):  # type: ignore[no-untyped-def]
    """memory[to + p * pitch + o] = y[image, o, q] for the p-th pixel q of the block."""
    planes = shape.groups * shape.rows
    for r in range(rows):
        image = (first_row + r) // shape.grid_height
        q = (first_row + r) - image * shape.grid_height
        for o in range(shape.rows):
            source = ((image * planes + first_plane + o) * shape.grid_height + q) * shape.grid_width + first_column
            for j in range(width):
                memory[to + j * pitch + o] = y[source + j]
        to += width * pitch


@kernel
def _task(x, y, partial, memory, row_at, tap_at, shape, product, task):  # type: ignore[no-untyped-def]
    chunk = task % product.chunks
    part = task // product.chunks % product.slices
    group = task // product.chunks // product.slices
    total = shape.channels * product.taps
    k_first = chunk * product.row_chunk
    k_last = min(total, k_first + product.row_chunk)
    first_channel = k_first // product.taps
    channels = (k_last - 1) // product.taps + 1 - first_channel
    target = ((part * shape.groups + group) * product.partial_rows + k_first) * product.partial_pitch

    first_block = part * product.slice_blocks
    for block in range(first_block, min(shape.blocks, first_block + product.slice_blocks)):
        first_row = block // shape.blocks_across * shape.block_rows
        rows = min(shape.block_rows, shape.grid_rows - first_row)
        first_column = block % shape.blocks_across * shape.block_width
        width = min(shape.block_width, shape.grid_width - first_column)
        stage(
            x, memory, 0, row_at, group * shape.channels + first_channel, channels, shape, first_row, rows,
            first_column,
        )  # fmt: skip
        _transpose(
            y, memory, product.transposed_at, product.transposed_pitch, shape, group * shape.rows, first_row,
            rows, first_column, width,
        )  # fmt: skip
        for k in range(k_first, k_last, PANEL_ROWS):
            count = min(PANEL_ROWS, k_last - k)
            channel = first_channel * product.taps
            to = product.panel_at
            for i in range(count):
                c = (k + i) // product.taps
                source = (c - first_channel) * shape.channel_pitch + tap_at[k + i - c * product.taps]
                for r in range(rows):
                    copy_run(memory, to + r * width, memory, source + row_at[r], width)
                to += PITCH
            multiply(
                partial, target + (k - k_first) * product.partial_pitch, product.partial_pitch,
                memory, product.panel_at, count, memory, product.transposed_at, product.transposed_pitch,
                shape.rows, rows * width, block == first_block,
            )  # fmt: skip


@kernel(parallel=True)
def correlate(x, y, gw, partial, memory, row_at, tap_at, shape, product, strides):  # type: ignore[no-untyped-def]
    """gw[group, c, tap, o] = sum over pixels; ``strides`` says how far apart neighbours lie in gw, by axis."""
    workers = row_at.shape[0]
    for worker in prange(workers):
        own = memory[worker * shape.memory : (worker + 1) * shape.memory]
        for task in range(worker, shape.tasks, workers):
            _task(x, y, partial, own, row_at[worker], tap_at, shape, product, task)
    # A chunk of rows at a time, so that the partial sums are read line by line and not number by number.
    total = shape.channels * product.taps
    lines = -(-total // 16)
    for line in prange(shape.groups * lines):
        group = line // lines
        first = line % lines * 16
        last = min(total, first + 16)
        for o in range(shape.rows):
            for k in range(first, last):
                c = k // product.taps
                source = (group * product.partial_rows + k) * product.partial_pitch + o
                value = partial[source]
                for part in range(1, product.slices):
                    value += partial[source + part * shape.groups * product.partial_rows * product.partial_pitch]
                gw[group * strides[0] + c * strides[1] + (k - c * product.taps) * strides[2] + o * strides[3]] = value
