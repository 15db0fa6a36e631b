"""Convolutions on the CPU: which algorithm does what, and the sizes of its blocks."""

from __future__ import annotations

import threading

import numba
import numpy as np

from ..simd import MAX_DEPTH, PITCH, ROW_STEP, lanes
from . import gemm, weight_gemm
from .plan import Pair, Walk, forward_walk, input_grad_walk

PANEL_ROWS = 3 * ROW_STEP


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


_memory = threading.local()


def _workspace(count: int, dtype: np.dtype) -> np.ndarray:
    """Return uninitialised memory for ``count`` numbers. It is kept from call to call, one for each thread that
    calls: fresh memory costs a page fault for every 4 KiB, which is more than a small layer's arithmetic."""
    size = count * dtype.itemsize
    if getattr(_memory, "bytes", None) is None or _memory.bytes.size < size:
        _memory.bytes = np.empty(size, np.uint8)
    return _memory.bytes[:size].view(dtype)


def _blocks(walk: Walk, images: int, pixels: int, workers: int) -> tuple[int, int, int, int]:
    """Cut the grid of all images into blocks of about ``pixels``: rows and width of one, and how many across
    and in all. A multiple of the number of workers, if there are enough."""
    height, width = walk.grid
    rows = images * height
    block_width = width if width <= pixels else -(-width // -(-width // pixels))
    across = -(-width // block_width)
    block_rows = max(1, min(rows, pixels // block_width))
    down = -(-rows // block_rows)
    if down % workers:
        down = min(rows, _up(down, workers))
        block_rows = -(-rows // down)
        down = -(-rows // block_rows)
    return block_rows, block_width, across, across * down


def _shape(
    walk: Walk, x: np.ndarray, groups: int, rows: int, out_hw: Pair, pixels: int, workers: int
) -> tuple[gemm.Shape, np.ndarray, np.ndarray]:
    """Return the sizes of a walk over x, the position of each tap in the staged block, and the taps before each
    phase. The tasks are left to the caller."""
    images, channels, height, width = x.shape
    stripe = 2 * lanes(x.itemsize)
    block_rows, block_width, across, blocks = _blocks(walk, images, pixels, workers)
    top, bottom, left, right = walk.extent()
    line = block_width + (right - left) // walk.step[1]
    tap_lines = bottom - top + 1
    # Each image that a block touches starts a new run of lines. A block of r rows touches at most so many images:
    runs = (block_rows - 2) // walk.grid[0] + 2 if block_rows > 1 else 1
    staged_lines = block_rows * walk.step[0] + runs * max(0, tap_lines - walk.step[0])
    channel_pitch = staged_lines * walk.step[1] * line
    tap_at = [
        ((tap.row - top) * walk.step[1] + (tap.column - left) % walk.step[1]) * line
        + (tap.column - left) // walk.step[1]
        for phase in walk.phases
        for tap in phase.taps
    ]
    shape = gemm.Shape(
        groups=groups,
        channels=channels // groups,
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
        row_chunk=_up(rows, ROW_STEP),
        channel_pitch=channel_pitch,
        columns_at=_up(channels // groups * channel_pitch + stripe, 16),
        sums_at=0,
        pitch=_up(block_rows * block_width, stripe) + 16,
        memory=0,
        blocks_across=across,
        blocks=blocks,
        tasks=0,
    )
    counts = [0] + [len(phase.taps) for phase in walk.phases]
    return shape, np.array(tap_at, np.int64), np.cumsum(counts)


def _convolve(
    walk: Walk, x: np.ndarray, weights: np.ndarray, bias: np.ndarray, y: np.ndarray, kernel_width: int
) -> None:
    """y = the walk over x with ``weights``, which are groups, rows, channels, taps of the whole kernel."""
    groups, rows = weights.shape[:2]
    workers = numba.get_num_threads()
    shape, tap_at, phase_taps = _shape(walk, x, groups, rows, y.shape[2:], 128, workers)
    # Few blocks (a small batch of small images): divide the output channels too, and pack B for each part.
    parts = min(-(-rows // PANEL_ROWS), max(1, -(-2 * workers // (shape.blocks * groups))))
    row_chunk = _up(-(-rows // parts), PANEL_ROWS if parts > 1 else ROW_STEP)
    sums_at = shape.columns_at + MAX_DEPTH * shape.pitch
    shape = shape._replace(
        row_chunk=row_chunk,
        sums_at=sums_at,
        memory=_up(sums_at + walk.stride[1] * row_chunk * shape.pitch, 16),
        tasks=groups * shape.blocks * -(-rows // row_chunk),
    )
    phases = [
        np.array([tap.kernel_row * kernel_width + tap.kernel_column for tap in phase.taps], np.int64)
        for phase in walk.phases
    ]
    panels, phase_a = gemm.weight_panels(weights, phases)
    memory = _workspace(workers * shape.memory, x.dtype)
    row_at = np.empty((workers, shape.block_rows), np.int64)
    gemm.convolve(x.reshape(-1), panels, bias, y.reshape(-1), memory, row_at, tap_at, phase_taps, phase_a, shape)


def conv2d(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, y: np.ndarray, stride: Pair, padding: Pair, dilation: Pair,
    groups: int,
) -> None:  # fmt: skip
    """Fill y. The arguments are checked, in C order and not empty; the padding may be negative (a crop)."""
    walk = forward_walk(y.shape[2:], w.shape[2:], stride, padding, dilation)
    weights = w.reshape(groups, w.shape[0] // groups, w.shape[1], -1)
    _convolve(walk, x, weights, bias, y, w.shape[3])


def conv2d_input_grad(
    gy: np.ndarray, w: np.ndarray, bias: np.ndarray, gx: np.ndarray, stride: Pair, padding: Pair, dilation: Pair,
    groups: int,
) -> None:  # fmt: skip
    """Fill gx, plus a bias for the sake of conv_transpose2d. As ``conv2d``, gx and gy in each other's places."""
    walk = input_grad_walk(gx.shape[2:], w.shape[2:], stride, padding, dilation)
    weights = w.reshape(groups, w.shape[0] // groups, w.shape[1], -1).transpose(0, 2, 1, 3)
    _convolve(walk, gy, weights, bias, gx, w.shape[3])


def conv2d_weight_grad(
    x: np.ndarray, gy: np.ndarray, gw: np.ndarray, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> None:
    """Fill gw. As ``conv2d``."""
    outputs, channels = gw.shape[0] // groups, gw.shape[1]
    taps = gw.shape[2] * gw.shape[3]
    walk = forward_walk(gy.shape[2:], gw.shape[2:], stride, padding, dilation)
    strides = (outputs * channels * taps, taps, 1, channels * taps)
    _correlate(walk, x, gy, gw, groups, outputs, strides)


def _correlate(
    walk: Walk,
    x: np.ndarray,
    y: np.ndarray,
    gw: np.ndarray,
    groups: int,
    rows: int,
    strides: tuple[int, int, int, int],
) -> None:
    workers = numba.get_num_threads()
    shape, tap_at, _ = _shape(walk, x, groups, rows, y.shape[2:], MAX_DEPTH, 1)
    taps = len(tap_at)
    total = shape.channels * taps
    slices = min(shape.blocks, 16) if total < 192 else 1
    slice_blocks = -(-shape.blocks // slices)
    slices = -(-shape.blocks // slice_blocks)
    chunks = max(1, min(total // (4 * PANEL_ROWS), workers)) if slices == 1 else 1
    row_chunk = _up(-(-total // chunks), PANEL_ROWS)
    chunks = -(-total // row_chunk)
    transposed_at = shape.columns_at + PANEL_ROWS * PITCH + 16
    transposed_pitch = _up(rows, 2 * lanes(x.itemsize)) + 16
    product = weight_gemm.Product(
        taps=taps,
        row_chunk=row_chunk,
        chunks=chunks,
        slices=slices,
        slice_blocks=slice_blocks,
        panel_at=shape.columns_at,
        transposed_at=transposed_at,
        transposed_pitch=transposed_pitch,
        partial_pitch=transposed_pitch,
        partial_rows=_up(total, ROW_STEP),
    )
    shape = shape._replace(memory=_up(transposed_at + MAX_DEPTH * transposed_pitch, 16), tasks=groups * slices * chunks)
    partial_size = slices * groups * product.partial_rows * product.partial_pitch
    memory = _workspace(partial_size + workers * shape.memory, x.dtype)
    row_at = np.empty((workers, shape.block_rows), np.int64)
    weight_gemm.correlate(
        x.reshape(-1), y.reshape(-1), gw.reshape(-1), memory[:partial_size], memory[partial_size:], row_at,
        tap_at, shape, product, strides,
    )  # fmt: skip
