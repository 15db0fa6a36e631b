"""Max and average pooling, their gradients, and the gather that is the adjoint of max pooling's gradient.

``kernel``, ``stride``, ``padding`` and ``dilation`` are an int or (vertical, horizontal) and mean what they mean in
PyTorch; the stride is the kernel unless given. Arrays are float32 or float64 N,C,H,W. Every function raises
TypeError or ValueError naming the argument that does not fit, and ``out=`` takes an array of the result's shape and
dtype in C order that shares no memory with an input.
"""

from __future__ import annotations

import numpy as np

from ..arguments import Pair, arrays, dimensions, empty, in_c_order, namespace, output, pair, place, run


def _window(
    operator: str, hw: Pair, kernel: int | Pair, stride: int | Pair | None, padding: int | Pair, dilation: int | Pair
) -> tuple[Pair, Pair, Pair, Pair, Pair]:
    """Return kernel, stride, padding, dilation as pairs, and the number of windows along each axis."""
    kernel = pair(operator, "kernel", kernel, 1)
    stride = kernel if stride is None else pair(operator, "stride", stride, 1)
    padding = pair(operator, "padding", padding, 0)
    dilation = pair(operator, "dilation", dilation, 1)
    if 2 * padding[0] > kernel[0] or 2 * padding[1] > kernel[1]:
        raise ValueError(f"{operator}: padding={padding} is more than half of kernel={kernel}")
    counts = []
    for size, k, s, p, d in zip(hw, kernel, stride, padding, dilation, strict=True):
        reach = d * (k - 1) + 1
        if size + 2 * p < reach:
            raise ValueError(
                f"{operator}: a window of {reach} does not fit in an image of {hw[0]}x{hw[1]} with padding={padding} "
                f"(kernel={kernel}, dilation={dilation})"
            )
        count = (size + 2 * p - reach) // s + 1
        gaps = d > 1 or size == 0  # otherwise the padding is too small for a window to lie in it
        if gaps and any(not any(0 <= o * s - p + j * d < size for j in range(k)) for o in range(count)):
            raise ValueError(
                f"{operator}: with dilation={dilation} and padding={padding} a window would hold no pixel of "
                f"an image of {hw[0]}x{hw[1]}; use less padding"
            )
        counts.append(count)
    return kernel, stride, padding, dilation, (counts[0], counts[1])


def _planes(array: np.ndarray) -> np.ndarray:
    """Return N,C,H,W as (N*C),H,W."""
    return array.reshape(-1, *array.shape[2:])


def _flat_planes(array: np.ndarray) -> np.ndarray:
    """Return N,C,H,W as (N*C),(H*W)."""
    n, c, height, width = array.shape
    return array.reshape(n * c, height * width)


def max_pool2d(
    x: np.ndarray,
    kernel: int | Pair,
    *,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Return each window's maximum and where it is: (y, index), both (N,C,OH,OW).

    ``index`` is int64, the position in the H*W plane (row * W + column), as PyTorch's ``return_indices``. Of equal
    maxima the first wins. A NaN is the maximum of its window, and of several the last wins. The padding never does.
    OH = (H + 2*padding - dilation*(kernel - 1) - 1) // stride + 1.
    """
    name = "max_pool2d"
    (x,) = arrays(name, x=x)
    dimensions(name, "x", x, "N,C,H,W")
    n, c, height, width = x.shape
    kernel, stride, padding, dilation, counts = _window(name, (height, width), kernel, stride, padding, dilation)
    y = empty((n, c, *counts), x)
    index = empty(y.shape, x, np.dtype(np.int64))
    if y.size:
        rows = _first_inside(counts[0], stride[0], padding[0], dilation[0])
        columns = _first_inside(counts[1], stride[1], padding[1], dilation[1])
        window = (*kernel, *stride, *padding, *dilation)
        run(__package__, "max_pool", x.size, _planes(x), _planes(y), _planes(index), rows, columns, *window)
    return y, index


def _first_inside(count: int, stride: int, padding: int, dilation: int) -> np.ndarray:
    """Return, for each window of one axis, the first input that it covers."""
    start = np.arange(count) * stride - padding
    return np.where(start < 0, start % dilation, start)


def _check_index(operator: str, index: np.ndarray, like: np.ndarray, axes: int, name: str) -> np.ndarray:
    """Return ``index`` ready for a kernel; it must be int64 and have the first ``axes`` axes of ``like``, 4 in all."""
    if not isinstance(index, namespace(like).ndarray) or index.dtype != np.int64:
        got = f"{place(index)}, {index.dtype}" if hasattr(index, "dtype") else type(index).__name__
        raise TypeError(f"{operator}: index must be int64 and {place(like)}, as max_pool2d returns it, got {got}")
    if index.ndim != 4 or index.shape[:axes] != like.shape[:axes]:
        raise ValueError(
            f"{operator}: index.shape={index.shape} does not go with {name}, whose axes are {like.shape[:axes]}"
        )
    return in_c_order(index)


def _refuse_outside(operator: str, outside: int, height: int, width: int) -> None:
    if outside:
        raise ValueError(
            f"{operator}: {outside} values of index lie outside 0 .. {height * width - 1}, the pixels of an image "
            f"of {height}x{width}"
        )


def max_pool2d_grad(
    gy: np.ndarray, index: np.ndarray, input_hw: int | Pair, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Return the gradient of ``max_pool2d``: each ``gy`` added to the pixel at ``index``, (N,C,H,W).

    gy and ``index`` are (N,C,OH,OW), the latter as ``max_pool2d`` returned it; ``input_hw`` is the size of the image
    that was pooled. Where windows overlap and chose the same pixel, their gradients add up.
    """
    name = "max_pool2d_grad"
    height, width = pair(name, "input_hw", input_hw, 0)
    (gy,) = arrays(name, gy=gy)
    dimensions(name, "gy", gy, "N,C,OH,OW")
    index = _check_index(name, index, gy, 4, "gy")
    gx = output(name, out, (*gy.shape[:2], height, width), (gy, index))
    if gx.size or gy.size:
        flat = _flat_planes(gy), _flat_planes(index), _flat_planes(gx)
        _refuse_outside(name, run(__package__, "max_pool_grad", gx.size, *flat), height, width)
    return gx


def max_pool2d_gather(x: np.ndarray, index: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return the pixels of ``x`` at ``index``: the adjoint of ``max_pool2d_grad``, needed for its gradient.

    x is (N,C,H,W); ``index`` and the result are (N,C,OH,OW).
    """
    name = "max_pool2d_gather"
    (x,) = arrays(name, x=x)
    dimensions(name, "x", x, "N,C,H,W")
    index = _check_index(name, index, x, 2, "x")
    y = output(name, out, index.shape, (x, index))
    if y.size:
        outside = run(__package__, "max_pool_gather", y.size, _flat_planes(x), _flat_planes(index), _flat_planes(y))
        _refuse_outside(name, outside, *x.shape[2:])
    return y


def _divisors(
    size: int, count: int, kernel: int, stride: int, padding: int, include: bool, dtype: np.dtype
) -> np.ndarray:
    """Return how many inputs of one axis count in each window; over both axes the factors multiply."""
    start = np.arange(count) * stride - padding
    if include:
        return np.full(count, kernel, dtype)
    return (np.minimum(start + kernel, size) - np.maximum(start, 0)).astype(dtype)


def avg_pool2d(
    x: np.ndarray,
    kernel: int | Pair,
    *,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    count_include_pad: bool = True,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return each window's mean, (N,C,OH,OW) with OH = (H + 2*padding - kernel) // stride + 1.

    The padding counts as zeros, unless ``count_include_pad`` is false: then the divisor is the number of pixels of
    the image in the window.
    """
    name = "avg_pool2d"
    (x,) = arrays(name, x=x)
    dimensions(name, "x", x, "N,C,H,W")
    n, c, height, width = x.shape
    (kh, kw), (sh, sw), (ph, pw), _, (tall, wide) = _window(name, (height, width), kernel, stride, padding, 1)
    y = output(name, out, (n, c, tall, wide), (x,))
    if y.size:
        count_h = _divisors(height, tall, kh, sh, ph, count_include_pad, x.dtype)
        count_w = _divisors(width, wide, kw, sw, pw, count_include_pad, x.dtype)
        run(__package__, "avg_pool", x.size, _planes(x), _planes(y), count_h, count_w, kh, kw, sh, sw, ph, pw)
    return y


def avg_pool2d_grad(
    gy: np.ndarray,
    input_hw: int | Pair,
    kernel: int | Pair,
    *,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    count_include_pad: bool = True,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the gradient of ``avg_pool2d``, its transpose: each ``gy`` shared equally among its window's pixels.

    gy is (N,C,OH,OW), the result (N,C,H,W) with (H, W) = ``input_hw``, the size of the image that was pooled.
    """
    name = "avg_pool2d_grad"
    height, width = pair(name, "input_hw", input_hw, 0)
    (gy,) = arrays(name, gy=gy)
    dimensions(name, "gy", gy, "N,C,OH,OW")
    (kh, kw), (sh, sw), (ph, pw), _, (tall, wide) = _window(name, (height, width), kernel, stride, padding, 1)
    if gy.shape[2:] != (tall, wide):
        raise ValueError(
            f"{name}: gy is {gy.shape[2]}x{gy.shape[3]}, but pooling {height}x{width} with kernel={kh, kw}, "
            f"stride={sh, sw}, padding={ph, pw} gives {tall}x{wide}"
        )
    gx = output(name, out, (*gy.shape[:2], height, width), (gy,))
    if gx.size:
        count_h = _divisors(height, tall, kh, sh, ph, count_include_pad, gy.dtype)
        count_w = _divisors(width, wide, kw, sw, pw, count_include_pad, gy.dtype)
        run(__package__, "avg_pool_grad", gx.size, _planes(gy), _planes(gx), count_h, count_w, kh, kw, sh, sw, ph, pw)
    return gx
