"""Upsampling convolutions on the CPU. Which algorithm runs is in ``conv/paths.py``."""

from __future__ import annotations

import numpy as np

from ..arguments import Pair
from ..conv.paths import run


def upsample_conv2d(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, slope: np.floating, y: np.ndarray, scale: Pair, padding: Pair
) -> None:
    """Fill y. The arguments are checked, in C order and not empty; a bias of length 0 and a slope of 1 are none."""
    run("upsample_conv2d", x, w, bias, slope, y, scale, padding)


def upsample_conv2d_input_grad(gy: np.ndarray, w: np.ndarray, gx: np.ndarray, scale: Pair, padding: Pair) -> None:
    """Fill gx, as above."""
    run("upsample_conv2d_input_grad", gy, w, gx, scale, padding)


def upsample_conv2d_weight_grad(x: np.ndarray, gy: np.ndarray, gw: np.ndarray, scale: Pair, padding: Pair) -> None:
    """Fill gw, as above."""
    run("upsample_conv2d_weight_grad", x, gy, gw, scale, padding)
