"""Operators that move elements about: each one's gradient moves them back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Function
from ..device import Array, namespace
from ..tensor import Tensor, as_tensor


class Reshape(Function):
    saves_inputs = saves_output = False

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self.source = x.shape
        return x.reshape(self.shape)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return Reshape(self.source)(gy)


class Transpose(Function):
    saves_inputs = saves_output = False

    def __init__(self, axes: tuple[int, ...]):
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return x.transpose(self.axes)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return Transpose(tuple(int(i) for i in np.argsort(self.axes)))(gy)


class BroadcastTo(Function):
    """Repeats elements; its gradient, `SumTo`, adds the copies up again."""

    saves_inputs = saves_output = False

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self.source = x.shape
        return namespace(x).broadcast_to(x, self.shape)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return sum_to(gy, self.source)


class SumTo(Function):
    """Sums over the axes along which ``shape`` would be broadcast; its gradient, `BroadcastTo`, repeats."""

    saves_inputs = saves_output = False

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self.source = x.shape
        lead = x.ndim - len(self.shape)
        repeated = [i for i, n in enumerate(self.shape, lead) if n == 1 and x.shape[i] != 1]
        return x.sum(axis=(*range(lead), *repeated)).reshape(self.shape)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return broadcast_to(gy, self.source)


class Concatenate(Function):
    saves_inputs = saves_output = False

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, *xs: Array) -> Array:
        self.sizes = [x.shape[self.axis] for x in xs]
        return namespace(xs[0]).concatenate(xs, self.axis)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, *xs: None) -> Any:
        ends = np.cumsum(self.sizes)
        before = (slice(None),) * self.axis
        return tuple(
            gy[(*before, slice(int(end) - size, int(end)))] if need else None
            for need, size, end in zip(needs, self.sizes, ends, strict=True)
        )


class GetItem(Function):
    saves_inputs = saves_output = False

    def __init__(self, index: Any):
        self.index = index

    def forward(self, x: Array) -> Array:
        self.source = x.shape
        return x[self.index]

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return PutItem(self.index, self.source)(gy)


def _is_mask(part: Any) -> bool:
    return hasattr(part, "dtype") and part.dtype.kind == "b"


class PutItem(Function):
    """Zeros of ``shape`` with the input added in at ``index``; an index that repeats adds up."""

    saves_inputs = saves_output = False

    def __init__(self, index: Any, shape: tuple[int, ...]):
        self.index, self.shape = index, shape

    def forward(self, x: Array) -> Array:
        xp = namespace(x)
        result = xp.zeros(self.shape, x.dtype)
        parts = self.index if isinstance(self.index, tuple) else (self.index,)
        if all(isinstance(part, (int, slice, type(None), type(Ellipsis))) or _is_mask(part) for part in parts):
            result[self.index] = x  # slices and masks never repeat an element
        elif xp is np:
            np.add.at(result, self.index, x)
        else:
            return self._summed(x, xp)
        return result

    def _summed(self, x: Array, xp: Any) -> Array:
        """Add up on a GPU what falls on the same place; CuPy's ``add.at`` does it in any order."""
        if hasattr(self.index, "dtype"):  # whole rows
            rows, width = self.shape[0], math.prod(self.shape[1:])
            ids = xp.asarray(self.index).reshape(-1)
            ids = xp.where(ids < 0, ids + rows, ids)
        else:
            rows, width = math.prod(self.shape), 1
            ids = xp.arange(rows).reshape(self.shape)[self.index].reshape(-1)
        return kernels.segment_sum(x.reshape(ids.size, width), ids, rows).reshape(self.shape)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return GetItem(self.index)(gy)


class Pad(Function):
    saves_inputs = saves_output = False

    def __init__(self, widths: tuple[tuple[int, int], ...], value: float):
        self.widths, self.value = widths, value

    def forward(self, x: Array) -> Array:
        return namespace(x).pad(x, self.widths, constant_values=self.value)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return gy[tuple(slice(a, n - b) for (a, b), n in zip(self.widths, gy.shape, strict=True))]


class Flip(Function):
    saves_inputs = saves_output = False

    def __init__(self, axes: tuple[int, ...]):
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return namespace(x).flip(x, self.axes)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return Flip(self.axes)(gy)


def normalized_axes(operator: str, axes: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Return ``axes`` as a sorted tuple of numbers from 0 to ndim - 1; None means all of them."""
    if axes is None:
        return tuple(range(ndim))
    given = (axes,) if isinstance(axes, (int, np.integer)) else tuple(axes)
    if any(not -ndim <= axis < ndim for axis in given):
        raise ValueError(f"{operator}: axis {axes} is outside the {ndim} axes of the Tensor")
    result = tuple(sorted(int(axis) % ndim for axis in given))
    if len(set(result)) != len(result):
        raise ValueError(f"{operator}: axis {axes} names one axis twice")
    return result


def reshape(x: Any, *shape: Any) -> Tensor:
    """The same elements, in C order, under another shape; one axis may be -1."""
    x = as_tensor(x)
    target = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    known = math.prod(n for n in target if n != -1)
    fits = x.size == known if -1 not in target else target.count(-1) == 1 and known and x.size % known == 0
    if not fits:
        raise ValueError(f"reshape: {x.shape} has {x.size} elements, which do not fit {target}")
    return Reshape(target)(x)


def flatten(x: Any, start: int = 0) -> Tensor:
    """Join all axes from ``start`` on into one."""
    x = as_tensor(x)
    return reshape(x, (*x.shape[:start], math.prod(x.shape[start:])))


def transpose(x: Any, *axes: Any) -> Tensor:
    """The axes in another order; without ``axes``, in reverse."""
    x = as_tensor(x)
    order = tuple(axes[0]) if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes
    order = order or tuple(reversed(range(x.ndim)))
    if sorted(axis % max(x.ndim, 1) for axis in order) != list(range(x.ndim)):
        raise ValueError(f"transpose: {order} is not an order of the {x.ndim} axes of {x.shape}")
    return Transpose(tuple(axis % x.ndim for axis in order))(x)


def broadcast_to(x: Any, shape: tuple[int, ...]) -> Tensor:
    """x repeated to ``shape`` by NumPy's rules, without a copy."""
    x = as_tensor(x)
    return x if x.shape == tuple(shape) else BroadcastTo(tuple(shape))(x)


def sum_to(x: Any, shape: tuple[int, ...]) -> Tensor:
    """x summed down to ``shape``, which could be broadcast to x's: the gradient of broadcasting."""
    return x if isinstance(x, Tensor) and x.data.shape == shape else SumTo(tuple(shape))(x)


def concatenate(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """The Tensors joined along an axis that they have; the other axes must agree."""
    tensors = [as_tensor(x) for x in xs]
    if not tensors:
        raise ValueError("concatenate: there is nothing to join")
    (axis,) = normalized_axes("concatenate", axis, tensors[0].ndim)
    first = tensors[0]
    for i, t in enumerate(tensors):
        if t.dtype != first.dtype:
            raise TypeError(f"concatenate: xs[{i}] is {t.dtype} but xs[0] is {first.dtype}; convert one with .astype")
        if (*t.shape[:axis], *t.shape[axis + 1 :]) != (*first.shape[:axis], *first.shape[axis + 1 :]):
            raise ValueError(
                f"concatenate: xs[{i}] is {t.shape} and xs[0] is {first.shape}; only axis {axis} may differ"
            )
    return Concatenate(axis)(*tensors)


def stack(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """The Tensors, all of one shape, joined along a new axis."""
    tensors = [as_tensor(x) for x in xs]
    if not tensors:
        raise ValueError("stack: there is nothing to join")
    shape = tensors[0].shape
    (axis,) = normalized_axes("stack", axis, len(shape) + 1)
    for i, t in enumerate(tensors):
        if t.shape != shape:
            raise ValueError(f"stack: xs[{i}] is {t.shape} and xs[0] is {shape}; all must have one shape")
    return concatenate([reshape(t, (*shape[:axis], 1, *shape[axis:])) for t in tensors], axis)


def getitem(x: Any, index: Any) -> Tensor:
    """x[index], for slices, integers, arrays of integers and masks; an element taken twice gets both gradients."""
    return GetItem(_plain(index))(x)


def _plain(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_plain(part) for part in index)
    return index.data if isinstance(index, Tensor) else index


def flip(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """x with the order along some axes (None: all) reversed."""
    x = as_tensor(x)
    return Flip(normalized_axes("flip", axis, x.ndim))(x)
