"""The weight gradient by a bilinear algorithm: the transpose of ``tile_products.py``.

With the same sums of pixels, and sums of gradients whose coefficients are those of the outputs, turned round,

    product[p][(c, kind), o] = sum over all tiles of  pixels[p][(c, kind), tile] * gradients[p][tile, o]

and every kernel element's gradient is a sum of some products. A task takes some channels of x, and a slice of the bands
of all images. It goes over its tiles, a band at a time, or several groups of images if a band is the whole image, as
many tiles at once as make 256 columns of A with the images that a register holds:

    1 stage      x, a channel at a time, with the images side by side, and gy, an image at a time, with the channels
                 side by side (``lanes.py``)
    2 add        from these, A = sums of pixels (rows: channels and kinds; columns k: tiles and images), and B = sums
                 of gradients (rows k; columns: output channels), of all products
    3 multiply   A @ B, added to the products
    4 collect    after all tiles: products are added up to gradients of kernel elements, of this slice

The order of every sum depends on the shapes alone.
"""

from __future__ import annotations

import numpy as np

from ..jit import kernel
from ..simd import PITCH, UNIT
from ..simd_transforms import transform
from .bilinear import LINES, transposed
from .gemm import multiply
from .lanes import stage_channels, stage_lanes
from .tile_products import sum_pixels

REGISTER_BYTES = UNIT.register_bytes

# A function is compiled again for a literal argument, but not for this.
ZERO = np.int64(0)

# Every second line is an input gradient, which needs neither.
_transform_gradients = transform([transposed(line.outputs) for line in LINES[::2]])
_transform_elements = transform([transposed(line.weights) for line in LINES[::2]])


@kernel
def _sum_gradients(memory, to, tiling, rows, columns):
    """Write B of all products for a rectangle of tiles of the staged image; their rows are ``lanes`` apart."""
    lanes = REGISTER_BYTES // memory.itemsize
    line = columns * tiling.side * tiling.pitch
    registers = -(-tiling.out_channels // lanes)
    for r in range(rows):
        for column in range(columns):
            _transform_gradients(
                tiling.algorithm // 2,
                memory, to + (r * columns + column) * lanes * tiling.pitch,
                (tiling.line_products * tiling.column_pitch, tiling.column_pitch),
                memory, tiling.gradients_at + (r * line + column * tiling.pitch) * tiling.side,
                (line, tiling.pitch),
                (registers, lanes, lanes),
            )  # fmt: skip


@kernel
def _collect(gw, memory, strides, tiling, first_channel, channels):
    """Write the gradients of some channels' weights; return whether all are finite."""
    lanes = REGISTER_BYTES // gw.itemsize
    line_kinds = tiling.line_kinds
    finite = True
    for c in range(channels):
        for kind in range(tiling.kinds):
            element = kind // line_kinds * tiling.kernel_width + kind % line_kinds
            _transform_elements(
                tiling.algorithm // 2,
                memory, tiling.results_at + element * tiling.pitch,
                (line_kinds * tiling.kernel_width * tiling.pitch, line_kinds * tiling.pitch),
                memory, tiling.products_at + (c * tiling.kinds + kind) * tiling.pitch,
                (tiling.line_products * tiling.product_pitch, tiling.product_pitch),
                (-(-tiling.out_channels // lanes), lanes, lanes),
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
def correlate_task(x, y, gw, memory, strides, pixels_of, tiling, task):
    lanes = REGISTER_BYTES // x.itemsize
    part = task // tiling.channel_blocks
    first_channel = task % tiling.channel_blocks * tiling.channel_block
    channels = min(tiling.channel_block, tiling.channels - first_channel)
    own = gw[part * tiling.gradient_size : (part + 1) * tiling.gradient_size]
    first_band = part * tiling.slice_bands
    end = min(first_band + tiling.slice_bands, tiling.bands * -(-tiling.images // lanes))
    start = True
    for first in range(first_band, end, tiling.groups):
        groups = min(tiling.groups, end - first)
        first_row = first % tiling.bands * tiling.band_rows
        band_rows = min(tiling.band_rows, tiling.rows - first_row)
        for row in range(0, band_rows, tiling.block_rows):
            rows = min(tiling.block_rows, band_rows - row)
            for column in range(0, tiling.columns, tiling.block_columns):
                columns = min(tiling.block_columns, tiling.columns - column)
                numbers = rows * columns * lanes  # of a group, in a row of A
                lines, line = (rows - 1) * tiling.step + tiling.span, (columns - 1) * tiling.step + tiling.span
                for group in range(groups):
                    first_image = (first // tiling.bands + group) * lanes
                    for c in range(channels):
                        stage_lanes(
                            x, memory, ZERO, first_image, tiling.images, tiling.channels, first_channel + c,
                            tiling.height, tiling.width, tiling.first_row + (first_row + row) * tiling.step, lines,
                            tiling.first_column + column * tiling.step, line,
                        )  # fmt: skip
                        sum_pixels(
                            memory, tiling.panels_at + group * numbers + c * tiling.kinds * PITCH, PITCH,
                            tiling.panel_pitch, ZERO, line, tiling, rows, columns,
                        )  # fmt: skip
                    for image in range(lanes):
                        stage_channels(
                            y, memory, tiling.gradients_at, tiling.pitch, first_image + image, tiling.images,
                            tiling.out_channels, tiling.out_height, tiling.out_width,
                            (first_row + row) * tiling.side - tiling.crop_top, rows * tiling.side,
                            column * tiling.side - tiling.crop_left, columns * tiling.side,
                        )  # fmt: skip
                        _sum_gradients(
                            memory, tiling.columns_at + (group * numbers + image) * tiling.pitch, tiling, rows, columns
                        )
                for p in range(tiling.products):
                    multiply(
                        memory, tiling.products_at + p * tiling.product_pitch, tiling.pitch,
                        memory, tiling.panels_at + pixels_of[p] * tiling.panel_pitch, channels * tiling.kinds,
                        memory, tiling.columns_at + p * tiling.column_pitch, tiling.pitch,
                        tiling.out_channels, groups * numbers, start,
                    )  # fmt: skip
                start = False
    return _collect(own, memory, strides, tiling, first_channel, channels)
