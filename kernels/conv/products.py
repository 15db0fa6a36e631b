"""Convolutions as matrix products with the multiplications of their definition: which product, over which walk.

    conv2d      few channels of x, and rows of y that are not whole register tiles     shallow.py
    convolve    few output channels, and neighbouring q look at neighbouring pixels    thin.py
                else                                                                   gemm.py
    correlate   x cut into rows, gy into columns: always possible                      weight_gemm.py
                the other way round: with stride 1, where it wastes less               weight_gemm.py

Upsampling convolutions come here too, with walks of their own (``folded.py``). Any sizes and options can be computed
this way; ``paths.py`` says when there is a better one, ``product_sizes.py`` in blocks of what sizes.
"""

from __future__ import annotations

import numba
import numpy as np

from ..simd import MAX_DEPTH, PITCH, ROW_STEP, lanes
from . import gemm, shallow, thin, weight_gemm
from .memory import streamed, up, workspace
from .plan import Pair, Walk, forward_walk, input_grad_walk, mirrored, plain, turned_padding
from .product_sizes import Strides, band_sizes, correlation_sizes, thin_sizes, wide_sizes

# With at most so many input channels, a convolution's whole kernel is one block of k.
_SHALLOW = 4


def convolve(
    walk: Walk, x: np.ndarray, w: np.ndarray, strides: Strides, rows: int, bias: np.ndarray, slope: np.floating,
    y: np.ndarray,
) -> None:  # fmt: skip
    """y = the walk over x, plus bias, times ``slope`` where that is not positive.

    ``strides`` are those of the weights w by group, output channel, channel of x, kernel row and kernel column, and
    ``rows`` counts the output channels of a group. A bias of length 0 is none.
    """
    groups = y.shape[1] // rows
    channels = x.shape[1] // groups
    bias = whole_bias(bias, y)
    if walk.step == (1, 1) and len(walk.taps) > 1 and rows < 2 * ROW_STEP and channels >= 4 * rows:
        _convolve_thin(walk, x, w, strides, rows, bias, slope, y)
    else:
        _convolve_wide(walk, x, w, strides, rows, bias, slope, y)


def _convolve_wide(
    walk: Walk, x: np.ndarray, w: np.ndarray, strides: Strides, rows: int, bias: np.ndarray, slope: np.floating,
    y: np.ndarray,
) -> None:  # fmt: skip
    groups, workers = y.shape[1] // rows, numba.get_num_threads()
    bypass = streamed(y, y.shape[3], lanes(x.itemsize))
    plan = wide_sizes(walk, x.shape, groups, rows, y.shape[2:], strides, x.itemsize, workers, bypass)
    memory = workspace(plan.memory, x.dtype)
    tables = np.empty(plan.table, np.int64)
    for packing in (True, False):
        gemm.convolve(
            packing, x.reshape(-1), w.reshape(-1), bias, slope, y.reshape(-1), memory[plan.panels_at :], memory, tables,
            plan.tap_at, plan.b_rows, plan.elements, plan.element_ends, plan.phase_taps, plan.phase_a, strides[:3],
            plan.shape, plan.product,
        )  # fmt: skip


def _convolve_thin(
    walk: Walk, x: np.ndarray, w: np.ndarray, strides: Strides, rows: int, bias: np.ndarray, slope: np.floating,
    y: np.ndarray,
) -> None:  # fmt: skip
    groups, workers = y.shape[1] // rows, numba.get_num_threads()
    plan = thin_sizes(walk, x.shape, groups, rows, y.shape[2:], strides, x.itemsize, workers)
    memory = workspace(plan.memory, x.dtype)
    thin.convolve_thin(
        x.reshape(-1), w.reshape(-1), bias, slope, y.reshape(-1), memory[plan.panels_at :], memory, workers,
        plan.tap_rows, plan.tap_columns, plan.elements, plan.element_ends, plan.phase_taps, strides[:3], plan.band,
    )  # fmt: skip


def correlate(
    walk: Walk, x: np.ndarray, y: np.ndarray, gw: np.ndarray, strides: Strides, rows: int, kernel: Pair
) -> None:
    """gw[group, channel of y, channel of x, u, v] = sum over pixels q of y at q times x at the taps of (u, v).

    ``strides`` are gw's for these axes, of which the last two are contiguous; ``rows`` counts y's channels in a
    group. The walk's grid is all of y.
    """
    groups = y.shape[1] // rows
    workers = numba.get_num_threads()
    plan = correlation_sizes(walk, x.shape, groups, rows, y.shape[2:], kernel, x.itemsize, workers)
    memory = workspace(plan.memory, x.dtype)
    tables = np.empty(plan.table, np.int64)
    for collecting in (False, True):
        weight_gemm.correlate(
            collecting, x.reshape(-1), y.reshape(-1), gw.reshape(-1), memory[: plan.partial], memory[plan.partial :],
            tables, plan.tap_at, strides[:3], plan.element_taps, plan.elements, plan.shape, plan.product,
        )  # fmt: skip


def whole_bias(bias: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a number for each channel of y: the bias, or zeros for one of length 0."""
    return bias if bias.size else np.zeros(y.shape[1], y.dtype)


def weight_strides(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The strides, in numbers, of weights in C order."""
    _, c, h, k = shape
    return c * h * k, h * k, k, 1


def conv2d(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, slope: np.floating, y: np.ndarray, stride: Pair, padding: Pair,
    dilation: Pair, groups: int,
) -> None:  # fmt: skip
    """Fill y. The arguments are checked, in C order and not empty."""
    if _is_shallow(x, w.shape[2:], y, groups):
        _conv2d_shallow(x, w, bias, slope, y, stride, padding, dilation)
        return
    walk = forward_walk(y.shape[2:], plain(w.shape[2:]), stride, padding, dilation)
    rows = w.shape[0] // groups
    o, c, u, v = weight_strides(w.shape)
    convolve(walk, x, w, (rows * o, o, c, u, v), rows, bias, slope, y)


def _is_shallow(x: np.ndarray, kernel: Pair, y: np.ndarray, groups: int) -> bool:
    """Say whether a convolution of x to y has few input channels, and rows of y that are not whole register tiles."""
    depth = x.shape[1] * kernel[0] * kernel[1]
    narrow = y.shape[3] % (2 * lanes(x.itemsize)) != 0
    return groups == 1 and x.shape[1] <= _SHALLOW and depth < MAX_DEPTH // 2 and narrow


def _conv2d_shallow(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, slope: np.floating, y: np.ndarray, stride: Pair, padding: Pair,
    dilation: Pair,
) -> None:  # fmt: skip
    filters, workers = w.shape[0], numba.get_num_threads()
    a = np.zeros((up(filters, ROW_STEP), PITCH), x.dtype)
    a[:filters, : w[0].size] = w.reshape(filters, -1)
    bypass = streamed(y, y.shape[2] * y.shape[3], lanes(x.itemsize))
    plan = band_sizes(x.shape, w.shape, y.shape, stride, padding, dilation, x.itemsize, workers, bypass)
    memory = workspace(plan.memory, x.dtype)
    shallow.convolve_shallow(
        x.reshape(-1), a.reshape(-1), whole_bias(bias, y), slope, y.reshape(-1), memory, plan.b_rows, workers, plan.band
    )  # fmt: skip


def conv2d_input_grad(
    gy: np.ndarray, w: np.ndarray, bias: np.ndarray, gx: np.ndarray, stride: Pair, padding: Pair, dilation: Pair,
    groups: int,
) -> None:  # fmt: skip
    """Fill gx, plus a bias for the sake of conv_transpose2d. As ``conv2d``, gx and gy in each other's places."""
    if stride == (1, 1) and _is_shallow(gy, w.shape[2:], gx, groups):
        outside = turned_padding(w.shape[2:], padding, dilation)
        if min(outside) >= 0:
            turned = w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
            _conv2d_shallow(gy, turned, bias, gy.dtype.type(1), gx, stride, outside, dilation)
            return
    walk = input_grad_walk(gx.shape[2:], plain(w.shape[2:]), stride, padding, dilation)
    o, c, u, v = weight_strides(w.shape)
    convolve(walk, gy, w, (w.shape[0] // groups * o, c, o, u, v), w.shape[1], bias, gy.dtype.type(1), gx)


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
