"""Operators that reduce axes: sums, means, maxima, and the exponential family on top of them.

``axis`` is an int, a tuple of ints or None for all; ``keepdims`` leaves an axis of 1. PyTorch's names, ``dim`` and
``keepdim``, mean the same.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Function
from ..device import Array, namespace
from ..tensor import Tensor, as_tensor
from .elementwise import exp
from .shape import broadcast_to, normalized_axes, reshape


def _arguments(operator: str, x: Any, axis: Any, keepdims: bool, names: dict[str, Any]) -> tuple[Tensor, Any, bool]:
    unknown = set(names) - {"dim", "keepdim"}
    if unknown:
        raise TypeError(
            f"{operator}: unknown argument {sorted(unknown)[0]!r}; it takes axis (dim) and keepdims (keepdim)"
        )
    if "dim" in names and axis is not None:
        raise TypeError(f"{operator}: axis and dim mean the same, give one")
    x = as_tensor(x)
    axes = normalized_axes(operator, names.get("dim", axis), x.ndim)
    return x, axes, builtins.bool(names.get("keepdim", keepdims))


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
    saves_output = True

    def __init__(self, axes: tuple[int, ...]):
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return x.max(axis=self.axes, keepdims=True)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: Tensor, x: Tensor) -> Any:
        hit = (x.data == y.data).astype(x.dtype)
        return gy * Tensor(hit / hit.sum(axis=self.axes, keepdims=True))


class LogSumExp(Function):
    saves_output = True

    def __init__(self, axes: tuple[int, ...]):
        self.axes = axes

    def forward(self, x: Array) -> Array:
        xp = namespace(x)
        top = x.max(axis=self.axes, keepdims=True)
        top = xp.where(xp.isfinite(top), top, 0)  # all -inf: log(0) below, and not NaN
        with np.errstate(divide="ignore"):
            return xp.log(xp.exp(x - top).sum(axis=self.axes, keepdims=True)) + top

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: Tensor, x: Tensor) -> Any:
        return gy * exp(x - y)


def sum(x: Any, axis: Any = None, keepdims: bool = False, **names: Any) -> Tensor:
    """The sum over ``axis``."""
    x, axes, keepdims = _arguments("sum", x, axis, keepdims, names)
    return Sum(axes, keepdims)(x)


def mean(x: Any, axis: Any = None, keepdims: bool = False, **names: Any) -> Tensor:
    """The mean over ``axis``."""
    x, axes, keepdims = _arguments("mean", x, axis, keepdims, names)
    return Sum(axes, keepdims)(x) * (1.0 / _count("mean", x, axes))


def _count(operator: str, x: Tensor, axes: tuple[int, ...]) -> int:
    """Return how many elements are reduced to one; ValueError if there are none."""
    count = math.prod(x.shape[axis] for axis in axes)
    if count == 0:
        raise ValueError(f"{operator}: there is nothing to reduce in {x.shape} over axes {axes}")
    return count


def var(x: Any, axis: Any = None, keepdims: bool = False, *, correction: int = 0, **names: Any) -> Tensor:
    """The variance over ``axis``: squared deviations over (count - correction), by default the biased one."""
    x, axes, keepdims = _arguments("var", x, axis, keepdims, names)
    count = _count("var", x, axes)
    if count <= correction:
        raise ValueError(f"var: {count} elements are not enough for correction={correction}")
    deviation = x - mean(x, axes, keepdims=True)
    return Sum(axes, keepdims)(deviation * deviation) * (1.0 / (count - correction))


def max(x: Any, axis: Any = None, keepdims: bool = False, **names: Any) -> Tensor:
    """The largest element over ``axis``; equal ones share the gradient evenly."""
    x, axes, keepdims = _arguments("max", x, axis, keepdims, names)
    _count("max", x, axes)
    return _dropped(Max(axes)(x), axes, keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False, **names: Any) -> Tensor:
    """The smallest element over ``axis``; equal ones share the gradient evenly."""
    return -max(-as_tensor(x), axis, keepdims, **names)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False, **names: Any) -> Tensor:
    """log(sum(exp(x))) over ``axis``, without overflow."""
    x, axes, keepdims = _arguments("logsumexp", x, axis, keepdims, names)
    _count("logsumexp", x, axes)
    return _dropped(LogSumExp(axes)(x), axes, keepdims)


def softmax(x: Any, axis: Any = -1) -> Tensor:
    """exp(x) / sum(exp(x)) over ``axis``."""
    return exp(log_softmax(x, axis))


def log_softmax(x: Any, axis: Any = -1) -> Tensor:
    """The logarithm of softmax over ``axis``, without overflow."""
    x = as_tensor(x)
    return x - logsumexp(x, axis, keepdims=True)


def _dropped(y: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    return y if keepdims else reshape(y, tuple(n for i, n in enumerate(y.shape) if i not in axes))
