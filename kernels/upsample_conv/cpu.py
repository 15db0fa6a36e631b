"""Upsampling and convolution as one transposed convolution.

Nearest upsampling by s is itself a transposed convolution: every pixel stamps an s x s block of ones, s apart.
Followed by a convolution with a k x k filter it stays one, with the filter that the two make together: the sum
of s x s shifted copies of the flipped filter, k + s - 1 wide. In one dimension, scale 2 and filter (a, b, c):

    large image      x0  x0  x1  x1  x2  x2          y[2] = a*x0 + b*x1 + c*x1  =    a  *x0 + (b+c)*x1
    padded by 1    0 x0  x0  x1  x1  x2  x2 0        y[3] = a*x1 + b*x1 + c*x2  =  (a+b)*x1 +    c *x2

    so x1 stamps (c, b+c, a+b, a) on y[1] ... y[4]:   the folded filter, stamped 2 apart

A transposed convolution with stride s costs each output ceil((k+s-1) / s) multiplications along each axis: 2 in
place of 3 here, 4 in place of 9 in two dimensions. And since it is a transposed convolution, its gradients are a
convolution with stride s and that one's weight gradient, which is folded back: every filter element gathers the
s x s elements of the folded one that it was added to.
"""

from __future__ import annotations

import numpy as np

from ..arguments import Pair
from ..conv import cpu as conv

_ONE = (1, 1)


def _folded(w: np.ndarray, scale: Pair) -> np.ndarray:
    """Return the transposed convolution's filters, C,O,kH+sH-1,kW+sW-1, from w, O,C,kH,kW."""
    flipped = w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    height, width = w.shape[2:]
    folded = np.zeros((*flipped.shape[:2], height + scale[0] - 1, width + scale[1] - 1), w.dtype)
    for i in range(scale[0]):
        for j in range(scale[1]):
            folded[:, :, i : i + height, j : j + width] += flipped
    return folded


def _cut(kernel: Pair, padding: Pair) -> Pair:
    """The padding of the transposed convolution: what it cuts from the full result. Negative if it adds zeros."""
    return kernel[0] - 1 - padding[0], kernel[1] - 1 - padding[1]


def upsample_conv2d(x: np.ndarray, w: np.ndarray, bias: np.ndarray, y: np.ndarray, scale: Pair, padding: Pair) -> None:
    """Fill y. The arguments are checked, in C order and not empty."""
    conv.conv2d_input_grad(x, _folded(w, scale), bias, y, scale, _cut(w.shape[2:], padding), _ONE, 1)


def upsample_conv2d_input_grad(gy: np.ndarray, w: np.ndarray, gx: np.ndarray, scale: Pair, padding: Pair) -> None:
    """Fill gx, as above."""
    none = np.empty(0, gy.dtype)
    conv.conv2d(gy, _folded(w, scale), none, gx, scale, _cut(w.shape[2:], padding), _ONE, 1)


def upsample_conv2d_weight_grad(x: np.ndarray, gy: np.ndarray, gw: np.ndarray, scale: Pair, padding: Pair) -> None:
    """Fill gw, as above."""
    height, width = gw.shape[2:]
    folded = np.empty((x.shape[1], gy.shape[1], height + scale[0] - 1, width + scale[1] - 1), x.dtype)
    conv.conv2d_weight_grad(gy, x, folded, scale, _cut((height, width), padding), _ONE, 1)
    flipped = np.zeros((x.shape[1], gy.shape[1], height, width), x.dtype)
    for i in range(scale[0]):
        for j in range(scale[1]):
            flipped += folded[:, :, i : i + height, j : j + width]
    gw[...] = flipped.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
