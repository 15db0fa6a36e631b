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

# What a task stages is read once per product, so it may lie in the third cache; the products and the block of B that
# is multiplied belong in the second.
_STAGE_BYTES = 2048 * 1024
_PRODUCT_BYTES = 1280 * 1024
# Parts of a weight gradient, of channels and of images, if there are so many groups of images.
_MOST_SLICES = 4


class Placed(NamedTuple):
    """An algorithm at its place: the source pixel that tile 0 sees first, and the outputs before the first of y."""

    algorithm: Square
    first: Pair
    crop: Pair = (0, 0)


def _table(sums: list[list[tuple[int, float]]], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where each sum's terms begin, their offsets and their coefficients; see ``simd_sums.py``."""
    first = np.cumsum([0] + [len(terms) for terms in sums])
    offset = np.array([at for terms in sums for at, _ in terms], np.int64)
    return first, offset, np.array([value for terms in sums for _, value in terms], dtype)


def _pixel_sums(algorithm: Square, row: int, pixel: int) -> list[list[tuple[int, float]]]:
    """The sums of pixels, for rows and pixels that are so far apart."""
    return [
        [(i * row + j * pixel, value) for (i, j), value in terms.items()]
        for kinds in algorithm.source
        for terms in kinds
    ]


def _own_pixels(algorithm: Square) -> np.ndarray:
    """Say of each product whether its sums of pixels differ from those of the product before."""
    source = algorithm.source
    return np.array([p == 0 or source[p] != source[p - 1] for p in range(len(source))])


def _parts(count: int, most: int) -> int:
    """Return the size of the parts if ``count`` is cut into equal ones of at most ``most``."""
    return -(-count // -(-count // max(1, most)))


def _outline(placed: Placed, x_shape: Sizes, y_shape: Sizes, kernel: Pair) -> tile_products.Tiling:
    """Return the sizes that follow from the algorithm and the shapes; the others are still 0."""
    algorithm = placed.algorithm
    products, kinds = len(algorithm.source), len(algorithm.source[0])
    rows, columns = (-(-(count + crop) // algorithm.side) for count, crop in zip(y_shape[2:], placed.crop, strict=True))
    return tile_products.Tiling(
        images=x_shape[0],
        channels=x_shape[1],
        height=x_shape[2],
        width=x_shape[3],
        out_channels=y_shape[1],
        out_height=y_shape[2],
        out_width=y_shape[3],
        products=products,
        kinds=kinds,
        elements=kernel[0] * kernel[1],
        side=algorithm.side,
        step=algorithm.step,
        span=algorithm.span,
        output_entry=products * kinds,
        rows=rows,
        columns=columns,
        first_row=placed.first[0],
        first_column=placed.first[1],
        crop_top=placed.crop[0],
        crop_left=placed.crop[1],
        line=(columns - 1) * algorithm.step + algorithm.span,
        stage_at=0,
    )


class Plan(NamedTuple):
    """Everything that `tile_tasks.run_tasks` is called with besides its arrays: it follows from their shapes."""

    memory: int  # numbers of working memory in all
    workers_at: int  # in it: the workers' own
    panels_at: int  # A, the sums of weights
    own_pixels: np.ndarray
    table: tuple[np.ndarray, np.ndarray, np.ndarray]
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
    chunk = _parts(out_channels, 2304 // products if products > 1 else 256)
    product_rows = up(chunk, ROW_STEP)
    tiles_at_once = _PRODUCT_BYTES // (products * product_rows * size) // stripe * 2
    tiles_at_once = max(4, min(MAX_DEPTH // lane, tiles_at_once))
    block_columns = _parts(columns, tiles_at_once)
    block_rows = _parts(band_rows, tiles_at_once // block_columns)
    pitch = up(block_rows * block_columns * lane, stripe) + 16

    padded_rows = up(out_channels, ROW_STEP)
    columns_at = up(channels * ((band_rows - 1) * step + span) * line * lane + lane * lane, 16)
    products_at = columns_at + channel_block * kinds * pitch + stripe
    results_at = products_at + products * product_rows * pitch
    square_at = results_at + (block_columns * side + lane) * lane
    memory_size = max(square_at + lane * lane, tile_products.WEIGHT_ROWS * kernel[0] * kernel[1] * PITCH + lane * PITCH)
    sums = (
        _pixel_sums(algorithm, line * lane, lane)
        + [[(p * product_rows * pitch, value) for p, value in terms.items()] for terms in algorithm.outputs]
        + [
            [(PITCH * (u * kernel[1] + v), value) for (u, v), value in terms.items()]
            for of_kinds in algorithm.weights
            for terms in of_kinds
        ]
    )
    tiling = outline._replace(
        weight_entry=products * kinds + side * side,
        band_rows=band_rows,
        bands=bands,
        block_rows=block_rows,
        block_columns=block_columns,
        channel_block=channel_block,
        channel_blocks=-(-channels // channel_block),
        chunk=chunk,
        padded_rows=padded_rows,
        columns_at=columns_at,
        products_at=products_at,
        results_at=results_at,
        square_at=square_at,
        pitch=pitch,
        product_pitch=product_rows * pitch,
        memory=up(memory_size, 16),
        tasks=groups * bands,
        streamed=streamed,
    )
    return Plan(
        memory=workers * tiling.memory + products * tiling.channel_blocks * padded_rows * PITCH,
        workers_at=0,
        panels_at=workers * tiling.memory,
        own_pixels=_own_pixels(algorithm),
        table=_table(sums, dtype),
        tiling=blocks.record(tiling),
    )


def convolve(
    placed: Placed, x: np.ndarray, w: np.ndarray, strides: Pair, kernel: Pair, bias: np.ndarray, y: np.ndarray
) -> bool:
    """y = the convolution of x with w, plus bias, which may have length 0. Return False if some of it is not finite.

    ``strides`` are those of w by output channel and by channel of x; its ``kernel`` is contiguous.
    """
    workers, bypass = numba.get_num_threads(), streamed(y, y[0].size, lanes(x.itemsize))
    plan = _convolution(placed, x.shape, y.shape, kernel, x.dtype, workers, bypass)
    memory = workspace(plan.memory, x.dtype)
    finite = np.ones(workers, np.int64)
    if not bias.size:
        bias = np.zeros(y.shape[1], y.dtype)
    for what in (tile_tasks.SUM_WEIGHTS, tile_tasks.CONVOLVE):
        tile_tasks.run_tasks(
            what, x.reshape(-1), w.reshape(-1), bias, y.reshape(-1), memory[plan.panels_at :], memory, finite, strides,
            plan.own_pixels, *plan.table, plan.tiling,
        )  # fmt: skip
    return bool(finite.all())


@made_once
def _correlation(placed: Placed, x_shape: Sizes, y_shape: Sizes, kernel: Pair, dtype: np.dtype, workers: int) -> Plan:
    algorithm = placed.algorithm
    outline = _outline(placed, x_shape, y_shape, kernel)
    products, kinds, side, step, span = outline.products, outline.kinds, outline.side, outline.step, outline.span
    channels, rows, columns, line = outline.channels, outline.rows, outline.columns, outline.line
    lane = lanes(dtype.itemsize)
    pitch = up(outline.out_channels, 2 * lane) + 16
    gradient_size = outline.out_channels * channels * outline.elements

    chunk = _parts(channels, MAX_DEPTH // kinds)
    # Every block of channels stages the gradients and sums them again. So few blocks get slices of the images to divide
    # among the workers, whose number follows from the shapes, as the order of the sums does.
    groups = -(-outline.images // lane)
    slices = min(groups, max(1, _MOST_SLICES // -(-channels // chunk)))
    slice_groups = -(-groups // slices)
    slices = -(-groups // slice_groups)
    chunk = -(-channels // up(-(-channels // chunk), min(-(-workers // slices), channels)))
    tile_row = (chunk * line * step + columns * side * side * pitch) * lane * dtype.itemsize
    band_rows = _parts(rows, _STAGE_BYTES // tile_row)
    tiles_at_once = MAX_DEPTH // lane
    block_columns = _parts(columns, tiles_at_once)
    block_rows = _parts(band_rows, tiles_at_once // block_columns)

    gradients_at = up(chunk * ((band_rows - 1) * step + span) * line * lane + lane * lane, 16)
    panels_at = gradients_at + up(lane * band_rows * side * columns * side * pitch + lane * pitch, 16)
    columns_at = panels_at + up(chunk * kinds, ROW_STEP) * PITCH + 16
    products_at = columns_at + MAX_DEPTH * pitch
    product_pitch = up(chunk * kinds, ROW_STEP) * pitch
    results_at = products_at + products * product_pitch
    of_elements: dict[Pair, list[tuple[int, float]]] = {(u, v): [] for u in range(kernel[0]) for v in range(kernel[1])}
    for p, of_kinds in enumerate(algorithm.weights):
        for kind, terms in enumerate(of_kinds):
            for place, value in terms.items():
                of_elements[place].append((p * product_pitch + kind * pitch, value))
    of_products: list[list[tuple[int, float]]] = [[] for _ in range(products)]
    for at, of_output in enumerate(algorithm.outputs):
        for p, value in of_output.items():
            of_products[p].append(((at // side * columns * side + at % side) * pitch, value))
    tiling = outline._replace(
        weight_entry=products * kinds + products,
        band_rows=band_rows,
        bands=-(-rows // band_rows),
        block_rows=block_rows,
        block_columns=block_columns,
        channel_block=chunk,
        channel_blocks=-(-channels // chunk),
        chunk=chunk,
        padded_rows=up(chunk * kinds, ROW_STEP),
        gradients_at=gradients_at,
        panels_at=panels_at,
        columns_at=columns_at,
        products_at=products_at,
        results_at=results_at,
        pitch=pitch,
        product_pitch=product_pitch,
        memory=up(results_at + outline.elements * pitch, 16),
        tasks=-(-channels // chunk) * slices,
        slice_images=slice_groups * lane,
        gradient_size=gradient_size,
    )
    sums = _pixel_sums(algorithm, line * lane, lane) + of_products + list(of_elements.values())
    of_slices = up(slices * gradient_size, 16) if slices > 1 else 0
    return Plan(
        memory=of_slices + workers * tiling.memory,
        workers_at=of_slices,
        panels_at=0,
        own_pixels=_own_pixels(algorithm),
        table=_table(sums, dtype),
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
    finite = np.ones(workers, np.int64)
    gradients = memory[: plan.slices * gw.size] if plan.slices > 1 else gw.reshape(-1)
    tile_tasks.run_tasks(
        tile_tasks.CORRELATE, x.reshape(-1), gradients, np.empty(0, x.dtype), y.reshape(-1), memory[:0],
        memory[plan.workers_at :], finite, strides, plan.own_pixels, *plan.table, plan.tiling,
    )  # fmt: skip
    if plan.slices > 1:
        np.sum(gradients.reshape(plan.slices, *gw.shape), axis=0, out=gw)
    return bool(finite.all())
