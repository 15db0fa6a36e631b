"""Convolutions as matrix products with the multiplications of their definition: the sizes of their blocks.

    conv2d      few input channels                                                     shallow.py
    convolve    few output channels, and neighbouring q look at neighbouring pixels    thin.py
                else                                                                   gemm.py
    correlate   x cut into rows, gy into columns: always possible                      weight_gemm.py
                the other way round: with stride 1, where it wastes less               weight_gemm.py

Upsampling convolutions come here too, with walks of their own (``folded.py``). Any sizes and options can be computed
this way; ``paths.py`` says when there is a better one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from ..simd import MAX_DEPTH, PITCH, ROW_STEP, lanes
from . import blocks, gemm, shallow, thin, weight_gemm
from .memory import streamed, up, workspace
from .plan import Pair, Walk, forward_walk, input_grad_walk, mirrored, plain

PANEL_ROWS = 3 * ROW_STEP

# With at most so many input channels, a convolution's whole kernel is one block of k.
_SHALLOW = 4

# Numbers that a task may keep for its sums and its part of B: what stays in a processor's second cache, of which
# 1 MiB is common, next to the panels that stream through it.
_TASK_BYTES = 640 * 1024
# The same for a convolution of few channels: its part of B and the product, in the first cache and a little beyond.
_BAND_BYTES = 64 * 1024


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
    walk: Walk, x: np.ndarray, groups: int, rows: int, out_hw: Pair, pixels: int, workers: int
) -> tuple[blocks.Shape, np.ndarray]:
    """Return the sizes of a walk over x, and the position of each tap in the staged block.

    Channels are staged together as long as no phase has more than MAX_DEPTH rows of B from them.
    """
    images, channels, height, width = x.shape
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


def _taps(walk: Walk, strides: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the taps before each phase; the positions in the kernel of all taps' elements; where each tap's end."""
    counts = [0] + [len(phase.taps) for phase in walk.phases]
    elements = [
        [u * strides[3] + v * strides[4] for u in range(*tap.kernel_rows) for v in range(*tap.kernel_columns)]
        for tap in walk.taps
    ]
    ends = np.cumsum([len(part) for part in elements], dtype=np.int64)
    return np.cumsum(counts), np.array([at for part in elements for at in part], np.int64), ends


def convolve(
    walk: Walk, x: np.ndarray, w: np.ndarray, strides: Sequence[int], rows: int, bias: np.ndarray, y: np.ndarray
) -> None:
    """y = the walk over x, plus bias.

    ``strides`` are those of the weights w by group, output channel, channel of x, kernel row and kernel column, and
    ``rows`` counts the output channels of a group. A bias of length 0 is none.
    """
    groups = y.shape[1] // rows
    channels = x.shape[1] // groups
    if not bias.size:
        bias = np.zeros(y.shape[1], y.dtype)
    if walk.step == (1, 1) and len(walk.taps) > 1 and rows < 2 * ROW_STEP and channels >= 4 * rows:
        _convolve_thin(walk, x, w, strides, rows, bias, y)
    else:
        _convolve_wide(walk, x, w, strides, rows, bias, y)


def _convolve_wide(
    walk: Walk, x: np.ndarray, w: np.ndarray, strides: Sequence[int], rows: int, bias: np.ndarray, y: np.ndarray
) -> None:
    groups = y.shape[1] // rows
    workers = numba.get_num_threads()
    phases = len(walk.phases)
    stripe = 2 * lanes(x.itemsize)
    # At most 256 output channels to a task, and few enough pixels that their sums stay in the cache.
    row_chunk = min(up(rows, ROW_STEP), up(-(-rows // -(-rows // (256 if phases == 1 else 128))), PANEL_ROWS))
    pixels = _TASK_BYTES // x.itemsize // (phases * row_chunk + MAX_DEPTH)
    pixels = max(2 * stripe, min(MAX_DEPTH, pixels // stripe * stripe))
    shape, tap_at = _shape(walk, x, groups, rows, y.shape[2:], pixels, workers)
    # Few blocks (a small batch of small images): divide the output channels further, and pack B for each part.
    parts = min(-(-rows // PANEL_ROWS), -(-2 * workers // (shape.blocks * groups)))
    if parts > -(-rows // row_chunk):
        row_chunk = up(-(-rows // parts), PANEL_ROWS)

    pitch = up(shape.block_rows * shape.block_width, stripe) + 16
    columns_at = up(shape.channel_block * shape.channel_pitch + stripe, 16)
    sums_at = columns_at + MAX_DEPTH * pitch
    padded_rows = up(rows, ROW_STEP)
    most_taps = max(len(phase.taps) for phase in walk.phases)
    product = gemm.Product(
        row_chunk=row_chunk,
        columns_at=columns_at,
        sums_at=sums_at,
        pitch=pitch,
        memory=up(sums_at + phases * row_chunk * pitch, 16),
        padded_rows=padded_rows,
        parts=max(1, -(-shape.channel_block * most_taps // MAX_DEPTH)),
        tasks=groups * shape.blocks * -(-rows // row_chunk),
    )
    phase_taps, elements, element_ends = _taps(walk, strides)
    panels = groups * -(-shape.channels // shape.channel_block) * product.parts * padded_rows * PITCH
    phase_a = np.arange(phases) * panels
    memory = workspace(workers * product.memory + phases * panels, x.dtype)
    tables = np.empty((workers, blocks.table_size(shape.block_rows, shape.step_width)), np.int64)
    for packing in (True, False):
        gemm.convolve(
            packing, x.reshape(-1), w.reshape(-1), bias, y.reshape(-1), memory[workers * product.memory :], memory,
            tables, tap_at, elements, element_ends, phase_taps, phase_a, tuple(strides[:3]), blocks.record(shape),
            blocks.record(product),
        )  # fmt: skip


def _convolve_thin(
    walk: Walk, x: np.ndarray, w: np.ndarray, strides: Sequence[int], rows: int, bias: np.ndarray, y: np.ndarray
) -> None:
    groups = y.shape[1] // rows
    images, channels, height, width = x.shape
    workers = numba.get_num_threads()
    taps = len(walk.taps)
    top, bottom, _, _ = walk.extent()
    padded_rows = up(rows * taps, ROW_STEP)
    # z in half of the second cache, and enough bands for all workers.
    band_rows = max(1, _TASK_BYTES // 2 // x.itemsize // padded_rows // width - (bottom - top))
    bands = max(-(-walk.grid[0] // band_rows), min(walk.grid[0], -(-2 * workers // (images * groups))))
    band_rows = -(-walk.grid[0] // bands)
    bands = -(-walk.grid[0] // band_rows)
    z_at = MAX_DEPTH * PITCH
    z_pitch = up(min(height, band_rows + bottom - top) * width, 2 * lanes(x.itemsize)) + 16
    sums_at = z_at + padded_rows * z_pitch
    band = thin.Band(
        groups=groups,
        channels=channels // groups,
        height=height,
        width=width,
        rows=rows,
        taps=taps,
        out_height=y.shape[2],
        out_width=y.shape[3],
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
    memory = workspace(workers * band.memory + panels, x.dtype)
    thin.convolve_thin(
        x.reshape(-1), w.reshape(-1), bias, y.reshape(-1), memory[workers * band.memory :], memory, workers,
        np.array([tap.row for tap in walk.taps], np.int64), np.array([tap.column for tap in walk.taps], np.int64),
        elements, element_ends, phase_taps, tuple(strides[:3]), blocks.record(band),
    )  # fmt: skip


def correlate(
    walk: Walk, x: np.ndarray, y: np.ndarray, gw: np.ndarray, strides: Sequence[int], rows: int, kernel: Pair
) -> None:
    """gw[group, channel of y, channel of x, u, v] = sum over pixels q of y at q times x at the taps of (u, v).

    ``strides`` are gw's for these axes, of which the last two are contiguous; ``rows`` counts y's channels in a
    group. The walk's grid is all of y.
    """
    groups = y.shape[1] // rows
    workers = numba.get_num_threads()
    stripe = 2 * lanes(x.itemsize)
    shape, tap_at = _shape(walk, x, groups, rows, y.shape[2:], MAX_DEPTH, 1)
    taps = len(walk.taps)
    pitch = up(rows, stripe) + 16  # of the transposed block, and of the sums
    slices = 1
    if shape.channels * taps < 192:
        slices = -(-shape.blocks // -(-shape.blocks // min(shape.blocks, 16)))
    else:  # as many channels as their partial sums stay in the cache, and an equal number of blocks to each worker
        together = max(shape.channel_block, _TASK_BYTES // 2 // x.itemsize // (taps * pitch))
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
    partial_size = slices * groups * channel_blocks * product.partial_rows * pitch
    memory = workspace(partial_size + workers * product.memory, x.dtype)
    tables = np.empty((workers, blocks.table_size(shape.block_rows, shape.step_width)), np.int64)
    element_taps = np.array([tap for part in parts_of for tap in part], np.int64)
    elements = np.cumsum([0] + [len(part) for part in parts_of])
    for collecting in (False, True):
        weight_gemm.correlate(
            collecting, x.reshape(-1), y.reshape(-1), gw.reshape(-1), memory[:partial_size], memory[partial_size:],
            tables, tap_at, tuple(strides[:3]), element_taps, elements, blocks.record(shape),
            blocks.record(product),
        )  # fmt: skip


def weight_strides(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The strides, in numbers, of weights in C order."""
    _, c, h, k = shape
    return c * h * k, h * k, k, 1


def conv2d(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, y: np.ndarray, stride: Pair, padding: Pair, dilation: Pair,
    groups: int,
) -> None:  # fmt: skip
    """Fill y. The arguments are checked, in C order and not empty."""
    walk = forward_walk(y.shape[2:], plain(w.shape[2:]), stride, padding, dilation)
    rows = w.shape[0] // groups
    if groups == 1 and w.shape[1] <= _SHALLOW and w[0].size < MAX_DEPTH // 2:
        _conv2d_shallow(x, w, bias, y, stride, padding, dilation)
        return
    o, c, u, v = weight_strides(w.shape)
    convolve(walk, x, w, (rows * o, o, c, u, v), rows, bias, y)


def _conv2d_shallow(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, y: np.ndarray, stride: Pair, padding: Pair, dilation: Pair
) -> None:
    filters, channels, kernel_height, kernel_width = w.shape
    images, _, out_height, out_width = y.shape
    workers = numba.get_num_threads()
    kernel = w[0].size
    depth = kernel + (1 if bias.size else 0)
    a = np.zeros((up(filters, ROW_STEP), PITCH), x.dtype)
    a[:filters, :kernel] = w.reshape(filters, kernel)
    if bias.size:
        a[:filters, kernel] = bias
    band_rows = max(1, _BAND_BYTES // x.itemsize // (depth + a.shape[0]) // out_width)
    bands = max(-(-out_height // band_rows), min(out_height, -(-2 * workers // images)))
    band_rows = -(-out_height // bands)
    bands = -(-out_height // band_rows)
    stripe = 2 * lanes(x.itemsize)
    pitch = up(band_rows * out_width, stripe) + lanes(x.itemsize)  # an odd number of lines: rows in different places
    band = shallow.Bands(
        channels=channels,
        height=x.shape[2],
        width=x.shape[3],
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
        streamed=streamed(y, out_height * out_width, lanes(x.itemsize)),
        product_at=depth * pitch,
        memory=(depth + a.shape[0]) * pitch,
    )
    memory = workspace(workers * band.memory, x.dtype)
    shallow.convolve_shallow(
        x.reshape(-1), a.reshape(-1), y.reshape(-1), memory, workers, blocks.record(band)
    )  # fmt: skip


def conv2d_input_grad(
    gy: np.ndarray, w: np.ndarray, bias: np.ndarray, gx: np.ndarray, stride: Pair, padding: Pair, dilation: Pair,
    groups: int,
) -> None:  # fmt: skip
    """Fill gx, plus a bias for the sake of conv_transpose2d. As ``conv2d``, gx and gy in each other's places."""
    walk = input_grad_walk(gx.shape[2:], plain(w.shape[2:]), stride, padding, dilation)
    o, c, u, v = weight_strides(w.shape)
    convolve(walk, gy, w, (w.shape[0] // groups * o, c, o, u, v), w.shape[1], bias, gx)


def conv2d_weight_grad(
    x: np.ndarray, gy: np.ndarray, gw: np.ndarray, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> None:
    """Fill gw. As ``conv2d``."""
    outputs, channels = gw.shape[0] // groups, gw.shape[1]
    kernel = gw.shape[2:]
    walk = forward_walk(gy.shape[2:], plain(kernel), stride, padding, dilation)
    o, c, u, v = weight_strides(gw.shape)
    taps, stripe = kernel[0] * kernel[1], 2 * lanes(x.itemsize)
    straight = up(channels * taps, ROW_STEP) * up(outputs, stripe)
    swapped = up(outputs * taps, ROW_STEP) * up(channels, stripe)
    if stride == (1, 1) and swapped < straight:
        correlate(mirrored(walk, x.shape[2:]), gy, x, gw, (outputs * o, c, o, u, v), channels, kernel)
        # This way round, pixels of x that a tap never meets are multiplied by zero, which shows if they are
        # infinite or NaN. The result is small, and so is the check.
        if np.isfinite(gw).all():
            return
    correlate(walk, x, gy, gw, (outputs * o, o, c, u, v), outputs, kernel)
