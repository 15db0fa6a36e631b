"""The sizes with which bilinear algorithms run: bands, blocks and tables for ``tile_tasks.py``."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from ..simd import MAX_DEPTH, PITCH, ROW_STEP, lanes
from . import blocks, tile_products, tile_tasks
from .bilinear import Square
from .memory import streamed, up, workspace
from .plan import Pair, Sizes, made_once
from .products import whole_bias

# The source of a task; blocks of it are read again for the tiles next to them only.
_STAGE_BYTES = 2048 * 1024
# The products of a block of tiles and of some output channels, which are read out of order, belong in the second cache;
# B, which is read in the order of memory, may lie in the third, and has at most so much if two tiles' is not more.
_PRODUCT_BYTES = 704 * 1024
_LEAST_CHUNK = 20  # of output channels
_TILES_BYTES = 3072 * 1024
# B of a weight gradient: the second cache, or as much as the products if they are larger, for these are read and
# written once for each B.
_COLUMN_BYTES = (1024 * 1024, 8192 * 1024)
# Parts of a weight gradient, of channels and of images, if there are so many groups of images; and the least columns of
# A, over all its tiles, that a part of the images has: each part reads and writes all products.
_MOST_SLICES = 4
_LEAST_COLUMNS = 512


class Placed(NamedTuple):
    """An algorithm at its place: the source pixel that tile 0 sees first, and the outputs before the first of y."""

    algorithm: Square
    first: Pair
    crop: Pair = (0, 0)


def _parts(count: int, most: int) -> int:
    """Return the size of the parts if ``count`` is cut into equal ones of at most ``most``."""
    return -(-count // -(-count // max(1, most)))


def _outline(placed: Placed, x_shape: Sizes, y_shape: Sizes, kernel: Pair) -> tile_products.Tiling:
    """Return the sizes that follow from the algorithm and the shapes; the others are still 0."""
    algorithm = placed.algorithm
    rows, columns = (-(-(count + crop) // algorithm.side) for count, crop in zip(y_shape[2:], placed.crop, strict=True))
    return tile_products.Tiling(
        images=x_shape[0],
        channels=x_shape[1],
        height=x_shape[2],
        width=x_shape[3],
        out_channels=y_shape[1],
        out_height=y_shape[2],
        out_width=y_shape[3],
        algorithm=algorithm.number,
        line_products=algorithm.line_products,
        line_kinds=algorithm.line_kinds,
        products=algorithm.products,
        kinds=algorithm.kinds,
        kernel_width=kernel[1],
        elements=kernel[0] * kernel[1],
        side=algorithm.side,
        step=algorithm.step,
        span=algorithm.span,
        line_pixels=len(algorithm.pixels),
        rows=rows,
        columns=columns,
        first_row=placed.first[0],
        first_column=placed.first[1],
        crop_top=placed.crop[0],
        crop_left=placed.crop[1],
        line=(columns - 1) * algorithm.step + algorithm.span,
    )


class Plan(NamedTuple):
    """Everything that `tile_tasks.run_tasks` is called with besides its arrays: it follows from their shapes."""

    memory: int  # numbers of working memory in all
    workers_at: int  # in it: the workers' own
    panels_at: int  # A, the sums of weights
    pixels_of: np.ndarray
    tiling: np.ndarray
    slices: int = 1  # of a weight gradient, whose parts are the first numbers of the memory if there are several


@made_once
def _convolution(
    placed: Placed, x_shape: Sizes, y_shape: Sizes, kernel: Pair, dtype: np.dtype, workers: int, streamed: bool
) -> Plan:
    algorithm = placed.algorithm
    outline = _outline(placed, x_shape, y_shape, kernel)
    products, kinds, side, step, span = outline.products, outline.kinds, outline.side, outline.step, outline.span
    channels, out_channels = outline.channels, outline.out_channels
    rows, columns, line = outline.rows, outline.columns, outline.line
    lane, size = lanes(dtype.itemsize), dtype.itemsize
    stripe = 2 * lane
    groups = -(-outline.images // lane)

    pixel_row = channels * line * lane * size
    band_rows = max(1, (_STAGE_BYTES // pixel_row - span) // step + 1)
    bands = max(-(-rows // band_rows), min(rows, -(-2 * workers // groups)))
    band_rows = _parts(rows, -(-rows // bands))
    bands = -(-rows // band_rows)

    channel_block = _parts(channels, MAX_DEPTH // kinds)
    pixels = outline.line_pixels**2
    padded_rows = up(out_channels, ROW_STEP)
    # Eight tiles at once, so that A is read seldom, or four or two, if those leave room for fewer output channels than
    # B's reading is worth, or if B becomes too large.
    for tiles_at_once in (8, 4, 2):
        row_size = (tiles_at_once // 2 * stripe + lane) * size
        most = _PRODUCT_BYTES // (products * row_size)
        if most >= _LEAST_CHUNK and pixels * channels * kinds * row_size <= _TILES_BYTES:
            break
    block_columns = _parts(columns, tiles_at_once)
    block_rows = _parts(band_rows, tiles_at_once // block_columns)
    at_once = 1
    if bands == 1:  # small images: several groups of them
        at_once = _parts(groups, min(tiles_at_once // (block_rows * block_columns), groups))
    # If that makes too few tasks, each worker stages them all and makes a part of the output channels.
    tasks = -(-groups // at_once) * bands
    part = up(_parts(out_channels, -(-out_channels // max(1, workers // tasks))), ROW_STEP)
    chunk = up(_parts(part, most), ROW_STEP)
    pitch = up(at_once * block_rows * block_columns * lane, stripe)
    pitch += lane if pitch > stripe else 0  # rows of one stripe fill the cache's sets by themselves

    channel_size = ((band_rows - 1) * step + span) * line * lane
    group_size = up(channels * channel_size + lane * lane, 16)
    columns_at = at_once * group_size
    column_pitch = channels * kinds * pitch + lane
    products_at = up(columns_at + pixels * column_pitch + stripe, 16)
    product_pitch = chunk * pitch + lane
    results_at = products_at + products * product_pitch
    outputs = block_rows * block_columns * side * side
    images_at = results_at + (outputs + lane) * lane
    image_pitch = up(outputs, stripe) + lane
    of_weights = tile_products.WEIGHT_ROWS * kernel[0] * kernel[1] * PITCH + lane * PITCH
    memory_size = max(images_at + lane * (image_pitch + lane), of_weights)
    channel_blocks = -(-channels // channel_block)
    tiling = outline._replace(
        groups=at_once,
        band_rows=band_rows,
        bands=bands,
        block_rows=block_rows,
        block_columns=block_columns,
        channel_block=channel_block,
        channel_blocks=channel_blocks,
        chunk=chunk,
        padded_rows=padded_rows,
        channel_size=channel_size,
        group_size=group_size,
        panel_pitch=channel_blocks * padded_rows * PITCH,
        columns_at=columns_at,
        column_pitch=column_pitch,
        products_at=products_at,
        product_pitch=product_pitch,
        results_at=results_at,
        images_at=images_at,
        image_pitch=image_pitch,
        pitch=pitch,
        memory=up(memory_size, 16),
        parts=-(-out_channels // part),
        part=part,
        tasks=tasks * -(-out_channels // part),
        streamed=streamed,
    )
    return Plan(
        memory=workers * tiling.memory + products * tiling.panel_pitch,
        workers_at=0,
        panels_at=workers * tiling.memory,
        pixels_of=np.array(algorithm.pixels_of),
        tiling=blocks.record(tiling),
    )


def convolve(
    placed: Placed, x: np.ndarray, w: np.ndarray, strides: Pair, kernel: Pair, bias: np.ndarray, slope: np.floating,
    y: np.ndarray,
) -> bool:  # fmt: skip
    """y = the convolution of x with w, plus bias, which may have length 0, times ``slope`` where that is not positive.
    Return False if some sum is not finite.

    ``strides`` are those of w by output channel and by channel of x; its ``kernel`` is contiguous.
    """
    workers, bypass = numba.get_num_threads(), streamed(y, y[0].size, lanes(x.itemsize))
    plan = _convolution(placed, x.shape, y.shape, kernel, x.dtype, workers, bypass)
    memory = workspace(plan.memory, x.dtype)
    finite = np.empty(workers, np.int64)
    bias = whole_bias(bias, y)
    for what in (tile_tasks.SUM_WEIGHTS, tile_tasks.CONVOLVE):
        tile_tasks.run_tasks(
            what, x.reshape(-1), w.reshape(-1), bias, slope, y.reshape(-1), memory[plan.panels_at :], memory, finite,
            strides, plan.pixels_of, plan.tiling,
        )  # fmt: skip
    return 0 not in finite.tolist()


@made_once
def _correlation(placed: Placed, x_shape: Sizes, y_shape: Sizes, kernel: Pair, dtype: np.dtype, workers: int) -> Plan:
    algorithm = placed.algorithm
    outline = _outline(placed, x_shape, y_shape, kernel)
    products, kinds, side, step, span = outline.products, outline.kinds, outline.side, outline.step, outline.span
    channels, rows, columns = outline.channels, outline.rows, outline.columns
    lane = lanes(dtype.itemsize)
    pitch = up(outline.out_channels, 2 * lane) + lane
    gradient_size = outline.out_channels * channels * outline.elements

    chunk = _parts(channels, MAX_DEPTH // kinds)
    # As many tiles as make 256 columns of A, unless B, which has as many rows, becomes too large for that.
    row_size = products * pitch * dtype.itemsize  # of B and of the products, of all at once
    most = min(max(_COLUMN_BYTES[0], chunk * kinds * row_size), _COLUMN_BYTES[1]) // (lane * row_size)
    tiles_at_once = max(1, min(MAX_DEPTH // lane, most))
    band_rows = _parts(rows, -(-tiles_at_once // columns))
    bands = -(-rows // band_rows)
    # Every block of channels stages the gradients and sums them again. So few blocks get slices of the images' bands to
    # divide among the workers, whose number follows from the shapes, as the order of the sums does.
    parts = bands * -(-outline.images // lane)
    least = max(1, parts * band_rows * columns * lane // _LEAST_COLUMNS)
    slices = min(parts, least, max(1, _MOST_SLICES // -(-channels // chunk)))
    slice_bands = -(-parts // slices)
    slices = -(-parts // slice_bands)
    chunk = -(-channels // up(-(-channels // chunk), min(-(-workers // slices), channels)))
    block_columns = _parts(columns, tiles_at_once)
    block_rows = _parts(band_rows, tiles_at_once // block_columns)
    at_once = 1
    if bands == 1:
        at_once = _parts(slice_bands, tiles_at_once // (block_rows * block_columns))

    padded_rows = up(chunk * kinds, ROW_STEP)
    seen = ((block_rows - 1) * step + span) * ((block_columns - 1) * step + span)  # pixels of a block of tiles
    gradients_at = up(seen * lane + lane * lane, 16)
    panels_at = gradients_at + up(block_rows * block_columns * side * side * pitch + lane * pitch, 16)
    panel_pitch = padded_rows * PITCH + lane
    columns_at = panels_at + outline.line_pixels**2 * panel_pitch + 16
    column_pitch = at_once * block_rows * block_columns * lane * pitch + lane
    products_at = columns_at + products * column_pitch
    product_pitch = padded_rows * pitch + lane
    results_at = products_at + products * product_pitch
    tiling = outline._replace(
        groups=at_once,
        band_rows=band_rows,
        bands=bands,
        block_rows=block_rows,
        block_columns=block_columns,
        channel_block=chunk,
        channel_blocks=-(-channels // chunk),
        padded_rows=padded_rows,
        gradients_at=gradients_at,
        panels_at=panels_at,
        panel_pitch=panel_pitch,
        columns_at=columns_at,
        column_pitch=column_pitch,
        products_at=products_at,
        product_pitch=product_pitch,
        results_at=results_at,
        pitch=pitch,
        memory=up(results_at + outline.elements * pitch, 16),
        tasks=-(-channels // chunk) * slices,
        slice_bands=slice_bands,
        gradient_size=gradient_size,
    )
    of_slices = up(slices * gradient_size, 16) if slices > 1 else 0
    return Plan(
        memory=of_slices + workers * tiling.memory,
        workers_at=of_slices,
        panels_at=0,
        pixels_of=np.array(algorithm.pixels_of),
        tiling=blocks.record(tiling),
        slices=slices,
    )


def correlate(placed: Placed, x: np.ndarray, y: np.ndarray, gw: np.ndarray, strides: Pair, kernel: Pair) -> bool:
    """gw = the gradient by w of sum(y * convolution of x with w). Return False if some of it is not finite.

    ``strides`` are those of gw by channel of y and by channel of x; its ``kernel`` is contiguous.
    """
    workers = numba.get_num_threads()
    plan = _correlation(placed, x.shape, y.shape, kernel, x.dtype, workers)
    memory = workspace(plan.memory, x.dtype)
    finite = np.empty(workers, np.int64)
    gradients = memory[: plan.slices * gw.size] if plan.slices > 1 else gw.reshape(-1)
    tile_tasks.run_tasks(
        tile_tasks.CORRELATE, x.reshape(-1), gradients, np.empty(0, x.dtype), x.dtype.type(1), y.reshape(-1),
        memory[:0], memory[plan.workers_at :], finite, strides, plan.pixels_of, plan.tiling,
    )  # fmt: skip
    if plan.slices > 1:
        np.sum(gradients.reshape(plan.slices, *gw.shape), axis=0, out=gw)
    return 0 not in finite.tolist()
