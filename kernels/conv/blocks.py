"""Blocks of pixels: where a task's part of the source lies, and its copy with the padding written out.

A task works on some rows of the grid of q (see ``plan.py``), counted through all images, so that images of 4x4
pixels fill the vector registers as well as large ones. It copies what its taps look at, the *stage*, and there
every tap of every row is a contiguous run. One image, 3x3 kernel, padding 1, step 1, grid rows 0 and 1:

      source        stage              tap (-1, -1)     tap (0, 1)
      a b c d       0 0 0 0 0 0        [0 0 0 0] 0 0     0 0 0 0 0 0
      e f g h       0 a b c d 0        [0 a b c] d 0     0 a [b c d 0]
      i j k l       0 e f g h 0         0 e f g  h 0     0 e [f g h 0]
      ...           0 i j k l 0         0 i j k  l 0     0 i  j k l 0

With a step of 2 along the columns, each staged row is split into its even and its odd columns, and a tap's run is
contiguous again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..jit import kernel
from ..simd import UNIT
from ..simd_runs import copy_every_second, copy_run, prefetch

REGISTER_BYTES = UNIT.register_bytes


class Shape(NamedTuple):
    """The sizes of a product. ``channels`` and ``rows`` are those of one group."""

    groups: int
    channels: int  # of the source
    height: int
    width: int
    rows: int  # output channels
    out_height: int
    out_width: int
    grid_rows: int  # rows of q, in all images together
    grid_height: int
    grid_width: int
    step_height: int
    step_width: int
    stride_height: int
    stride_width: int
    top: int  # first row and column that a tap looks at, relative to q * step
    left: int
    tap_lines: int  # source rows from the first to the last tap
    line: int  # numbers in a staged source row, of one residue modulo the step
    block_rows: int  # of q, in a block
    block_width: int
    blocks_across: int
    blocks: int
    channel_block: int  # channels that are staged together
    channel_pitch: int  # numbers staged for one channel


def record(sizes: Any) -> np.ndarray:
    """Return a NamedTuple of integers as an array of one record with the same fields.

    Numba hands a parallel loop each number of a tuple on its own, and takes seconds over it; a record is a pointer.
    """
    return np.array([tuple(sizes)], np.dtype([(name, np.int64) for name in sizes._fields]))


# A worker's table of integers. For row r of the block, table[r] is the position of its first tap in the stage,
# table[block_rows + r] the position of its first output in channel 0, table[2*block_rows + r] its output row. Then
# come three numbers for each image that the block touches, from RUNS * block_rows: the image, its first row of q
# and how many; then three for each residue of the columns modulo the step, from EDGES * block_rows: the source
# column of the staged row's first number, and the first and the end of those inside the image.
RUNS = 3
EDGES = 6


def table_size(block_rows: int, step_width: int) -> int:
    """Return the integers in a worker's table."""
    return EDGES * block_rows + 3 * step_width


@kernel
def locate(table, shape, first_row, rows, first_column):
    """Fill a worker's table for a block, and return how many images it touches."""
    staged = 0
    runs = 0
    r = 0
    size = shape.block_rows
    row_length = shape.step_width * shape.line
    while r < rows:
        image = (first_row + r) // shape.grid_height
        q = (first_row + r) - image * shape.grid_height
        count = min(shape.grid_height - q, rows - r)
        plane = image * shape.groups * shape.rows * shape.out_height
        for i in range(count):
            out_row = (q + i) * shape.stride_height
            table[r + i] = (staged + i * shape.step_height) * row_length
            table[size + r + i] = (plane + out_row) * shape.out_width + first_column * shape.stride_width
            table[2 * size + r + i] = out_row
        run = RUNS * size + 3 * runs
        table[run], table[run + 1], table[run + 2] = image, q, count
        staged += (count - 1) * shape.step_height + shape.tap_lines
        runs += 1
        r += count
    for residue in range(shape.step_width):
        start = first_column * shape.step_width + shape.left + residue
        begin = min(max(0, -(start // shape.step_width)), shape.line)
        edge = EDGES * size + 3 * residue
        table[edge], table[edge + 1] = start, begin
        table[edge + 2] = max(begin, min(shape.line, -((start - shape.width) // shape.step_width)))
    return runs


@kernel
def stage(x, memory, table, runs, first_channel, channels, shape):
    """Copy the block's part of ``channels`` planes of x, from ``first_channel`` of all groups' channels on."""
    # Sizes in local names: after each number that is written, the compiler reads a record again.
    height, width, line, step = shape.height, shape.width, shape.line, shape.step_width
    tap_lines, step_height, top = shape.tap_lines, shape.step_height, shape.top
    planes = shape.groups * shape.channels
    lanes, cache_line = REGISTER_BYTES // x.itemsize, 64 // x.itemsize
    row_length = step * line
    safe = x.size - step * (line + lanes)
    first_run, first_edge = RUNS * shape.block_rows, EDGES * shape.block_rows
    whole = step == step_height == tap_lines == 1 and line == width and top == shape.left == 0
    for c in range(channels):
        to = c * shape.channel_pitch
        for run in range(first_run, first_run + 3 * runs, 3):
            plane = (table[run] * planes + first_channel + c) * height
            row = table[run + 1] * step_height + top
            count = table[run + 2]
            if whole and row + count <= height and (plane + row + count) * width + lanes <= x.size:
                source = (plane + row) * width
                # The same rows two channels on: the planes are too far apart for the processor to guess.
                for j in range(0, count * width, cache_line):
                    prefetch(x, source + 2 * height * width + j)
                copy_run(memory, to, x, source, count * width)
                to += count * width
                continue
            for _ in range((count - 1) * step_height + tap_lines):
                if row < 0 or row >= height:
                    for j in range(row_length):
                        memory[to + j] = 0
                    to += row_length
                else:
                    source_row = (plane + row) * width
                    for j in range(0, width, cache_line):
                        prefetch(x, source_row + 2 * height * width + j)
                    for edge in range(first_edge, first_edge + 3 * step, 3):
                        begin, end = table[edge + 1], table[edge + 2]
                        source = source_row + table[edge] + begin * step
                        for j in range(begin):
                            memory[to + j] = 0
                        if begin < end:
                            if step == 1 and source < safe:
                                copy_run(memory, to + begin, x, source, end - begin)
                            elif step == 2 and source < safe:
                                copy_every_second(memory, to + begin, x, source, end - begin)
                            else:
                                for j in range(end - begin):
                                    memory[to + begin + j] = x[source + j * step]
                        for j in range(end, line):
                            memory[to + j] = 0
                        to += line
                row += 1
