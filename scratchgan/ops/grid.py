"""Spatial transformers: images sampled wherever a grid of coordinates says (Jaderberg et al., 2015).

Where a point falls decides two things: *which* pixels it looks at, which is constant from one pixel to the next, and
with *which weights*, which move with it. So the gradient by the grid goes through the weights alone, and those are
ordinary operators on small Tensors. What is large, the looking up, is linear in the image and in the weights: three
Functions here that are each other's gradients (``kernels/sampling``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Function
from ..device import Array
from ..tensor import Tensor
from .arguments import FLAG, NETWORK, check_alike, choice, integers, operator
from .matmul import matmul
from .shape import reshape, stack, transpose


class SamplePixels(Function):
    """(x (N,C,P), weight (N,K,M)) -> y (N,C,M), for a constant ``index`` (N,K,M) of pixels."""

    saves_output = False

    def __init__(self, index: Array):
        self.index = index

    def forward(self, x: Array, weight: Array) -> Array:
        return kernels.sample_pixels(x, weight, self.index)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor, weight: Tensor) -> Any:
        return (
            SamplePixelsInputGrad(self.index, x.shape[2])(gy, weight) if needs[0] else None,
            SamplePixelsWeightGrad(self.index)(x, gy) if needs[1] else None,
        )


class SamplePixelsInputGrad(Function):
    """(gy, weight) -> gx, for images of ``pixels`` pixels."""

    saves_output = False

    def __init__(self, index: Array, pixels: int):
        self.index, self.pixels = index, pixels

    def forward(self, gy: Array, weight: Array) -> Array:
        return kernels.sample_pixels_input_grad(gy, weight, self.index, self.pixels)

    def backward(self, needs: tuple[bool, ...], ggx: Tensor, _: None, gy: Tensor, weight: Tensor) -> Any:
        return (
            SamplePixels(self.index)(ggx, weight) if needs[0] else None,
            SamplePixelsWeightGrad(self.index)(ggx, gy) if needs[1] else None,
        )


class SamplePixelsWeightGrad(Function):
    """(x, gy) -> gw."""

    saves_output = False

    def __init__(self, index: Array):
        self.index = index

    def forward(self, x: Array, gy: Array) -> Array:
        return kernels.sample_pixels_weight_grad(x, gy, self.index)

    def backward(self, needs: tuple[bool, ...], ggw: Tensor, _: None, x: Tensor, gy: Tensor) -> Any:
        return (
            SamplePixelsInputGrad(self.index, x.shape[2])(gy, ggw) if needs[0] else None,
            SamplePixels(self.index)(x, ggw) if needs[1] else None,
        )


class Moved(Function):
    """A piecewise linear function of x, of which ``value`` and ``slope`` are known at each element."""

    saves_inputs = saves_output = False

    def __init__(self, value: Array, slope: Array):
        self.value, self.slope = value, slope

    def forward(self, x: Array) -> Array:
        return self.value

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return gy * Tensor(self.slope)


@operator(
    x=NETWORK,
    grid=NETWORK,
    mode=choice("bilinear", "nearest"),
    padding_mode=choice("zeros", "border", "reflection"),
    align_corners=FLAG,
)
def grid_sample(
    x: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False
) -> Tensor:
    """Sample x (N,C,H,W) at the points of grid (N,outH,outW,2): (N,C,outH,outW).

    A point is (horizontal, vertical), -1 to 1 across the image: between its edges, or with ``align_corners`` between
    the centres of its outermost pixels. ``mode``: "bilinear" weighs the four pixels around a point, "nearest" takes one
    and has no gradient by the grid. ``padding_mode`` says what lies outside: "zeros", the nearest pixel of the
    "border", or the mirror image ("reflection"). At a pixel's centre the gradient by the grid is the one towards higher
    coordinates; outside, with "border", it is 0. A NaN in the grid makes NaNs.
    """
    if x.ndim != 4 or grid.ndim != 4 or grid.shape[3] != 2 or grid.shape[0] != x.shape[0]:
        raise ValueError(
            f"grid_sample: x is {x.shape} and grid {grid.shape}; they must be (N,C,H,W) and (N,outH,outW,2), with one N"
        )
    check_alike("grid_sample", x=x, grid=grid)
    if 0 in x.shape[2:]:
        raise ValueError(f"grid_sample: x {x.shape} has no pixels to sample")
    n, c, height, width = x.shape
    out_hw = grid.shape[1:3]
    across, down = (
        _position(reshape(grid[..., axis], (n, out_hw[0] * out_hw[1])), size, padding_mode, align_corners)
        for axis, size in ((0, width), (1, height))
    )
    columns, column_weights = _neighbours(across, width, mode)
    rows, row_weights = _neighbours(down, height, mode)
    index, weights = [], []
    for row, row_weight in zip(rows, row_weights, strict=True):
        for column, column_weight in zip(columns, column_weights, strict=True):
            inside = (row >= 0) & (column >= 0)
            index.append(x.namespace.where(inside, row * width + column, -1))
            weights.append(row_weight * column_weight)
    y = SamplePixels(x.namespace.stack(index, 1))(reshape(x, (n, c, height * width)), stack(weights, 1))
    return reshape(y, (n, c, *out_hw))


def _position(at: Tensor, size: int, padding_mode: str, align_corners: bool) -> Tensor:
    """Return a coordinate, -1 to 1, in pixels, brought inside the image unless zeros are outside."""
    xp = at.namespace
    first, last = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)  # where -1 and 1 are
    scale, span = (last - first) / 2, last - first
    if padding_mode == "zeros":
        return (at + 1.0) * scale + first
    pixel = (at.data + 1) * scale + first
    slope = xp.ones_like(pixel)
    if padding_mode == "reflection" and span > 0:
        flips = xp.floor((pixel - first) / span)
        odd = xp.remainder(flips, 2) == 1
        beyond = pixel - first - flips * span
        pixel = xp.where(odd, span - beyond, beyond) + first
        slope = xp.where(odd, -1, 1)
    slope = xp.where((pixel > 0) & (pixel < size - 1), slope * scale, 0).astype(at.dtype)
    return Moved(xp.clip(pixel, 0, size - 1).astype(at.dtype), slope)(at)


def _neighbours(position: Tensor, size: int, mode: str) -> tuple[list[Array], list[Tensor]]:
    """Return the pixels that a position looks at, -1 for one outside, and their weights."""
    xp, at = position.namespace, position.data
    unknown = xp.isnan(at)
    known = xp.where(unknown, 0, xp.clip(at, -2, size + 1))  # far outside is outside, and fits an integer
    if mode == "nearest":
        pixel = xp.rint(known).astype(np.int64)
        return [_inside(xp, pixel, size)], [Tensor(xp.where(unknown, np.nan, 1).astype(position.dtype))]
    below = xp.floor(known)
    above_part = position - Tensor(below.astype(position.dtype))
    pixel = below.astype(np.int64)
    return [_inside(xp, pixel, size), _inside(xp, pixel + 1, size)], [1.0 - above_part, above_part]


def _inside(xp: Any, pixel: Array, size: int) -> Array:
    return xp.where((pixel >= 0) & (pixel < size), pixel, -1)


@operator(theta=NETWORK, size=integers(4, 0, "(N,C,outH,outW)"), align_corners=FLAG)
def affine_grid(theta: Any, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """The grid (N,outH,outW,2) for `grid_sample` that an affine map theta (N,2,3) makes; size is (N,C,outH,outW).

    Point (u, v) of the output, -1 to 1, looks at theta @ (u, v, 1).
    """
    if theta.ndim != 3 or theta.shape[1:] != (2, 3):
        raise ValueError(f"affine_grid: theta must be (N,2,3), got {theta.shape}")
    if size[0] != theta.shape[0]:
        raise ValueError(f"affine_grid: size must be (N,C,outH,outW) with N={theta.shape[0]}, got {size}")
    height, width = size[2:]
    v, u = (_centres(n, align_corners) for n in (height, width))
    base = np.ones((height, width, 3))
    base[..., 0], base[..., 1] = u[None], v[:, None]
    points = Tensor(theta.namespace.asarray(base.reshape(1, height * width, 3).astype(theta.dtype)))
    return reshape(matmul(points, transpose(theta, (0, 2, 1))), (theta.shape[0], height, width, 2))


def _centres(n: int, align_corners: bool) -> np.ndarray:
    """Return where the centres of n pixels are, from -1 to 1."""
    if align_corners:
        return np.linspace(-1, 1, n) if n > 1 else np.zeros(n)
    return (2 * np.arange(n) + 1) / n - 1
