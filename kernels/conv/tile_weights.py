"""The weight gradient by a bilinear algorithm: the transpose of ``tile_products.py``.

With the same sums of pixels, and sums of gradients whose coefficients are those of the outputs, turned round,

    product[p][(c, kind), o] = sum over all tiles of  pixels[p][(c, kind), tile] * gradients[p][tile, o]

and every kernel element's gradient is a sum of some products. A task takes some channels of x, and a slice of the
images where channels are few. It goes over all tiles, a band at a time, as many tiles at once as make 256 columns of A
with the images that a register holds:

    1 stage      x with the images side by side, gy with the channels side by side (``lanes.py``)
    2 add        A = sums of pixels (rows: channels and kinds; columns k: tiles and images), and B = sums of gradients
                 (rows k; columns: output channels), for one product
    3 multiply   A @ B, added to the product
    4 collect    after all tiles: products are added up to gradients of kernel elements, of this slice

The order of every sum depends on the shapes alone.
"""

from __future__ import annotations

from ..jit import kernel
from ..simd import PITCH, UNIT
from ..simd_sums import weighted_sum
from .gemm import multiply
from .lanes import stage_channels, stage_lanes
from .tile_products import ONE, ZERO, sum_pixels

REGISTER_BYTES = UNIT.register_bytes


@kernel
def _sum_gradients(memory, p, first, offset, coefficient, tiling, first_row, rows, first_column, columns, lines):
    """Write B of product p, for a rectangle of tiles of the band; a row for each tile and image."""
    lanes = REGISTER_BYTES // memory.itemsize
    gradient_line = tiling.columns * tiling.side * tiling.pitch
    for r in range(rows):
        for column in range(columns):
            tile = (first_row + r) * tiling.side * gradient_line + (first_column + column) * tiling.side * tiling.pitch
            weighted_sum(
                memory, tiling.columns_at + (r * columns + column) * lanes * tiling.pitch,
                memory, tiling.gradients_at + tile, first, offset, coefficient, tiling.output_entry + p,
                memory.dtype.type(0),
                (lanes, tiling.pitch, lines * gradient_line, -(-tiling.out_channels // lanes), lanes, lanes),
            )  # fmt: skip


@kernel
def _collect(gw, memory, strides, first, offset, coefficient, tiling, first_channel, channels):
    """Write the gradients of some channels' weights; return whether all are finite."""
    lanes = REGISTER_BYTES // gw.itemsize
    registers = -(-tiling.out_channels // lanes)
    finite = True
    for c in range(channels):
        source = tiling.products_at + c * tiling.kinds * tiling.pitch
        for e in range(tiling.elements):
            weighted_sum(
                memory, tiling.results_at + e * tiling.pitch, memory, source, first, offset, coefficient,
                tiling.weight_entry + e, memory.dtype.type(0), (ONE, ZERO, ZERO, registers, lanes, lanes),
            )  # fmt: skip
        for o in range(tiling.out_channels):
            to = o * strides[0] + (first_channel + c) * strides[1]
            total = memory[tiling.results_at] * 0
            for e in range(tiling.elements):
                value = memory[tiling.results_at + e * tiling.pitch + o]
                gw[to + e] = value
                total += value - value
            finite = finite and total == 0
    return finite


@kernel
def correlate_task(x, y, gw, memory, strides, own_pixels, first, offset, coefficient, tiling, task):
    lanes = REGISTER_BYTES // x.itemsize
    part = task // tiling.channel_blocks
    first_channel = task % tiling.channel_blocks * tiling.chunk
    channels = min(tiling.chunk, tiling.channels - first_channel)
    own = gw[part * tiling.gradient_size : (part + 1) * tiling.gradient_size]
    first_of_part = part * tiling.slice_images
    start = True
    for first_image in range(first_of_part, min(tiling.images, first_of_part + tiling.slice_images), lanes):
        for band in range(0, tiling.rows, tiling.band_rows):
            band_rows = min(tiling.band_rows, tiling.rows - band)
            lines = (band_rows - 1) * tiling.step + tiling.span
            channel_size = lines * tiling.line * lanes
            stage_lanes(
                x, memory, tiling.stage_at, first_image, tiling.images, tiling.channels, first_channel, channels,
                tiling.height, tiling.width, tiling.first_row + band * tiling.step, lines, tiling.first_column,
                tiling.line,
            )  # fmt: skip
            stage_channels(
                y, memory, tiling.gradients_at, tiling.pitch, first_image, tiling.images, tiling.out_channels,
                tiling.out_height, tiling.out_width, band * tiling.side - tiling.crop_top, band_rows * tiling.side,
                -tiling.crop_left, tiling.columns * tiling.side,
            )  # fmt: skip
            for row in range(0, band_rows, tiling.block_rows):
                rows = min(tiling.block_rows, band_rows - row)
                for column in range(0, tiling.columns, tiling.block_columns):
                    columns = min(tiling.block_columns, tiling.columns - column)
                    for p in range(tiling.products):
                        if own_pixels[p]:
                            sum_pixels(
                                memory, tiling.panels_at, ONE * PITCH, tiling.kinds * PITCH, tiling.stage_at,
                                p * tiling.kinds, first, offset, coefficient, channels, channel_size, tiling, row, rows,
                                column, columns,
                            )  # fmt: skip
                        _sum_gradients(
                            memory, p, first, offset, coefficient, tiling, row, rows, column, columns,
                            band_rows * tiling.side,
                        )  # fmt: skip
                        multiply(
                            memory, tiling.products_at + p * tiling.product_pitch, tiling.pitch, memory,
                            tiling.panels_at, channels * tiling.kinds, memory, tiling.columns_at, tiling.pitch,
                            tiling.out_channels, rows * columns * lanes, start,
                        )  # fmt: skip
                    start = False
    return _collect(own, memory, strides, first, offset, coefficient, tiling, first_channel, channels)
