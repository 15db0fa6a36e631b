"""Convolutions of few input channels, such as an image's one or three: the product is written where it belongs.

Such a layer does little arithmetic for every number that it writes (C * kH * kW multiplications, 16 or 48 in a
discriminator's first layer), and what ``gemm.py`` does besides counts: it keeps sums for several blocks of k, and
copies them to the output when all are there. Here one block of k holds the whole kernel. So the rows of

    B[k = (channel, u, v), j = pixel] = x[channel, row * stride + u * dilation - padding, ...]

for the pixels of a band, a few output rows, lie in the first cache, and the sums of a register tile are all there is to
an output: they go from the registers to its planes. A large output goes past the caches, so that they need not fetch
what is overwritten.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import prange

from ..jit import kernel
from ..simd import UNIT
from ..simd_runs import copy_every_second, copy_run
from .gemm import multiply_into

REGISTER_BYTES = UNIT.register_bytes


class Bands(NamedTuple):
    """Sizes. A task is a band of output rows of one image."""

    channels: int
    height: int
    width: int
    filters: int
    kernel_height: int
    kernel_width: int
    out_height: int
    out_width: int
    stride_height: int
    stride_width: int
    padding_height: int
    padding_width: int
    dilation_height: int
    dilation_width: int
    depth: int  # rows of B: channels * kernel_height * kernel_width
    band_rows: int
    bands: int  # of one image
    tasks: int
    pitch: int  # numbers from one row of B to the next: whole stripes
    streamed: int  # 1 if whole registers of y are written past the caches
    memory: int  # of a worker


@kernel
def _gather(x, memory, image, first_row, rows, band):
    """Write B for the band's rows."""
    step = band.stride_width
    for v in range(band.kernel_width):
        # Columns first + j * step, for the j from begin to end that are inside the image
        first = v * band.dilation_width - band.padding_width
        begin = min(band.out_width, max(0, -(first // step)))
        end = max(begin, min(band.out_width, -((first - band.width) // step)))
        count = end - begin
        first += begin * step
        read = step * (count + REGISTER_BYTES // x.itemsize) + 1
        for channel in range(band.channels):
            plane = (image * band.channels + channel) * band.height
            for u in range(band.kernel_height):
                k = (channel * band.kernel_height + u) * band.kernel_width + v
                to = k * band.pitch
                row = first_row * band.stride_height + u * band.dilation_height - band.padding_height
                for _ in range(rows):
                    if row < 0 or row >= band.height or count == 0:
                        for j in range(band.out_width):
                            memory[to + j] = 0
                    else:
                        source = (plane + row) * band.width + first
                        for j in range(begin):
                            memory[to + j] = 0
                        if step == 1 and source + read <= x.size:
                            copy_run(memory, to + begin, x, source, count)
                        elif step == 2 and source + read <= x.size:
                            copy_every_second(memory, to + begin, x, source, count)
                        else:
                            for j in range(count):
                                memory[to + begin + j] = x[source + j * step]
                        for j in range(end, band.out_width):
                            memory[to + j] = 0
                    row += band.stride_height
                    to += band.out_width


@kernel
def _task(x, a, bias, slope, y, memory, b_rows, band, task):
    image, first_row = task // band.bands, task % band.bands * band.band_rows
    rows = min(band.band_rows, band.out_height - first_row)
    plane = band.out_height * band.out_width
    _gather(x, memory, image, first_row, rows, band)
    multiply_into(
        y, image * band.filters * plane + first_row * band.out_width, plane, bias, 0, slope, a, 0, band.filters,
        memory, 0, b_rows, 1, 0, rows * band.out_width, band.depth, band.streamed != 0,
    )  # fmt: skip


@kernel(parallel=True)
def convolve_shallow(x, a, bias, slope, y, memory, b_rows, workers, bands):
    """y = conv2d(x, w) + bias, times ``slope`` where that is not positive; all flat.

    Row m of ``a``, PITCH numbers apart, is filter m.
    """
    for worker in prange(workers):
        band = bands[0]
        own = memory[worker * band.memory : (worker + 1) * band.memory]
        for task in range(worker, band.tasks, workers):
            _task(x, a, bias, slope, y, own, b_rows, band, task)
