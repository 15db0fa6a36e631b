"""Enlarging images by an integer factor: nearest neighbour and bilinear, and the transposes.

``scale`` is an int or (vertical, horizontal). Every function takes and returns float32 or float64 N,C,H,W arrays,
raises TypeError or ValueError naming the argument that does not fit, and accepts ``out=``, an array of the
result's shape and dtype in C order that shares no memory with the input.
"""

from __future__ import annotations

import numpy as np

from ..arguments import Pair, arrays, dimensions, output, pair, run


def _enlarge(
    operator: str, x: np.ndarray, scale: int | Pair, out: np.ndarray | None
) -> tuple[np.ndarray, Pair, np.ndarray]:
    """Check the arguments of a forward operator; return x ready for the kernel, the scale and the result."""
    sh, sw = pair(operator, "scale", scale, 1)
    (x,) = arrays(operator, x=x)
    dimensions(operator, "x", x, "N,C,H,W")
    n, c, height, width = x.shape
    return x, (sh, sw), output(operator, out, (n, c, height * sh, width * sw), (x,))


def _reduce(
    operator: str, gy: np.ndarray, scale: int | Pair, out: np.ndarray | None
) -> tuple[np.ndarray, Pair, np.ndarray]:
    """Check the arguments of a transpose; return gy ready for the kernel, the scale and the result."""
    sh, sw = pair(operator, "scale", scale, 1)
    (gy,) = arrays(operator, gy=gy)
    dimensions(operator, "gy", gy, "N,C,H,W")
    n, c, height, width = gy.shape
    if height % sh or width % sw:
        raise ValueError(
            f"{operator}: gy is {height}x{width}, which is not a multiple of scale={sh, sw} (gy is N,C,H*sh,W*sw)"
        )
    return gy, (sh, sw), output(operator, out, (n, c, height // sh, width // sw), (gy,))


def _planes(array: np.ndarray) -> np.ndarray:
    """Return N,C,H,W as (N*C),H,W."""
    return array.reshape(-1, *array.shape[2:])


def _taps(scale: int, dtype: np.dtype) -> np.ndarray:
    """Return the tent 1 - |(k + 1/2)/scale - 1/2| at the k where it is positive, k = -(scale//2) onwards."""
    k = np.arange(-(scale // 2), scale + scale // 2)
    return ((2 * scale - np.abs(2 * k + 1 - scale)) / (2 * scale)).astype(dtype)


def _weights(scale: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for output scale*i + r, (step, own, other): it is own[r] * x[i] + other[r] * x[i + step[r]]."""
    taps, half = _taps(scale, dtype), scale // 2
    step, own, other = np.zeros(scale, np.int64), np.empty(scale, dtype), np.empty(scale, dtype)
    for r in range(scale):
        own[r] = taps[half + r]
        if r < half:
            step[r], other[r] = -1, taps[half + r + scale]
        elif r >= scale - half:
            step[r], other[r] = 1, taps[half + r - scale]
        else:  # the middle of an odd scale is input i itself; a weight of 0 for the other would make inf a NaN
            own[r] = other[r] = 0.5
    return step, own, other


def upsample_nearest2d(x: np.ndarray, scale: int | Pair, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return (N,C,H*sh,W*sw), in which each pixel of ``x`` has become a block of sh x sw equal ones."""
    x, (sh, sw), y = _enlarge("upsample_nearest2d", x, scale, out)
    if y.size:
        run(__package__, "nearest", y.size, _planes(x), _planes(y), sh, sw)
    return y


def upsample_nearest2d_grad(gy: np.ndarray, scale: int | Pair, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return the gradient of ``upsample_nearest2d``: the sum of each block of sh x sw pixels of ``gy``.

    gy is (N,C,H*sh,W*sw), the result (N,C,H,W). It is the transpose, so its own gradient is the upsampling.
    """
    gy, (sh, sw), gx = _reduce("upsample_nearest2d_grad", gy, scale, out)
    if gx.size:
        run(__package__, "nearest_grad", gy.size, _planes(gy), _planes(gx), sh, sw)
    return gx


def upsample_bilinear2d(x: np.ndarray, scale: int | Pair, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return (N,C,H*sh,W*sw), interpolated linearly along both axes between pixel centres.

    Output u of an axis has its centre at (u + 1/2)/s - 1/2 of the input's axis; outside the outermost centres the
    edge pixel counts. This is PyTorch's ``align_corners=False``.
    """
    x, (sh, sw), y = _enlarge("upsample_bilinear2d", x, scale, out)
    if y.size:
        weights = *_weights(sh, x.dtype), *_weights(sw, x.dtype)
        run(__package__, "bilinear", y.size, _planes(x), _planes(y), *weights)
    return y


def upsample_bilinear2d_grad(gy: np.ndarray, scale: int | Pair, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return the gradient of ``upsample_bilinear2d``, its exact transpose: the same weights, summed by input.

    gy is (N,C,H*sh,W*sw), the result (N,C,H,W).
    """
    gy, (sh, sw), gx = _reduce("upsample_bilinear2d_grad", gy, scale, out)
    if gx.size:
        taps = _taps(sh, gy.dtype), _taps(sw, gy.dtype)
        run(__package__, "bilinear_grad", gy.size, _planes(gy), _planes(gx), *taps, sh, sw)
    return gx
