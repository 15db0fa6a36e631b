"""Operators that reduce axes: sums, means, maxima, and the exponential family on top of them.

``axis`` is an int, a tuple of ints or None for all; ``keepdims`` leaves an axis of 1. PyTorch's names, ``dim`` and
``keepdim``, mean the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Function, constant
from ..device import Array, namespace
from ..tensor import Tensor
from .arguments import AXES, FLAG, FLOATING, TENSOR, integer, operator
from .elementwise import exp
from .shape import broadcast_to, normalized_axes, reshape


def _kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


class Sum(Function):
    saves_inputs = saves_output = False

    def __init__(self, axes: tuple[int, ...], keepdims: bool):
        self.axes, self.keepdims = axes, keepdims

    def forward(self, x: Array) -> Array:
        self.source = x.shape
        if x.ndim == 4 and self.axes == (0, 2, 3) and x.dtype in (np.float32, np.float64):
            total = kernels.channel_sum(x)  # the gradient of every bias: one pass, with threads
            return total.reshape(_kept(x.shape, self.axes)) if self.keepdims else total
        return x.sum(axis=self.axes, keepdims=self.keepdims)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return broadcast_to(reshape(gy, _kept(self.source, self.axes)), self.source)


class Max(Function):
    """The gradient is shared by all that are equal to the result; by all that are NaN, if it is."""

    saves_output = True

    def __init__(self, axes: tuple[int, ...]):
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return x.max(axis=self.axes, keepdims=True)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: Tensor, x: Tensor) -> Any:
        hit = ((x.data == y.data) | (x.data != x.data)).astype(x.dtype)
        return gy * constant(hit / hit.sum(axis=self.axes, keepdims=True))


class Min(Max):
    def forward(self, x: Array) -> Array:
        return x.min(axis=self.axes, keepdims=True)


def _log_of_sum(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Return top, the largest element along ``axes``, and log(sum(exp(x - top))): their sum is log(sum(exp(x))).

    They are kept apart because adding them rounds to the size of top, and what is taken from it afterwards would be
    left with that error. The largest elements count 1 each and stand apart from the others, which may be tiny:
    log1p(others), and not log(1 + others).
    """
    xp = namespace(x)
    top = x.max(axis=axes, keepdims=True)
    largest = x == top
    others = xp.where(largest, 0, xp.exp(xp.where(largest, 0, x) - xp.where(largest, 0, top)))
    ties = largest.sum(axis=axes, keepdims=True) - 1
    return top, xp.log1p(others.sum(axis=axes, keepdims=True) + ties).astype(x.dtype)


class LogSumExp(Function):
    """log(sum(exp(x))) over axes that stay, with 1 element."""

    saves_output = False

    def __init__(self, axes: tuple[int, ...]):
        self.axes = axes

    def forward(self, x: Array) -> Array:
        top, rest = _log_of_sum(x, self.axes)
        return top + rest

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor) -> Any:
        return gy * Softmax(self.axes)(x)


class LogSoftmax(Function):
    saves_inputs = False

    def __init__(self, axes: tuple[int, ...]):
        self.axes = axes

    def forward(self, x: Array) -> Array:
        top, rest = _log_of_sum(x, self.axes)
        return (x - top) - namespace(x).where(abs(top) == math.inf, math.nan, rest).astype(x.dtype)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: Tensor, x: None) -> Any:
        return gy - exp(y) * Sum(self.axes, True)(gy)


class Softmax(Function):
    saves_inputs = False

    def __init__(self, axes: tuple[int, ...]):
        self.axes = axes

    def forward(self, x: Array) -> Array:
        e = namespace(x).exp(x - x.max(axis=self.axes, keepdims=True))
        return e / e.sum(axis=self.axes, keepdims=True)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: Tensor, x: None) -> Any:
        along = gy * y
        return along - y * Sum(self.axes, True)(along)


@operator(x=TENSOR, axis=AXES, keepdims=FLAG)
def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The sum over ``axis``; of masks, how many hold."""
    return Sum(normalized_axes("sum", axis, x.ndim), keepdims)(x)


@operator(x=FLOATING, axis=AXES, keepdims=FLAG)
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The mean over ``axis``."""
    return _mean("mean", x, normalized_axes("mean", axis, x.ndim), keepdims)


def _mean(operator: str, x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    return Sum(axes, keepdims)(x) * (1.0 / _count(operator, x, axes))


def _count(operator: str, x: Tensor, axes: tuple[int, ...]) -> int:
    """Return how many elements are reduced to one; ValueError if there are none."""
    count = math.prod([x.data.shape[axis] for axis in axes])
    if count == 0:
        raise ValueError(f"{operator}: there is nothing to reduce in {x.shape} over axes {axes}")
    return count


@operator(x=FLOATING, axis=AXES, keepdims=FLAG, correction=integer(0))
def var(x: Any, axis: Any = None, keepdims: bool = False, *, correction: int = 0) -> Tensor:
    """The variance over ``axis``: squared deviations over (count - correction), by default the biased one."""
    axes = normalized_axes("var", axis, x.ndim)
    count = _count("var", x, axes)
    if count <= correction:
        raise ValueError(f"var: {count} elements are not enough for correction={correction}")
    deviation = x - _mean("var", x, axes, True)
    return Sum(axes, keepdims)(deviation * deviation) * (1.0 / (count - correction))


@operator(x=TENSOR, axis=AXES, keepdims=FLAG)
def max(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest element over ``axis``; equal ones share the gradient evenly. NaN counts as the largest."""
    axes = normalized_axes("max", axis, x.ndim)
    _count("max", x, axes)
    return _dropped(Max(axes)(x), axes, keepdims)


@operator(x=TENSOR, axis=AXES, keepdims=FLAG)
def min(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The smallest element over ``axis``; equal ones share the gradient evenly. NaN counts as the smallest."""
    axes = normalized_axes("min", axis, x.ndim)
    _count("min", x, axes)
    return _dropped(Min(axes)(x), axes, keepdims)


@operator(x=FLOATING, axis=AXES, keepdims=FLAG)
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over ``axis``, without overflow."""
    axes = normalized_axes("logsumexp", axis, x.ndim)
    _count("logsumexp", x, axes)
    return _dropped(LogSumExp(axes)(x), axes, keepdims)


@operator(x=FLOATING, axis=AXES)
def softmax(x: Any, axis: Any = -1) -> Tensor:
    """exp(x) / sum(exp(x)) over ``axis``. A row that has an infinite largest element is NaN."""
    return _along("softmax", Softmax, x, axis)


@operator(x=FLOATING, axis=AXES)
def log_softmax(x: Any, axis: Any = -1) -> Tensor:
    """The logarithm of softmax over ``axis``, without overflow, and right to the last bits where softmax is near 1."""
    return _along("log_softmax", LogSoftmax, x, axis)


def _along(operator: str, function: Any, x: Tensor, axis: Any) -> Tensor:
    axes = normalized_axes(operator, axis, x.ndim)
    return function(axes)(x) if x.size else x * 1.0


def _dropped(y: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    return y if keepdims else reshape(y, tuple([n for i, n in enumerate(y.shape) if i not in axes]))
