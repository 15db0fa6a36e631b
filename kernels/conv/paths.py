"""Which algorithm computes a convolution: the one table, and the one place that decides.

    path    what it is                                                         for
    tiles   fewer multiplications by sums of pixels and weights (``fast.py``)  some kernels, wide layers, whole batches
    gemm    matrix products (``products.py``, ``folded.py``)                   everything

A path of PATHS is a function of what ``cpu.py`` is called with. It fills the result, and returns False if it could not:
then the next one takes its place. Tests and benchmarks call paths by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..simd import lanes
from . import fast, folded, products
from .memory import up
from .plan import Pair

PATHS: dict[str, dict[str, Callable[..., bool | None]]] = {
    "conv2d": {"tiles": fast.conv2d, "gemm": products.conv2d},
    "conv2d_input_grad": {"tiles": fast.conv2d_input_grad, "gemm": products.conv2d_input_grad},
    "conv2d_weight_grad": {"tiles": fast.conv2d_weight_grad, "gemm": products.conv2d_weight_grad},
    "upsample_conv2d": {"tiles": fast.upsample_conv2d, "gemm": folded.upsample_conv2d},
    "upsample_conv2d_input_grad": {
        "tiles": fast.upsample_conv2d_input_grad,
        "gemm": folded.upsample_conv2d_input_grad,
    },
    "upsample_conv2d_weight_grad": {
        "tiles": fast.upsample_conv2d_weight_grad,
        "gemm": folded.upsample_conv2d_weight_grad,
    },
}

# Below this many channels on either side, the sums of pixels and outputs cost as much as the multiplications saved.
LEAST_CHANNELS = 16
# The multiplications that remain may be at most this part of the plain ones, for the sums take time too; a weight
# gradient has them on both sides. Measured in docs/performance.md.
MOST_REMAINING = 0.65
MOST_REMAINING_OF_WEIGHT_GRAD = 0.55


def _conv2d(x: np.ndarray, w: np.ndarray, bias: np.ndarray, slope: float, y: np.ndarray, *options: Any) -> float:
    return _remaining(x, y, w.shape[2:], None, *options)


def _conv2d_input_grad(gy: np.ndarray, w: np.ndarray, bias: np.ndarray, gx: np.ndarray, *options: Any) -> float:
    return _remaining(gx, gy, w.shape[2:], gx.shape[2:], *options)


def _conv2d_weight_grad(x: np.ndarray, gy: np.ndarray, gw: np.ndarray, *options: Any) -> float:
    return _remaining(x, gy, gw.shape[2:], None, *options) / _filled(x)


def _filled(x: np.ndarray) -> float:
    """How full the registers are of images. A weight gradient sums the missing ones, too, before it multiplies."""
    lane = lanes(x.itemsize)
    return len(x) / up(len(x), lane)


def _remaining(
    x: np.ndarray, y: np.ndarray, kernel: Pair, gx_hw: Pair | None, stride: Pair, padding: Pair, dilation: Pair,
    groups: int,
) -> float:  # fmt: skip
    """The multiplications that remain, with x and y in the places that they have in conv2d; 1 if it cannot be done."""
    if not fast.conv2d_fits(kernel, stride, dilation, groups) or min(x.shape[1], y.shape[1]) < LEAST_CHANNELS:
        return 1.0
    return fast.conv2d_saving(len(x), y.shape[2:], gx_hw, kernel, padding, x.itemsize)


def _upsample_conv2d(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, slope: float, y: np.ndarray, scale: Pair, padding: Pair
) -> float:
    return _remaining_upsampled(x, y, w.shape[2:], scale, padding)


def _upsample_conv2d_input_grad(gy: np.ndarray, w: np.ndarray, gx: np.ndarray, scale: Pair, padding: Pair) -> float:
    return _remaining_upsampled(gx, gy, w.shape[2:], scale, padding)


def _upsample_conv2d_weight_grad(x: np.ndarray, gy: np.ndarray, gw: np.ndarray, scale: Pair, padding: Pair) -> float:
    return _remaining_upsampled(x, gy, gw.shape[2:], scale, padding) / _filled(x)


def _remaining_upsampled(x: np.ndarray, y: np.ndarray, kernel: Pair, scale: Pair, padding: Pair) -> float:
    if not fast.upsample_conv2d_fits(kernel, scale) or min(x.shape[1], y.shape[1]) < LEAST_CHANNELS:
        return 1.0
    return fast.upsample_conv2d_saving(len(x), x.shape[2:], y.shape[2:], padding, x.itemsize)


_REMAINING: dict[str, Callable[..., float]] = {
    "conv2d": _conv2d,
    "conv2d_input_grad": _conv2d_input_grad,
    "conv2d_weight_grad": _conv2d_weight_grad,
    "upsample_conv2d": _upsample_conv2d,
    "upsample_conv2d_input_grad": _upsample_conv2d_input_grad,
    "upsample_conv2d_weight_grad": _upsample_conv2d_weight_grad,
}


def chosen(operator: str, *arguments: Any) -> str:
    """Return the name of the path that ``run`` tries first."""
    most = MOST_REMAINING_OF_WEIGHT_GRAD if operator.endswith("weight_grad") else MOST_REMAINING
    return "tiles" if _REMAINING[operator](*arguments) <= most else "gemm"


def run(operator: str, *arguments: Any) -> None:
    """Compute by the chosen path, and by matrix products if that one's result is not finite."""
    paths = PATHS[operator]
    if paths[chosen(operator, *arguments)](*arguments) is False:
        paths["gemm"](*arguments)
