"""Convolutions of few input channels, such as an image's one or three: the product is written where it belongs.

Such a layer does little arithmetic for every number that it writes (C * kH * kW multiplications, 16 or 48 in a
discriminator's first layer), and what ``gemm.py`` does besides counts: it keeps sums for several blocks of k, and
copies them to the output when all are there. Here one block of k holds the whole kernel. So the rows of

    B[k = (channel, u, v), j = pixel] = x[channel, row * stride + u * dilation - padding, ...]

for the pixels of a band, a few output rows, and its product A @ B lie side by side in the first cache and on a few
pages. The bias is one more row of B, of ones. Then the rows of the product are written to planes of the output; a large
output goes past the caches, so that they need not fetch what is overwritten.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import prange

from ..jit import kernel
from ..simd import UNIT
from ..simd_runs import copy_every_second, copy_run, stream_run, write_run
from .gemm import multiply

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
    depth: int  # rows of B: channels * kernel_height * kernel_width, and one for the bias if there is one
    band_rows: int
    bands: int  # of one image
    tasks: int
    pitch: int  # numbers from one row of B, and of the product, to the next: whole stripes
    streamed: int  # 1 if whole registers of y are written past the caches
    product_at: int  # in a worker's memory: B comes first
    memory: int


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
    if band.depth > band.channels * band.kernel_height * band.kernel_width:
        to = (band.depth - 1) * band.pitch
        for j in range(rows * band.out_width):
            memory[to + j] = 1


@kernel
def _task(x, a, y, memory, band, task):
    image, first_row = task // band.bands, task % band.bands * band.band_rows
    rows = min(band.band_rows, band.out_height - first_row)
    pixels = rows * band.out_width
    plane = band.out_height * band.out_width
    y_at = image * band.filters * plane + first_row * band.out_width
    lanes = REGISTER_BYTES // y.itemsize
    _gather(x, memory, image, first_row, rows, band)
    multiply(memory, band.product_at, band.pitch, a, 0, band.filters, memory, 0, band.pitch, pixels, band.depth, True)
    for m in range(band.filters):
        to, source = y_at + m * plane, band.product_at + m * band.pitch
        if band.streamed and to % lanes == 0 and pixels % lanes == 0:
            stream_run(y, to, memory, source, pixels)
        else:
            write_run(y, to, memory, source, y.dtype.type(0), pixels)


@kernel(parallel=True)
def convolve_shallow(x, a, y, memory, workers, bands):
    """y = conv2d(x, w) + bias; all flat. Row m of ``a``, PITCH numbers apart, is filter m and then its bias."""
    for worker in prange(workers):
        band = bands[0]
        own = memory[worker * band.memory : (worker + 1) * band.memory]
        for task in range(worker, band.tasks, workers):
            _task(x, a, y, own, band, task)
