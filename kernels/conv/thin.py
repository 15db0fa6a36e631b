"""Convolutions with few output channels: multiply first, then gather.

With 3 output channels the matrix A of ``gemm.py`` has 3 rows, and most of a register tile would stay empty. But
when neighbouring q look at neighbouring pixels (step 1), the sum over channels can come first,

    z[(m, tap), pixel] = sum over channels c of  w[m, c, tap] * source[c, pixel]

a product with 27 or 48 rows whose B is the source as it lies in memory, and the sum over taps after it:

    y[m, q * stride + phase] = bias[m] + sum over the phase's taps of  z[(m, tap), q + tap]

Taps that fall outside the image are left out, not multiplied by zero. A task is a band of rows of q, and computes z
for the source rows that the band looks at.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import prange

from ..activation.cpu import leaky
from ..jit import kernel
from ..simd import MAX_DEPTH, PITCH, UNIT
from ..simd_runs import add_run, copy_run, write_interleaved, write_run
from .gemm import multiply

REGISTER_BYTES = UNIT.register_bytes
PIXELS = 256


class Band(NamedTuple):
    """Sizes. ``channels`` and ``rows`` are those of one group; row m * taps + tap of A and of z is m's and tap's."""

    groups: int
    channels: int
    height: int
    width: int
    rows: int
    taps: int  # of all phases
    out_height: int
    out_width: int
    grid_height: int
    grid_width: int
    stride_height: int
    stride_width: int
    top: int  # first and last row that a tap looks at, relative to q
    bottom: int
    band_rows: int
    bands: int  # of one image
    tasks: int
    padded_rows: int  # of A
    z_at: int  # where in a worker's memory z begins, and the sums of one row; first are PIXELS columns of B
    z_pitch: int
    sums_at: int
    memory: int


@kernel
def _pack_weights(w, a, strides, elements, element_ends, band):
    steps = -(-band.channels // MAX_DEPTH)
    for group in range(band.groups):
        for m in range(band.rows):
            for channel in range(band.channels):
                step = channel // MAX_DEPTH
                kernel_at = group * strides[0] + m * strides[1] + channel * strides[2]
                row = (group * steps + step) * band.padded_rows + m * band.taps
                element = 0
                for tap in range(band.taps):
                    value = w[kernel_at + elements[element]]
                    element += 1
                    while element < element_ends[tap]:
                        value += w[kernel_at + elements[element]]
                        element += 1
                    a[(row + tap) * PITCH + channel - step * MAX_DEPTH] = value


@kernel
def _gather(y, b, slope, memory, to, m, q, first_row, tap_rows, tap_columns, phase_taps, band):
    """Write the output rows that belong to row q of the grid, for channel m of the group; b is its bias."""
    across = band.stride_width
    for phase_row in range(min(band.stride_height, band.out_height - q * band.stride_height)):
        for phase_column in range(across):
            sums = band.sums_at + phase_column * band.grid_width
            for j in range(band.grid_width):
                memory[sums + j] = 0
            phase = phase_row * across + phase_column
            for tap in range(phase_taps[phase], phase_taps[phase + 1]):
                row, column = q + tap_rows[tap], tap_columns[tap]
                if row >= 0 and row < band.height:
                    z = band.z_at + (m * band.taps + tap) * band.z_pitch + (row - first_row) * band.width + column
                    begin, end = max(0, -column), min(band.grid_width, band.width - column)
                    if begin < end:
                        add_run(memory, sums + begin, memory, z + begin, end - begin)
        if across == 1:
            write_run(y, to, memory, band.sums_at, b, slope, band.out_width)
        elif across == 2:
            odd = band.sums_at + band.grid_width
            write_interleaved(y, to, memory, band.sums_at, memory, odd, b, slope, band.out_width)
        else:
            for j in range(band.out_width):
                value = memory[band.sums_at + j % across * band.grid_width + j // across] + b
                y[to + j] = leaky(value, value, slope)
        to += band.out_width


@kernel
def _task(x, a, bias, slope, y, memory, tap_rows, tap_columns, phase_taps, band, task):
    first_q = task % band.bands * band.band_rows
    image = task // band.bands // band.groups
    group = task // band.bands % band.groups
    end_q = min(band.grid_height, first_q + band.band_rows)
    first_row = min(band.height, max(0, first_q + band.top))
    end_row = max(first_row, min(band.height, end_q + band.bottom))
    plane = (image * band.groups + group) * band.channels
    size = band.height * band.width
    pixels = (end_row - first_row) * band.width
    steps = -(-band.channels // MAX_DEPTH)
    for first in range(0, pixels, PIXELS):
        count = min(PIXELS, pixels - first)
        for step in range(steps):
            depth = min(MAX_DEPTH, band.channels - step * MAX_DEPTH)
            for c in range(depth):
                source = (plane + step * MAX_DEPTH + c) * size + first_row * band.width + first
                if source + count + REGISTER_BYTES // x.itemsize <= x.size:
                    copy_run(memory, c * PITCH, x, source, count)
                else:
                    for j in range(count):
                        memory[c * PITCH + j] = x[source + j]
            panel = (group * steps + step) * band.padded_rows * PITCH
            multiply(
                memory, band.z_at + first, band.z_pitch, a, panel, band.padded_rows, memory, 0, PITCH, count,
                depth, step == 0,
            )  # fmt: skip
    for m in range(band.rows):
        channel = group * band.rows + m
        for q in range(first_q, end_q):
            to = (image * band.groups * band.rows + channel) * band.out_height + q * band.stride_height
            _gather(
                y, bias[channel], slope, memory, to * band.out_width, m, q, first_row, tap_rows, tap_columns,
                phase_taps, band,
            )  # fmt: skip


@kernel(parallel=True)
def convolve_thin(
    x, w, bias, slope, y, a, memory, workers, tap_rows, tap_columns, elements, element_ends, phase_taps, strides, bands
):
    """y = the walk over x plus bias, through the activation; the arrays are flat, and as in ``gemm.convolve``."""
    band = bands[0]
    _pack_weights(w, a, strides, elements, element_ends, band)
    for worker in prange(workers):
        band = bands[0]
        own = memory[worker * band.memory : (worker + 1) * band.memory]
        for task in range(worker, band.tasks, workers):
            _task(x, a, bias, slope, y, own, tap_rows, tap_columns, phase_taps, band, task)
