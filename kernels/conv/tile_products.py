"""Convolutions by a bilinear algorithm (``bilinear.py``), as many matrix products as it has products.

With A[p] the sums of weights of product p (rows: output channels; columns k: source channels and
their kinds) and B[p] the sums of pixels (rows k; a column for each tile of each image),

    product[p] = A[p] @ B[p]          p = 0 ... P-1          and each output is a sum of some products

A task takes a band of rows of tiles in as many images as a register has lanes, and

    1 stage      copies what its tiles see, for all channels, with the images side by side (``lanes.py``)

and then for a block of tiles at a time

    2 add        makes at most 256 rows of B[p], whole registers added to whole registers, if B[p - 1] is not the same
    3 multiply   A's panels of 12 rows by B's stripes of two registers, as ``gemm.py`` does
    4 finish     adds up the products to outputs, lays images apart again and writes rows of them

The sums of weights are made before, once. The order of every sum depends on the shapes alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..jit import kernel
from ..simd import PITCH, UNIT
from ..simd_runs import transpose_square, transpose_square_streaming, write_run
from ..simd_sums import all_finite, weighted_sum
from .gemm import multiply
from .lanes import stage_lanes

REGISTER_BYTES = UNIT.register_bytes


class Tiling(NamedTuple):
    """Sizes, and places in the table of sums and in a worker's memory, here and in ``tile_weights.py``.

    Rows and columns without a name are of tiles. In a weight gradient the source is x, and y is the gradient.
    """

    images: int
    channels: int  # of the source
    height: int
    width: int
    out_channels: int
    out_height: int
    out_width: int
    products: int  # of the algorithm
    kinds: int
    elements: int  # of the kernel
    side: int
    step: int
    span: int
    output_entry: int  # in the table of sums, which begins with those of pixels: the sums of products, or gradients
    rows: int
    columns: int
    first_row: int  # of the source, that tile 0 sees; may be negative
    first_column: int
    crop_top: int  # outputs of tile 0 that lie before the first of y
    crop_left: int
    line: int  # pixels in a staged row
    stage_at: int  # in a worker's memory: the source
    # All above follows from the algorithm and the shapes; what follows is chosen. A place that is not used is 0.
    weight_entry: int = 0  # in the table: the sums of weights; or of products, one for each kernel element
    band_rows: int = 0
    bands: int = 0
    block_rows: int = 0
    block_columns: int = 0
    channel_block: int = 0  # source channels whose products are summed at once
    channel_blocks: int = 0
    chunk: int = 0  # output channels for which B is made at once; in a weight gradient, channels of x in a task
    padded_rows: int = 0  # of A
    gradients_at: int = 0  # the gradient, with ``pitch`` numbers for a pixel
    panels_at: int = 0  # A, where it is made block by block
    columns_at: int = 0  # B
    products_at: int = 0
    results_at: int = 0  # outputs, or kernel elements
    square_at: int = 0  # a square of as many registers as a register has lanes
    pitch: int = 0  # of B and of the products
    product_pitch: int = 0
    memory: int = 0
    tasks: int = 0
    slice_images: int = 0  # of a weight gradient's slice
    gradient_size: int = 0  # numbers in a slice's gradient
    streamed: int = 0  # 1 if whole registers of y are written past the caches


# A function is compiled again for a literal argument, but not for these.
ZERO, ONE = np.int64(0), np.int64(1)

WEIGHT_ROWS = 8  # output channels whose weights are summed together


@kernel
def sum_weights(w, a, memory, strides, first, offset, coefficient, tiling, task):
    """Fill A for some output channels and one block of channels. Row m of A[p] in channel block b begins at

        ((p * channel_blocks + b) * padded_rows + m) * PITCH

    k is a kind and channel of the block: the weights are first laid out with the channels contiguous. ``strides``
    are those of w by output channel and channel.
    """
    lanes = REGISTER_BYTES // w.itemsize
    block = task % tiling.channel_blocks
    first_m = task // tiling.channel_blocks * WEIGHT_ROWS
    count = min(WEIGHT_ROWS, tiling.out_channels - first_m)
    first_channel = block * tiling.channel_block
    channels = min(tiling.channel_block, tiling.channels - first_channel)
    size = tiling.elements * PITCH
    for c in range(0, channels, lanes):
        for i in range(count):
            source = (first_m + i) * strides[0] + (first_channel + c) * strides[1]
            to = i * size + c
            if c + lanes <= channels and tiling.elements % lanes == 0:
                for e in range(0, tiling.elements, lanes):
                    transpose_square(memory, to + e * PITCH, PITCH, w, source + e, strides[1])
            else:
                for channel in range(min(lanes, channels - c)):
                    for e in range(tiling.elements):
                        memory[to + e * PITCH + channel] = w[source + channel * strides[1] + e]
    for p in range(tiling.products):
        panel = (p * tiling.channel_blocks + block) * tiling.padded_rows
        for i in range(count):
            row = (panel + first_m + i) * PITCH
            for kind in range(tiling.kinds):
                weighted_sum(
                    a, row + kind * channels, memory, i * size, first, offset, coefficient,
                    tiling.weight_entry + p * tiling.kinds + kind, memory.dtype.type(0),
                    (ONE, ZERO, ZERO, -(-channels // lanes), lanes, lanes),
                )  # fmt: skip


@kernel
def sum_pixels(
    memory, to, kind_pitch, channel_pitch, stage, entry, first, offset, coefficient, channels, channel_size, tiling,
    first_row, rows, first_column, columns,
):  # fmt: skip
    """Write the sums of pixels of one product, whose table entries start at ``entry``, for a rectangle of tiles.

    Kind v of channel c goes to memory[to + v * kind_pitch + c * channel_pitch:]. The rectangle is counted from the
    stage's first tile; a staged channel has ``channel_size`` numbers.
    """
    lanes = REGISTER_BYTES // memory.itemsize
    tile = tiling.step * lanes
    for kind in range(tiling.kinds):
        for r in range(rows):
            weighted_sum(
                memory, to + kind * kind_pitch + r * columns * lanes,
                memory, stage + (first_row + r) * tile * tiling.line + first_column * tile,
                first, offset, coefficient, entry + kind, memory.dtype.type(0),
                (channels, channel_pitch, channel_size, columns, lanes, tile),
            )  # fmt: skip


@kernel
def _write(y, memory, to, source, count, image_pitch, present, tiling):
    """y[to + image * image_pitch + j] = memory[source + j * lanes + image] for j < ``count`` and images present."""
    lanes = REGISTER_BYTES // y.itemsize
    for j in range(0, count, lanes):
        if present == lanes and j + lanes <= count and tiling.streamed and (to + j) % lanes == 0:
            transpose_square_streaming(y, to + j, image_pitch, memory, source + j * lanes, lanes)
        elif present == lanes and j + lanes <= count:
            transpose_square(y, to + j, image_pitch, memory, source + j * lanes, lanes)
        else:
            transpose_square(memory, tiling.square_at, lanes, memory, source + j * lanes, lanes)
            for image in range(present):
                write_run(
                    y, to + j + image * image_pitch, memory, tiling.square_at + image * lanes, 0.0,
                    min(lanes, count - j),
                )  # fmt: skip


@kernel
def _finish(
    y, bias, memory, first, offset, coefficient, tiling, first_image, first_m, channels, first_row, rows, first_column,
    columns,
):  # fmt: skip
    """Write the outputs of a block of tiles; return whether all are finite."""
    lanes = REGISTER_BYTES // y.itemsize
    side = tiling.side
    present = min(lanes, tiling.images - first_image)
    size = tiling.out_height * tiling.out_width
    image_pitch = tiling.out_channels * size
    finite = True
    left = first_column * side - tiling.crop_left
    begin, end = max(0, left), min(tiling.out_width, left + columns * side)
    for m in range(channels):
        plane = first_image * image_pitch + (first_m + m) * size
        for r in range(rows):
            source = tiling.products_at + m * tiling.pitch + r * columns * lanes
            for i in range(side):
                row = (first_row + r) * side + i - tiling.crop_top
                if row < 0 or row >= tiling.out_height or begin >= end:
                    continue
                for j in range(side):
                    weighted_sum(
                        memory, tiling.results_at + j * lanes, memory, source, first, offset, coefficient,
                        tiling.output_entry + i * side + j, bias[first_m + m],
                        (ONE, ZERO, ZERO, columns, side * lanes, lanes),
                    )  # fmt: skip
                finite = finite and all_finite(memory, tiling.results_at, columns * side)
                _write(
                    y, memory, plane + row * tiling.out_width + begin, tiling.results_at + (begin - left) * lanes,
                    end - begin, image_pitch, present, tiling,
                )  # fmt: skip
    return finite


@kernel
def convolve_task(x, a, bias, y, memory, own_pixels, first, offset, coefficient, tiling, task):
    lanes = REGISTER_BYTES // y.itemsize
    first_image = task // tiling.bands * lanes
    band = task % tiling.bands * tiling.band_rows
    band_rows = min(tiling.band_rows, tiling.rows - band)
    lines = (band_rows - 1) * tiling.step + tiling.span
    channel_size = lines * tiling.line * lanes
    stage_lanes(
        x, memory, tiling.stage_at, first_image, tiling.images, tiling.channels, ZERO, tiling.channels,
        tiling.height, tiling.width, tiling.first_row + band * tiling.step, lines, tiling.first_column, tiling.line,
    )  # fmt: skip
    finite = True
    for row in range(0, band_rows, tiling.block_rows):
        rows = min(tiling.block_rows, band_rows - row)
        for column in range(0, tiling.columns, tiling.block_columns):
            columns = min(tiling.block_columns, tiling.columns - column)
            for first_m in range(0, tiling.out_channels, tiling.chunk):
                channels = min(tiling.chunk, tiling.out_channels - first_m)
                for block in range(tiling.channel_blocks):
                    first_channel = block * tiling.channel_block
                    depth = min(tiling.channel_block, tiling.channels - first_channel)
                    for p in range(tiling.products):
                        if own_pixels[p]:
                            sum_pixels(
                                memory, tiling.columns_at, depth * tiling.pitch, tiling.pitch,
                                first_channel * channel_size, p * tiling.kinds, first, offset, coefficient, depth,
                                channel_size, tiling, row, rows, column, columns,
                            )  # fmt: skip
                        panel = (p * tiling.channel_blocks + block) * tiling.padded_rows + first_m
                        multiply(
                            memory, tiling.products_at + p * tiling.product_pitch, tiling.pitch, a, panel * PITCH,
                            channels, memory, tiling.columns_at, tiling.pitch,
                            rows * columns * lanes, depth * tiling.kinds, block == 0,
                        )  # fmt: skip
                ended = _finish(
                    y, bias, memory, first, offset, coefficient, tiling, first_image, first_m, channels, band + row,
                    rows, column, columns,
                )  # fmt: skip
                finite = finite and ended
    return finite
