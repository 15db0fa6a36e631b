"""Convolutions of few input channels, such as an image's one or three: the product is written where it belongs.

Such a layer does little arithmetic for every number that it writes (C * kH * kW multiplications, 16 or 48 in a
discriminator's first layer), and what ``gemm.py`` does besides counts: it keeps sums for several blocks of k, and
copies them to the output when all are there. Here one block of k holds the whole kernel. So the rows of

    B[k = (channel, u, v), j = pixel] = x[channel, row * stride + u * dilation - padding, ...]

for all pixels of a band of output rows stay in the second cache, and each register tile of A @ B is final: it goes
straight to its place in the output, whose planes are the rows of the product. The bias is one more row of B, of
ones. What does not fill a tile (the last pixels of a band, the last filters) goes through a scratch buffer.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import prange

from ..jit import kernel
from ..simd import PANEL_ROWS, PITCH, ROW_STEP, UNIT
from ..simd_runs import copy_every_second, copy_run, prefetch, write_run
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
    pitch: int  # numbers from one row of B to the next
    scratch_at: int  # in a worker's memory: B comes first
    memory: int


@kernel
def _gather_row(x, to_memory, to, source_row, first_column, band):
    """Write one output row's pixels of x's row ``source_row``: columns first_column + j * stride, zero outside."""
    step = band.stride_width
    begin = min(band.out_width, max(0, -(first_column // step)))  # the first inside the image
    end = max(begin, min(band.out_width, -((first_column - band.width) // step)))
    for j in range(begin):
        to_memory[to + j] = 0
    count = end - begin
    if count > 0:
        source = source_row + first_column + begin * step
        safe = source + step * (count + REGISTER_BYTES // x.itemsize) + 1 < x.size
        if step == 1 and safe:
            copy_run(to_memory, to + begin, x, source, count)
        elif step == 2 and safe:
            copy_every_second(to_memory, to + begin, x, source, count)
        else:
            for j in range(count):
                to_memory[to + begin + j] = x[source + j * step]
    for j in range(end, band.out_width):
        to_memory[to + j] = 0


@kernel
def _gather(x, memory, image, first_row, rows, band):
    """Write B for the band's rows."""
    k = 0
    for channel in range(band.channels):
        plane = (image * band.channels + channel) * band.height
        for u in range(band.kernel_height):
            for v in range(band.kernel_width):
                first_column = v * band.dilation_width - band.padding_width
                to = k * band.pitch
                for i in range(first_row, first_row + rows):
                    row = i * band.stride_height + u * band.dilation_height - band.padding_height
                    if row < 0 or row >= band.height:
                        for j in range(band.out_width):
                            memory[to + j] = 0
                    else:
                        _gather_row(x, memory, to, (plane + row) * band.width, first_column, band)
                    to += band.out_width
                k += 1
    if k < band.depth:
        for j in range(rows * band.out_width):
            memory[k * band.pitch + j] = 1


@kernel
def _through_scratch(y, y_at, plane, a, first, filters, memory, column, count, band):
    """The product for some filters and fewer pixels than a stripe, by way of the scratch buffer."""
    stripe = 2 * REGISTER_BYTES // y.itemsize
    multiply(
        memory, band.scratch_at, stripe, a, first * PITCH, filters, memory, column, band.pitch, stripe, band.depth, True
    )  # fmt: skip
    for m in range(filters):
        write_run(y, y_at + (first + m) * plane, memory, band.scratch_at + m * stripe, y.dtype.type(0), count)


@kernel
def _task(x, a, y, memory, band, task):
    image, first_row = task // band.bands, task % band.bands * band.band_rows
    rows = min(band.band_rows, band.out_height - first_row)
    pixels = rows * band.out_width
    plane = band.out_height * band.out_width
    y_at = image * band.filters * plane + first_row * band.out_width
    stripe = 2 * REGISTER_BYTES // y.itemsize
    whole_filters = band.filters // ROW_STEP * ROW_STEP
    whole_pixels = pixels // stripe * stripe
    _gather(x, memory, image, first_row, rows, band)
    if whole_filters > 0 and whole_pixels > 0:
        # Tile by tile, and the next one's places in the output fetched meanwhile: planes are too far apart for the
        # processor to guess.
        for m in range(0, whole_filters, PANEL_ROWS):
            rows_of_a = min(PANEL_ROWS, whole_filters - m)
            to = y_at + m * plane
            for column in range(0, whole_pixels, stripe):
                for r in range(rows_of_a):
                    for line in range(0, stripe, 64 // y.itemsize):
                        prefetch(y, to + r * plane + column + stripe + line)
                multiply(
                    y, to + column, plane, a, m * PITCH, rows_of_a, memory, column, band.pitch, stripe, band.depth, True
                )  # fmt: skip
    if whole_pixels < pixels:
        _through_scratch(
            y, y_at + whole_pixels, plane, a, 0, band.filters, memory, whole_pixels, pixels - whole_pixels, band
        )  # fmt: skip
    if whole_filters < band.filters:
        for column in range(0, whole_pixels, stripe):
            _through_scratch(
                y, y_at + column, plane, a, whole_filters, band.filters - whole_filters, memory, column, stripe, band
            )  # fmt: skip


@kernel(parallel=True)
def convolve_shallow(x, a, y, memory, workers, bands):
    """y = conv2d(x, w) + bias; all flat. Row m of ``a``, PITCH numbers apart, is filter m and then its bias."""
    for worker in prange(workers):
        band = bands[0]
        own = memory[worker * band.memory : (worker + 1) * band.memory]
        for task in range(worker, band.tasks, workers):
            _task(x, a, y, own, band, task)
