"""Upsampling and convolution as one transposed convolution, by matrix products: for any kernel and scale.

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

Element t of the folded filter is the sum of the elements k-1-f of the filter for f from t-s+1 to t: a range, which
is what a tap of a ``Walk`` holds.
"""

from __future__ import annotations

import numpy as np

from . import products
from .plan import Elements, Pair, forward_walk, input_grad_walk, turned_padding

_ONE = (1, 1)


def _folded(kernel: Pair, scale: Pair) -> Elements:
    """For each axis, the range of filter elements that each element of the folded filter is the sum of."""
    rows, columns = (
        tuple((max(0, k - 1 - t), min(k, k - 1 - t + s)) for t in range(k + s - 1))
        for k, s in zip(kernel, scale, strict=True)
    )
    return rows, columns


def upsample_conv2d(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, slope: np.floating, y: np.ndarray, scale: Pair, padding: Pair
) -> None:
    """Fill y. The arguments are checked, in C order and not empty."""
    kernel = w.shape[2:]
    walk = input_grad_walk(y.shape[2:], _folded(kernel, scale), scale, turned_padding(kernel, padding), _ONE)
    o, c, u, v = products.weight_strides(w.shape)
    products.convolve(walk, x, w, (0, o, c, u, v), w.shape[0], bias, slope, y)


def upsample_conv2d_input_grad(gy: np.ndarray, w: np.ndarray, gx: np.ndarray, scale: Pair, padding: Pair) -> None:
    """Fill gx, as above."""
    kernel = w.shape[2:]
    walk = forward_walk(gx.shape[2:], _folded(kernel, scale), scale, turned_padding(kernel, padding), _ONE)
    o, c, u, v = products.weight_strides(w.shape)
    products.convolve(walk, gy, w, (0, c, o, u, v), w.shape[1], np.empty(0, gy.dtype), gy.dtype.type(1), gx)


def upsample_conv2d_weight_grad(x: np.ndarray, gy: np.ndarray, gw: np.ndarray, scale: Pair, padding: Pair) -> None:
    """Fill gw, as above."""
    kernel = gw.shape[2:]
    walk = forward_walk(x.shape[2:], _folded(kernel, scale), scale, turned_padding(kernel, padding), _ONE)
    o, c, u, v = products.weight_strides(gw.shape)
    products.correlate(walk, gy, x, gw, (0, c, o, u, v), x.shape[1], kernel)
