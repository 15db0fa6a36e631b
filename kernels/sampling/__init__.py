"""Weighted sums of pixels that are looked up: what sampling an image along a grid comes down to.

With x (N,C,P) images of P pixels, index (N,K,M) the K pixels that each of M points looks at, and weight (N,K,M),

    S = sum over n, c, k, m of  gy[n,c,m] * weight[n,k,m] * x[n,c,index[n,k,m]]

is linear in gy, weight and x. Its derivative by each of them is an operator on the other two, so each operator's
gradients are the other two, to any order, as for a convolution. An index of -1 is outside: it contributes nothing.

Arrays are float32 or float64, ``index`` is int64; what does not fit raises TypeError or ValueError.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import arrays, dimensions, in_c_order, output, place, run


def sample_pixels(x: np.ndarray, weight: np.ndarray, index: Any, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return y (N,C,M): the sum over k of weight[n,k,m] * x[n,c,index[n,k,m]]."""
    name = "sample_pixels"
    x, weight = arrays(name, x=x, weight=weight)
    index = _index(name, index, weight)
    _images(name, "x", x, index)
    y = output(name, out, (*x.shape[:2], index.shape[2]), (x, weight))
    if x.size == 0 or weight.size == 0:
        y.fill(0)
    else:
        run(__package__, "sample", y.size * index.shape[1], x, weight, index, y)
    return y


def sample_pixels_input_grad(
    gy: np.ndarray, weight: np.ndarray, index: Any, pixels: int, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Return gx (N,C,pixels): gy * weight, added up for each pixel in the order of (k, m)."""
    name = "sample_pixels_input_grad"
    gy, weight = arrays(name, gy=gy, weight=weight)
    index = _index(name, index, weight)
    _points(name, gy, index)
    gx = output(name, out, (*gy.shape[:2], pixels), (gy, weight))
    if gx.size == 0 or weight.size == 0:
        gx.fill(0)
    else:
        run(__package__, "sample_input_grad", gy.size * index.shape[1], gy, weight, index, gx)
    return gx


def sample_pixels_weight_grad(
    x: np.ndarray, gy: np.ndarray, index: Any, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Return gw (N,K,M): the sum over c of gy[n,c,m] * x[n,c,index[n,k,m]]."""
    name = "sample_pixels_weight_grad"
    x, gy = arrays(name, x=x, gy=gy)
    index = _index(name, index, gy)
    _images(name, "x", x, index)
    _points(name, gy, index)
    gw = output(name, out, index.shape, (x, gy))
    if x.size == 0 or gw.size == 0:
        gw.fill(0)
    else:
        run(__package__, "sample_weight_grad", gy.size * index.shape[1], x, gy, index, gw)
    return gw


def _index(operator: str, index: Any, like: Any) -> Any:
    """Return the index ready for a kernel. Its range is the caller's to answer for: a GPU would be waited for."""
    if type(index) is not type(like):
        raise TypeError(f"{operator}: index is {place(index)}, but the arrays are {place(like)}; move one of them")
    if index.dtype != np.int64 or index.ndim != 3:
        raise ValueError(f"{operator}: index must be int64 (N,K,M), got {index.dtype} {index.shape}")
    if operator != "sample_pixels_weight_grad" and like.shape != index.shape:
        raise ValueError(f"{operator}: weight is {like.shape}, but index {index.shape}; they must be alike")
    return in_c_order(index)


def _images(operator: str, name: str, array: Any, index: Any) -> None:
    dimensions(operator, name, array, "N,C,P")
    if array.shape[0] != index.shape[0]:
        raise ValueError(f"{operator}: {name} is {array.shape}, but index {index.shape} has another batch size N")


def _points(operator: str, gy: Any, index: Any) -> None:
    _images(operator, "gy", gy, index)
    if gy.shape[2] != index.shape[2]:
        raise ValueError(f"{operator}: gy is {gy.shape}, but index {index.shape} has another number of points M")
