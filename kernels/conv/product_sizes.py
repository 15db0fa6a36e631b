"""The sizes with which convolutions run as matrix products: blocks, panels, and where each lies in a worker's memory.

All of it follows from shapes, so each function here works it out once for a shape (`plan.made_once`) and returns what
the kernel is called with besides its arrays. ``products.py`` calls them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..simd import MAX_DEPTH, PITCH, ROW_STEP, lanes
from . import blocks, gemm, shallow, thin, weight_gemm
from .memory import up
from .plan import Pair, Sizes, Walk, made_once

PANEL_ROWS = 3 * ROW_STEP

# Numbers that a task may keep for its sums and its part of B: what stays in a processor's second cache, of which
# 1 MiB is common, next to the panels that stream through it.
_TASK_BYTES = 640 * 1024
# The same for a convolution of few channels: its part of B, in the first cache.
_BAND_BYTES = 24 * 1024

# Sums of at most so many products are written past the caches right from the registers. With longer sums there is time
# to fetch what is overwritten, and stores that wait for the memory are in the way of B's rows.
_STREAMED_DEPTH = 128

# Of weights: by group, output channel, channel of x, kernel row and kernel column, in numbers.
Strides = tuple[int, int, int, int, int]


def _blocks(walk: Walk, images: int, pixels: int, workers: int) -> tuple[int, int, int, int]:
    """Cut the grid of all images into blocks of at most ``pixels``: rows and width of one, and how many across and
    in all. A multiple of the number of workers, if there are enough."""
    height, width = walk.grid
    rows = images * height
    across = -(-width // pixels)
    block_width = -(-width // across)
    block_rows = max(1, min(rows, pixels // block_width))
    down = -(-rows // block_rows)
    block_rows = -(-rows // min(rows, up(down, workers)))
    return block_rows, block_width, across, across * -(-rows // block_rows)


def _shape(
    walk: Walk, x_shape: Sizes, groups: int, rows: int, out_hw: Pair, pixels: int, workers: int
) -> tuple[blocks.Shape, np.ndarray]:
    """Return the sizes of a walk over x, and the position of each tap in the staged block.

    Channels are staged together as long as no phase has more than MAX_DEPTH rows of B from them.
    """
    images, channels, height, width = x_shape
    block_rows, block_width, across, count = _blocks(walk, images, pixels, workers)
    top, bottom, left, right = walk.extent()
    line = block_width + (right - left) // walk.step[1]
    tap_lines = bottom - top + 1
    # Each image that a block touches starts a new run of lines; a block of r rows touches at most so many:
    runs = (block_rows - 2) // walk.grid[0] + 2 if block_rows > 1 else 1
    lines = block_rows * walk.step[0] + runs * max(0, tap_lines - walk.step[0])
    most_taps = max(len(phase.taps) for phase in walk.phases)
    channels //= groups
    together = max(1, min(channels, MAX_DEPTH // max(1, most_taps)))
    tap_at = [
        ((tap.row - top) * walk.step[1] + (tap.column - left) % walk.step[1]) * line
        + (tap.column - left) // walk.step[1]
        for tap in walk.taps
    ]
    shape = blocks.Shape(
        groups=groups,
        channels=channels,
        height=height,
        width=width,
        rows=rows,
        out_height=out_hw[0],
        out_width=out_hw[1],
        grid_rows=images * walk.grid[0],
        grid_height=walk.grid[0],
        grid_width=walk.grid[1],
        step_height=walk.step[0],
        step_width=walk.step[1],
        stride_height=walk.stride[0],
        stride_width=walk.stride[1],
        top=top,
        left=left,
        tap_lines=tap_lines,
        line=line,
        block_rows=block_rows,
        block_width=block_width,
        blocks_across=across,
        blocks=count,
        channel_block=-(-channels // -(-channels // together)),
        channel_pitch=lines * walk.step[1] * line,
    )
    return shape, np.array(tap_at, np.int64)


def _is_staged(walk: Walk, shape: blocks.Shape) -> bool:
    """Say whether a staged channel is a row of the im2col matrix: one tap, rows side by side, blocks of one width."""
    one_tap = len(walk.taps) == shape.tap_lines == walk.step[0] == walk.step[1] == 1
    return one_tap and shape.line == shape.block_width and shape.grid_width % shape.block_width == 0


def _taps(walk: Walk, strides: Strides) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the taps before each phase; the positions in the kernel of all taps' elements; where each tap's end."""
    counts = [0] + [len(phase.taps) for phase in walk.phases]
    elements = [
        [u * strides[3] + v * strides[4] for u in range(*tap.kernel_rows) for v in range(*tap.kernel_columns)]
        for tap in walk.taps
    ]
    ends = np.cumsum([len(part) for part in elements], dtype=np.int64)
    return np.cumsum(counts), np.array([at for part in elements for at in part], np.int64), ends


class Wide(NamedTuple):
    """Everything that a matrix product is called with besides its arrays: it follows from their shapes."""

    memory: int  # numbers of working memory, of which those from ``panels_at`` on are A
    panels_at: int
    table: Pair  # the shape of the workers' tables
    tap_at: np.ndarray
    b_rows: np.ndarray
    elements: np.ndarray
    element_ends: np.ndarray
    phase_taps: np.ndarray
    phase_a: np.ndarray
    shape: np.ndarray
    product: np.ndarray


@made_once
def wide_sizes(
    walk: Walk,
    x_shape: Sizes,
    groups: int,
    rows: int,
    out_hw: Pair,
    strides: Strides,
    itemsize: int,
    workers: int,
    streamed: bool,
) -> Wide:
    """Return the sizes of ``gemm.convolve``; ``rows`` counts the output channels of a group.

    ``streamed`` says that rows of the output may be written past the caches.
    """
    phases = len(walk.phases)
    stripe = 2 * lanes(itemsize)
    # At most 256 output channels to a task, and few enough pixels that their sums stay in the cache.
    row_chunk = min(up(rows, ROW_STEP), up(-(-rows // -(-rows // (256 if phases == 1 else 128))), PANEL_ROWS))
    pixels = _TASK_BYTES // itemsize // (phases * row_chunk + MAX_DEPTH)
    pixels = max(2 * stripe, min(MAX_DEPTH, pixels // stripe * stripe))
    shape, tap_at = _shape(walk, x_shape, groups, rows, out_hw, pixels, workers)
    # Few blocks (a small batch of small images): divide the output channels further, and pack B for each part.
    parts = min(-(-rows // PANEL_ROWS), -(-2 * workers // (shape.blocks * groups)))
    if parts > -(-rows // row_chunk):
        row_chunk = up(-(-rows // parts), PANEL_ROWS)

    pitch = up(shape.block_rows * shape.block_width, stripe) + 16
    staged = phases == 1 and _is_staged(walk, shape)
    if staged:
        shape = shape._replace(channel_pitch=pitch)
    most_taps = max(len(phase.taps) for phase in walk.phases)
    depth = shape.channels * most_taps
    direct = phases == shape.blocks_across == 1 and walk.grid == out_hw and walk.grid[0] % shape.block_rows == 0
    direct = direct and shape.channel_block == shape.channels and 0 < depth <= MAX_DEPTH
    # Rows that fill the register tile: nothing is gained by having them side by side.
    packed = not staged and not (direct and shape.block_width % stripe == 0)
    stage_size = up(shape.channel_block * shape.channel_pitch + stripe, 16)
    columns_at = stage_size if packed else 0
    sums_at = stage_size + (MAX_DEPTH * pitch + stripe if packed else 0)
    padded_rows = up(rows, ROW_STEP)
    streamed = streamed and walk.stride == (1, 1) and shape.block_width % lanes(itemsize) == 0
    if direct:
        streamed = streamed and depth <= _STREAMED_DEPTH and shape.block_rows * shape.block_width % stripe == 0
    product = gemm.Product(
        row_chunk=row_chunk,
        columns_at=columns_at,
        sums_at=sums_at,
        pitch=pitch,
        staged=staged,
        packed=packed,
        streamed=streamed,
        direct=direct,
        memory=up(sums_at + (0 if direct else phases * row_chunk * pitch), 16),
        padded_rows=padded_rows,
        parts=max(1, -(-shape.channel_block * most_taps // MAX_DEPTH)),
        tasks=groups * shape.blocks * -(-rows // row_chunk),
    )
    positions = [k * pitch for k in range(MAX_DEPTH)]
    if not packed:
        positions = [channel * shape.channel_pitch + at for channel in range(shape.channel_block) for at in tap_at]
    phase_taps, elements, element_ends = _taps(walk, strides)
    panels = groups * -(-shape.channels // shape.channel_block) * product.parts * padded_rows * PITCH
    return Wide(
        memory=workers * product.memory + phases * panels,
        panels_at=workers * product.memory,
        table=(workers, blocks.table_size(shape.block_rows, shape.step_width)),
        tap_at=tap_at,
        b_rows=gemm.rows_of_b(positions),
        elements=elements,
        element_ends=element_ends,
        phase_taps=phase_taps,
        phase_a=np.arange(phases) * panels,
        shape=blocks.record(shape),
        product=blocks.record(product),
    )


class Thin(NamedTuple):
    """As ``Wide``, for few output channels."""

    memory: int
    panels_at: int
    tap_rows: np.ndarray
    tap_columns: np.ndarray
    elements: np.ndarray
    element_ends: np.ndarray
    phase_taps: np.ndarray
    band: np.ndarray


@made_once
def thin_sizes(
    walk: Walk,
    x_shape: Sizes,
    groups: int,
    rows: int,
    out_hw: Pair,
    strides: Strides,
    itemsize: int,
    workers: int,
) -> Thin:
    """Return the sizes of ``thin.convolve_thin``, as above."""
    images, channels, height, width = x_shape
    taps = len(walk.taps)
    top, bottom, _, _ = walk.extent()
    padded_rows = up(rows * taps, ROW_STEP)
    # z in half of the second cache, and enough bands for all workers.
    band_rows = max(1, _TASK_BYTES // 2 // itemsize // padded_rows // width - (bottom - top))
    bands = max(-(-walk.grid[0] // band_rows), min(walk.grid[0], -(-2 * workers // (images * groups))))
    band_rows = -(-walk.grid[0] // bands)
    bands = -(-walk.grid[0] // band_rows)
    z_at = MAX_DEPTH * PITCH
    z_pitch = up(min(height, band_rows + bottom - top) * width, 2 * lanes(itemsize)) + 16
    sums_at = z_at + padded_rows * z_pitch
    band = thin.Band(
        groups=groups,
        channels=channels // groups,
        height=height,
        width=width,
        rows=rows,
        taps=taps,
        out_height=out_hw[0],
        out_width=out_hw[1],
        grid_height=walk.grid[0],
        grid_width=walk.grid[1],
        stride_height=walk.stride[0],
        stride_width=walk.stride[1],
        top=top,
        bottom=bottom,
        band_rows=band_rows,
        bands=bands,
        tasks=images * groups * bands,
        padded_rows=padded_rows,
        z_at=z_at,
        z_pitch=z_pitch,
        sums_at=sums_at,
        memory=up(sums_at + walk.stride[1] * walk.grid[1], 16),
    )
    phase_taps, elements, element_ends = _taps(walk, strides)
    panels = groups * -(-band.channels // MAX_DEPTH) * padded_rows * PITCH
    return Thin(
        memory=workers * band.memory + panels,
        panels_at=workers * band.memory,
        tap_rows=np.array([tap.row for tap in walk.taps], np.int64),
        tap_columns=np.array([tap.column for tap in walk.taps], np.int64),
        elements=elements,
        element_ends=element_ends,
        phase_taps=phase_taps,
        band=blocks.record(band),
    )


class Correlation(NamedTuple):
    """As ``Wide``, for a weight gradient. Of its memory the first ``partial`` numbers are sums of parts."""

    memory: int
    partial: int
    table: Pair
    tap_at: np.ndarray
    element_taps: np.ndarray
    elements: np.ndarray
    shape: np.ndarray
    product: np.ndarray


@made_once
def correlation_sizes(
    walk: Walk, x_shape: Sizes, groups: int, rows: int, y_hw: Pair, kernel: Pair, itemsize: int, workers: int
) -> Correlation:
    """Return the sizes of ``weight_gemm.correlate``; ``rows`` counts the channels of y in a group."""
    stripe = 2 * lanes(itemsize)
    shape, tap_at = _shape(walk, x_shape, groups, rows, y_hw, MAX_DEPTH, 1)
    taps = len(walk.taps)
    staged = _is_staged(walk, shape)
    if staged:
        shape = shape._replace(channel_pitch=PITCH)
    pitch = up(rows, stripe) + 16  # of the transposed block, and of the sums
    slices = 1
    if shape.channels * taps < 192:
        slices = -(-shape.blocks // -(-shape.blocks // min(shape.blocks, 16)))
    else:  # as many channels as their partial sums stay in the cache, and an equal number of blocks to each worker
        together = max(shape.channel_block, _TASK_BYTES // 2 // itemsize // (taps * pitch))
        count = up(-(-shape.channels // together), workers)
        shape = shape._replace(channel_block=max(1, -(-shape.channels // count)))
    channel_blocks = -(-shape.channels // shape.channel_block)
    panel_at = up(shape.channel_block * shape.channel_pitch + stripe, 16)
    transposed_at = panel_at + PANEL_ROWS * PITCH + 16
    product = weight_gemm.WeightProduct(
        taps=taps,
        slices=slices,
        slice_blocks=-(-shape.blocks // slices),
        panel_at=panel_at,
        transposed_at=transposed_at,
        transposed_pitch=pitch,
        partial_pitch=pitch,
        partial_rows=up(shape.channel_block * taps, ROW_STEP),
        staged=staged,
        memory=up(transposed_at + (MAX_DEPTH + stripe) * pitch, 16),
        tasks=groups * slices * channel_blocks,
    )
    parts_of = [
        [
            index
            for index, tap in enumerate(walk.taps)
            if u in range(*tap.kernel_rows) and v in range(*tap.kernel_columns)
        ]
        for u in range(kernel[0])
        for v in range(kernel[1])
    ]
    partial = slices * groups * channel_blocks * product.partial_rows * pitch
    return Correlation(
        memory=partial + workers * product.memory,
        partial=partial,
        table=(workers, blocks.table_size(shape.block_rows, shape.step_width)),
        tap_at=tap_at,
        element_taps=np.array([tap for part in parts_of for tap in part], np.int64),
        elements=np.cumsum([0] + [len(part) for part in parts_of]),
        shape=blocks.record(shape),
        product=blocks.record(product),
    )


class Shallow(NamedTuple):
    """As ``Wide``, for few input channels."""

    memory: int
    b_rows: np.ndarray
    band: np.ndarray


@made_once
def band_sizes(
    x_shape: Sizes, w_shape: Sizes, y_shape: Sizes, stride: Pair, padding: Pair,
    dilation: Pair, itemsize: int, workers: int, streamed: bool,
) -> Shallow:  # fmt: skip
    """Return the sizes of ``shallow.convolve_shallow``; ``streamed`` says that planes of y begin at whole registers."""
    filters, channels, kernel_height, kernel_width = w_shape
    images, _, out_height, out_width = y_shape
    lane = lanes(itemsize)
    depth = channels * kernel_height * kernel_width
    band_rows = max(1, _BAND_BYTES // itemsize // depth // out_width)
    bands = max(-(-out_height // band_rows), min(out_height, -(-2 * workers // images)))
    band_rows = -(-out_height // bands)
    bands = -(-out_height // band_rows)
    pitch = up(band_rows * out_width, 2 * lane) + lane  # an odd number of lines: rows in different places
    band = shallow.Bands(
        channels=channels,
        height=x_shape[2],
        width=x_shape[3],
        filters=filters,
        kernel_height=kernel_height,
        kernel_width=kernel_width,
        out_height=out_height,
        out_width=out_width,
        stride_height=stride[0],
        stride_width=stride[1],
        padding_height=padding[0],
        padding_width=padding[1],
        dilation_height=dilation[0],
        dilation_width=dilation[1],
        depth=depth,
        band_rows=band_rows,
        bands=bands,
        tasks=images * bands,
        pitch=pitch,
        streamed=streamed and band_rows * out_width % (2 * lane) == out_height * out_width % (2 * lane) == 0,
        memory=up(depth * pitch, 16),
    )
    b_rows = gemm.rows_of_b([k * pitch for k in range(depth)])
    return Shallow(workers * band.memory, b_rows, blocks.record(band))
