"""Convolutions on the CPU. Which algorithm runs is in ``paths.py``."""

from __future__ import annotations

import numpy as np

from .paths import run
from .plan import Pair


def conv2d(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, slope: np.floating, y: np.ndarray, stride: Pair, padding: Pair,
    dilation: Pair, groups: int,
) -> None:  # fmt: skip
    """Fill y. The arguments are checked, in C order and not empty; a bias of length 0 and a slope of 1 are none."""
    run("conv2d", x, w, bias, slope, y, stride, padding, dilation, groups)


def conv2d_input_grad(
    gy: np.ndarray, w: np.ndarray, bias: np.ndarray, gx: np.ndarray, stride: Pair, padding: Pair, dilation: Pair,
    groups: int,
) -> None:  # fmt: skip
    """Fill gx, plus a bias for the sake of conv_transpose2d. As ``conv2d``, gx and gy in each other's places."""
    run("conv2d_input_grad", gy, w, bias, gx, stride, padding, dilation, groups)


def conv2d_weight_grad(
    x: np.ndarray, gy: np.ndarray, gw: np.ndarray, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> None:
    """Fill gw. As ``conv2d``."""
    run("conv2d_weight_grad", x, gy, gw, stride, padding, dilation, groups)
