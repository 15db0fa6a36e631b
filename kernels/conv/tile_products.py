"""Convolutions by a bilinear algorithm (``bilinear.py``), as many matrix products as it has products.

With A[p] the sums of weights of product p (rows: output channels; columns k: source channels and
their kinds) and B[p] the sums of pixels (rows k; a column for each tile of each image),

    product[p] = A[p] @ B[p]          p = 0 ... P-1          and each output is a sum of some products

A task takes a band of rows of tiles in as many images as a register has lanes, or in several times as many, and

    1 stage      copies what its tiles see, for all channels, with the images side by side (``lanes.py``)

and then for a block of tiles

    2 add        makes B of all products, a tile of a channel at once
    3 multiply   for some output channels, A's panels of 12 rows by B's stripes of two registers, as ``gemm.py`` does
    4 finish     adds up their products to outputs, lays images apart again and writes them

The sums of weights are made before, once. The order of every sum depends on the shapes alone.
"""

from __future__ import annotations

from typing import NamedTuple

from ..jit import kernel
from ..simd import PITCH, UNIT
from ..simd_runs import all_finite, stream_sum, transpose_square, write_run
from ..simd_transforms import transform
from .bilinear import LINES, SQUARES
from .gemm import multiply
from .lanes import stage_lanes

REGISTER_BYTES = UNIT.register_bytes


class Tiling(NamedTuple):
    """Sizes, and places in a worker's memory, here and in ``tile_weights.py``.

    Rows and columns without a name are of tiles. In a weight gradient the source is x, and y is the gradient.
    """

    images: int
    channels: int  # of the source
    height: int
    width: int
    out_channels: int
    out_height: int
    out_width: int
    algorithm: int  # its number
    line_products: int  # in one dimension
    line_kinds: int
    products: int
    kinds: int
    kernel_width: int
    elements: int  # of the kernel
    side: int
    step: int
    span: int
    line_pixels: int  # different sums of pixels, in one dimension
    rows: int
    columns: int
    first_row: int  # of the source, that tile 0 sees; may be negative
    first_column: int
    crop_top: int  # outputs of tile 0 that lie before the first of y
    crop_left: int
    line: int  # pixels in a staged row of a band
    # All above follows from the algorithm and the shapes; what follows is chosen. The stage of the source is at 0, and
    # a place that is not used too.
    groups: int = 1  # of images, in a task
    parts: int = 1  # of the output channels, and how many are in one
    part: int = 0
    band_rows: int = 0
    bands: int = 0
    block_rows: int = 0
    block_columns: int = 0
    channel_block: int = 0  # source channels whose products are summed at once; in a weight gradient, in a task
    channel_blocks: int = 0
    chunk: int = 0  # output channels whose products are kept at once
    padded_rows: int = 0  # of A
    channel_size: int = 0  # numbers in the stage of a channel, and of one group of images
    group_size: int = 0
    gradients_at: int = 0  # the stage of the gradient, with ``pitch`` numbers for a pixel
    panels_at: int = 0  # A, where it is made block by block
    panel_pitch: int = 0  # from one product's A to the next
    columns_at: int = 0  # B
    column_pitch: int = 0  # from one product's B to the next
    products_at: int = 0
    product_pitch: int = 0
    results_at: int = 0  # outputs, or kernel elements
    images_at: int = 0  # the outputs of one channel, image by image
    image_pitch: int = 0
    pitch: int = 0  # of B and of the products
    memory: int = 0
    tasks: int = 0
    slice_bands: int = 0  # of a weight gradient's slice, bands of all groups of images
    gradient_size: int = 0  # numbers in a slice's gradient
    streamed: int = 0  # 1 if whole registers of y are written past the caches


WEIGHT_ROWS = 8  # output channels whose weights are summed together

_transform_weights = transform([line.weights for line in LINES])
_transform_pixels = transform([square.pixels for square in SQUARES])
_transform_products = transform([line.outputs for line in LINES])


@kernel
def sum_weights(w, a, memory, strides, tiling, task):
    """Fill A for some output channels and one block of channels. Row m of A[p] in channel block b begins at

        p * panel_pitch + (b * padded_rows + m) * PITCH

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
    line_kinds = tiling.line_kinds
    for i in range(count):
        for kind in range(tiling.kinds):
            row, column = kind // line_kinds, kind % line_kinds
            _transform_weights(
                tiling.algorithm,
                a, (block * tiling.padded_rows + first_m + i) * PITCH + kind * channels,
                (tiling.line_products * tiling.panel_pitch, tiling.panel_pitch),
                memory, i * size + (row * tiling.kernel_width + column) * PITCH,
                (line_kinds * tiling.kernel_width * PITCH, line_kinds * PITCH),
                (-(-channels // lanes), lanes, lanes),
            )  # fmt: skip


@kernel
def sum_pixels(memory, to, kind_pitch, product_pitch, stage, line, tiling, rows, columns):
    """Write the sums of pixels of all products that have their own, for a rectangle of tiles of one channel.

    The p-th of kind v go to memory[to + p * product_pitch + v * kind_pitch:]. The first tile's pixels begin at
    memory[stage], where a row has ``line`` of them.
    """
    lanes = REGISTER_BYTES // memory.itemsize
    line_kinds, step = tiling.line_kinds, tiling.step
    row_size = line * lanes
    for kind in range(tiling.kinds):
        for r in range(rows):
            _transform_pixels(
                tiling.algorithm,
                memory, to + kind * kind_pitch + r * columns * lanes,
                (tiling.line_pixels * product_pitch, product_pitch),
                memory, stage + (r * step + kind // line_kinds) * row_size + kind % line_kinds * lanes,
                (line_kinds * row_size, line_kinds * lanes),
                (columns, lanes, step * lanes),
            )  # fmt: skip


@kernel
def _write(y, to, memory, source, bias, slope, count, tiling):
    """y[to + i] = memory[source + i] + bias, times ``slope`` where that is not positive, for i < ``count``."""
    lanes = REGISTER_BYTES // y.itemsize
    if tiling.streamed and to % lanes == 0 and count % lanes == 0:
        stream_sum(y, to, memory, source, bias, slope, count)
    else:
        write_run(y, to, memory, source, bias, slope, count)


@kernel
def _finish(
    y, bias, slope, memory, source, tiling, first_image, first_m, channels, first_row, rows, first_column, columns
):  # fmt: skip
    """Write the outputs of a block of tiles, whose products begin at ``source``; return whether all are finite.

    Each image's come to lie side by side first, and if the block is as wide as the image, they are one run.
    """
    lanes = REGISTER_BYTES // y.itemsize
    side = tiling.side
    top, left = first_row * side - tiling.crop_top, first_column * side - tiling.crop_left
    first, end = max(0, top), min(tiling.out_height, top + rows * side)
    begin, width = max(0, left), min(tiling.out_width, left + columns * side) - max(0, left)
    if first >= end or width <= 0:
        return True
    present = min(lanes, tiling.images - first_image)
    size = tiling.out_height * tiling.out_width
    row_size = columns * side * lanes
    finite = True
    for m in range(channels):
        for r in range(rows):
            _transform_products(
                tiling.algorithm, memory, tiling.results_at + r * side * row_size, (row_size, lanes),
                memory, source + m * tiling.pitch + r * columns * lanes,
                (tiling.line_products * tiling.product_pitch, tiling.product_pitch),
                (columns, side * lanes, lanes),
            )  # fmt: skip
        finite = finite and all_finite(memory, tiling.results_at, rows * side * columns * side)
        for i in range(end - first):
            results = tiling.results_at + (first - top + i) * row_size + (begin - left) * lanes
            for j in range(0, width, lanes):
                transpose_square(
                    memory, tiling.images_at + i * width + j, tiling.image_pitch, memory, results + j * lanes, lanes
                )
        for image in range(present):
            plane = ((first_image + image) * tiling.out_channels + first_m + m) * size
            at = tiling.images_at + image * tiling.image_pitch
            if width == tiling.out_width:
                _write(y, plane + first * width, memory, at, bias[first_m + m], slope, (end - first) * width, tiling)
            else:
                for i in range(end - first):
                    to = plane + (first + i) * tiling.out_width + begin
                    _write(y, to, memory, at + i * width, bias[first_m + m], slope, width, tiling)
    return finite


@kernel
def convolve_task(x, a, bias, slope, y, memory, pixels_of, tiling, task):
    lanes = REGISTER_BYTES // y.itemsize
    part = task % tiling.parts * tiling.part
    task //= tiling.parts
    first_image = task // tiling.bands * tiling.groups * lanes
    groups = min(tiling.groups, -(-(tiling.images - first_image) // lanes))
    band = task % tiling.bands * tiling.band_rows
    band_rows = min(tiling.band_rows, tiling.rows - band)
    lines = (band_rows - 1) * tiling.step + tiling.span
    for group in range(groups):
        for channel in range(tiling.channels):
            stage_lanes(
                x, memory, group * tiling.group_size + channel * tiling.channel_size, first_image + group * lanes,
                tiling.images, tiling.channels, channel, tiling.height, tiling.width,
                tiling.first_row + band * tiling.step, lines, tiling.first_column, tiling.line,
            )  # fmt: skip
    finite = True
    for row in range(0, band_rows, tiling.block_rows):
        rows = min(tiling.block_rows, band_rows - row)
        for column in range(0, tiling.columns, tiling.block_columns):
            columns = min(tiling.block_columns, tiling.columns - column)
            numbers = rows * columns * lanes  # of a group, in a row of B
            first_pixel = (row * tiling.line + column) * tiling.step * lanes
            for channel in range(0, tiling.channels, tiling.channel_block):
                depth = min(tiling.channel_block, tiling.channels - channel)
                for group in range(groups):
                    to = tiling.columns_at + channel * tiling.kinds * tiling.pitch + group * numbers
                    stage = group * tiling.group_size + channel * tiling.channel_size + first_pixel
                    for c in range(depth):
                        sum_pixels(
                            memory, to + c * tiling.pitch, depth * tiling.pitch, tiling.column_pitch,
                            stage + c * tiling.channel_size, tiling.line, tiling, rows, columns,
                        )  # fmt: skip
            last_m = min(part + tiling.part, tiling.out_channels)
            for first_m in range(part, last_m, tiling.chunk):
                channels = min(tiling.chunk, last_m - first_m)
                for block in range(tiling.channel_blocks):
                    channel = block * tiling.channel_block
                    depth = min(tiling.channel_block, tiling.channels - channel)
                    for p in range(tiling.products):
                        multiply(
                            memory, tiling.products_at + p * tiling.product_pitch, tiling.pitch,
                            a, p * tiling.panel_pitch + (block * tiling.padded_rows + first_m) * PITCH, channels,
                            memory, tiling.columns_at + pixels_of[p] * tiling.column_pitch
                            + channel * tiling.kinds * tiling.pitch, tiling.pitch,
                            groups * numbers, depth * tiling.kinds, block == 0,
                        )  # fmt: skip
                for group in range(groups):
                    ended = _finish(
                        y, bias, slope, memory, tiling.products_at + group * numbers, tiling,
                        first_image + group * lanes, first_m, channels, band + row, rows, column, columns,
                    )  # fmt: skip
                    finite = finite and ended
    return finite
