"""Upsampling followed by convolution, in two separate steps with the large image in between: the oracle."""

from __future__ import annotations

import numpy as np

from ..conv import reference as conv

Pair = tuple[int, int]
_ONE = (1, 1)


def _upsampled(x: np.ndarray, scale: Pair) -> np.ndarray:
    """Every pixel becomes a block of scale[0] x scale[1] equal pixels."""
    return x.repeat(scale[0], axis=2).repeat(scale[1], axis=3)


def upsample_conv2d(x: np.ndarray, w: np.ndarray, scale: Pair, padding: Pair) -> np.ndarray:
    """conv2d(upsample_nearest2d(x, scale), w, padding=padding)"""
    return conv.conv2d(_upsampled(x, scale), w, _ONE, padding, _ONE, 1)


def upsample_conv2d_input_grad(gy: np.ndarray, w: np.ndarray, scale: Pair, padding: Pair) -> np.ndarray:
    """The gradient of the large image, summed over the block that each small pixel became."""
    large_hw = (gy.shape[2] - 2 * padding[0] + w.shape[2] - 1, gy.shape[3] - 2 * padding[1] + w.shape[3] - 1)
    large = conv.conv2d_input_grad(gy, w, large_hw, _ONE, padding, _ONE, 1)
    n, c = large.shape[:2]
    height, width = large_hw[0] // scale[0], large_hw[1] // scale[1]
    return large.reshape(n, c, height, scale[0], width, scale[1]).sum((3, 5))


def upsample_conv2d_weight_grad(
    x: np.ndarray, gy: np.ndarray, kernel_hw: Pair, scale: Pair, padding: Pair
) -> np.ndarray:
    """The weight gradient of the convolution of the large image."""
    return conv.conv2d_weight_grad(_upsampled(x, scale), gy, kernel_hw, _ONE, padding, _ONE, 1)
