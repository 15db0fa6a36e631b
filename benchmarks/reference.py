"""What is right: every pass in NumPy, by matrix products of columns (im2col), matrices of weights, and windows.

In float64 this is the oracle of the correctness mode; in the problem's own precision the convolutions of this file are
the candidate `im2col`. It is tested against the kernels' references, which are loops that follow the definitions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .descriptor import Problem
from .problem import Arrays

Pair = tuple[int, int]


def _padded(x: np.ndarray, padding: Pair, value: float = 0) -> np.ndarray:
    edges = ((0, 0),) * (x.ndim - 2) + ((padding[0],) * 2, (padding[1],) * 2)
    return np.pad(x, edges, constant_values=value) if any(padding) else x


def _windows(x: np.ndarray, p: Problem, output: Pair) -> np.ndarray:
    """A view (..., outH, outW, kH, kW) of a padded image."""
    reach = tuple(d * (k - 1) + 1 for k, d in zip(p.kernel, p.dilation, strict=True))
    view = sliding_window_view(x, reach, axis=(-2, -1))
    view = view[..., :: p.stride[0], :: p.stride[1], :: p.dilation[0], :: p.dilation[1]]
    return view[..., : output[0], : output[1], :, :]


def _columns(x: np.ndarray, p: Problem, output: Pair) -> np.ndarray:
    """One group of one image, C,H,W, as C*kH*kW rows of outH*outW columns."""
    view = _windows(_padded(x, p.padding), p, output).transpose(0, 3, 4, 1, 2)
    return view.reshape(x.shape[0] * math.prod(p.kernel), math.prod(output))


def _scattered(columns: np.ndarray, p: Problem, channels: int, image: Pair, output: Pair) -> np.ndarray:
    """The transpose of `_columns`: every number is added to the pixel that it came from."""
    (ph, pw), (sh, sw), (dh, dw) = p.padding, p.stride, p.dilation
    blocks = columns.reshape(channels, *p.kernel, *output)
    # An image that the last window does not reach, or that is smaller than it, needs room for both.
    tall = max(image[0] + 2 * ph, (output[0] - 1) * sh + dh * (p.kernel[0] - 1) + 1)
    wide = max(image[1] + 2 * pw, (output[1] - 1) * sw + dw * (p.kernel[1] - 1) + 1)
    padded = np.zeros((channels, tall, wide), columns.dtype)
    for u in range(p.kernel[0]):
        for v in range(p.kernel[1]):
            rows = slice(u * dh, u * dh + (output[0] - 1) * sh + 1, sh)
            across = slice(v * dw, v * dw + (output[1] - 1) * sw + 1, sw)
            padded[:, rows, across] += blocks[:, u, v]
    return padded[:, ph : ph + image[0], pw : pw + image[1]]


def _groups(p: Problem, n: int, *channels: int) -> Iterator[tuple[int, ...]]:
    """Yield (image, slice of channels, ...) for every image and group."""
    for image in range(n):
        for g in range(p.groups):
            yield (image, *(slice(g * c // p.groups, (g + 1) * c // p.groups) for c in channels))  # type: ignore[misc]


def correlate(x: np.ndarray, w: np.ndarray, p: Problem, output: Pair) -> np.ndarray:
    """conv2d by columns; w is O,C/groups,kH,kW."""
    y = np.empty((x.shape[0], w.shape[0], *output), x.dtype)
    rows = w.reshape(w.shape[0], -1)
    for n, c, o in _groups(p, x.shape[0], x.shape[1], w.shape[0]):
        y[n, o] = (rows[o] @ _columns(x[n, c], p, output)).reshape(-1, *output)
    return y


def correlate_input_grad(gy: np.ndarray, w: np.ndarray, p: Problem, image: Pair) -> np.ndarray:
    """The gradient of `correlate` by x."""
    channels, output = w.shape[1] * p.groups, gy.shape[2:]
    gx = np.empty((gy.shape[0], channels, *image), gy.dtype)
    rows = w.reshape(w.shape[0], -1)
    for n, c, o in _groups(p, gy.shape[0], channels, w.shape[0]):
        columns = rows[o].T @ gy[n, o].reshape(-1, math.prod(output))
        gx[n, c] = _scattered(columns, p, w.shape[1], image, output)
    return gx


def correlate_weight_grad(x: np.ndarray, gy: np.ndarray, p: Problem) -> np.ndarray:
    """The gradient of `correlate` by w."""
    output, channels = gy.shape[2:], x.shape[1] // p.groups
    gw = np.zeros((gy.shape[1], channels * math.prod(p.kernel)), x.dtype)
    for n, c, o in _groups(p, x.shape[0], x.shape[1], gy.shape[1]):
        gw[o] += gy[n, o].reshape(-1, math.prod(output)) @ _columns(x[n, c], p, output).T
    return gw.reshape(gy.shape[1], channels, *p.kernel)


def _enlarged(x: np.ndarray, scale: Pair) -> np.ndarray:
    return x.repeat(scale[0], axis=2).repeat(scale[1], axis=3)


def _summed(large: np.ndarray, scale: Pair) -> np.ndarray:
    n, c, h, w = large.shape
    return large.reshape(n, c, h // scale[0], scale[0], w // scale[1], scale[1]).sum((3, 5))


def weighted(p: Problem, a: Arrays) -> np.ndarray:
    """A pass of conv, deconv, upconv or ip, in the precision of the arrays."""
    direction = p.direction
    if p.op == "ip":
        if direction.startswith("FWD"):
            y = a["x"] @ a["w"].T
            return y + a["bias"] if "bias" in a else y
        return a["gy"] @ a["w"] if direction == "BWD_D" else a["gy"].T @ a["x"]
    if direction == "BWD_D":
        if p.op == "deconv":
            return correlate(a["gy"], a["w"], p, p.image)
        if p.op == "upconv":
            large = (p.image[0] * p.scale[0], p.image[1] * p.scale[1])
            return _summed(correlate_input_grad(a["gy"], a["w"], p, large), p.scale)
        return correlate_input_grad(a["gy"], a["w"], p, p.image)
    x = _enlarged(a["x"], p.scale) if p.op == "upconv" else a["x"]
    if direction == "BWD_W":
        return correlate_weight_grad(a["gy"], x, p) if p.op == "deconv" else correlate_weight_grad(x, a["gy"], p)
    if p.op == "deconv":
        y = correlate_input_grad(x, a["w"], p, p.output)
    else:
        y = correlate(x, a["w"], p, p.output)
    if "bias" in a:
        y += a["bias"][:, None, None]
    return y


def interpolation(size: int, scale: int, linear: bool) -> np.ndarray:
    """The matrix (size * scale, size) that enlarges one axis; linear: centres aligned, kept inside the image."""
    matrix = np.zeros((size * scale, size))
    for o in range(size * scale):
        position = min(max((o + 0.5) / scale - 0.5, 0), size - 1) if linear else o // scale
        below = int(position)
        matrix[o, below] += 1 - (position - below)
        if position > below:
            matrix[o, below + 1] += position - below
    return matrix


#: The filter of the resampling algorithm "fir": the binomial one, which keeps the sum of an image.
FIR = (1 / 8, 3 / 8, 3 / 8, 1 / 8)


def filtering(size: int, scale: int) -> np.ndarray:
    """The matrix (size * scale, size) that puts scale - 1 zeros after each pixel of an axis and applies `FIR`."""
    matrix = np.zeros((size * scale, size))
    front = fir_padding(scale)[0]
    for o in range(size * scale):
        for k, weight in enumerate(FIR):
            i, between = divmod(o + k - front, scale)
            if not between and 0 <= i < size:
                matrix[o, i] = weight * scale
    return matrix


def fir_padding(scale: int) -> Pair:
    """The zeros in front and behind with which ``scale`` enlarges by just that factor."""
    return (len(FIR) + scale - 1) // 2, (len(FIR) - scale) // 2


def _resampled(p: Problem, a: Arrays) -> np.ndarray:
    if p.algorithm == "fir":
        rows, columns = (filtering(n, s) for n, s in zip(p.image, p.scale, strict=True))
    else:
        rows, columns = (interpolation(n, s, p.algorithm == "linear") for n, s in zip(p.image, p.scale, strict=True))
    return rows @ a["x"] @ columns.T if p.direction == "FWD_D" else rows.T @ a["gy"] @ columns


def _pooled(p: Problem, a: Arrays) -> np.ndarray:
    maximum = p.algorithm == "max"
    image = a["x"]
    if maximum:
        windows = _windows(_padded(image, p.padding, -math.inf), p, p.output)
        flat = windows.reshape(*windows.shape[:4], -1)
        if p.direction == "FWD_D":
            return flat.max(-1)
        chosen = flat.argmax(-1)  # the first of equal ones
        weights = (np.arange(flat.shape[-1]) == chosen[..., None]) * a["gy"][..., None]
    else:
        inside = _windows(_padded(np.ones((1, 1, *p.image)), p.padding), p, p.output).sum((-2, -1))
        divisor = inside if p.algorithm == "avg_np" else float(math.prod(p.kernel))
        if p.direction == "FWD_D":
            return _windows(_padded(image, p.padding), p, p.output).sum((-2, -1)) / divisor
        weights = np.repeat((a["gy"] / divisor)[..., None], math.prod(p.kernel), -1)
    columns = weights.reshape(p.mb, p.ic, math.prod(p.output), *p.kernel).transpose(0, 1, 3, 4, 2)
    return np.stack([_scattered(image_columns, p, p.ic, p.image, p.output) for image_columns in columns])


def _normalised(p: Problem, a: Arrays) -> tuple[np.ndarray, ...]:
    x, axes, shape = a["x"], (0, 2, 3), (1, p.ic, 1, 1)
    invstd = 1 / np.sqrt(x.var(axes, keepdims=True) + EPSILON)
    hat = (x - x.mean(axes, keepdims=True)) * invstd
    if p.direction == "FWD_D":
        return (hat * a["weight"].reshape(shape) + a["beta"].reshape(shape),)
    gy = a["gy"]
    gweight, gbeta = (gy * hat).sum(axes, keepdims=True), gy.sum(axes, keepdims=True)
    count = x.size // p.ic
    gx = a["weight"].reshape(shape) * invstd * (gy - gbeta / count - hat * gweight / count)
    return gx, gweight.ravel(), gbeta.ravel()


#: What batch normalisation adds to the variance, here and in every candidate.
EPSILON = 1e-5


def compute(problem: Problem, arrays: Arrays) -> tuple[np.ndarray, ...]:
    """Return the results of the pass in float64, as a tuple."""
    a = {name: array.astype(np.float64) for name, array in arrays.items()}
    if problem.op == "bnorm":
        return _normalised(problem, a)
    if problem.op == "resampling":
        return (_resampled(problem, a),)
    if problem.op == "pool":
        return (_pooled(problem, a),)
    return (weighted(problem, a),)
