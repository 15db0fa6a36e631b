"""Operators that move elements about: each one's gradient moves them back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Function
from ..device import Array, DeviceError, namespace
from ..guard import kept
from ..tensor import Tensor
from .arguments import ANYTHING, AXES, AXIS, RULES, SHAPE, TENSOR, TENSORS, operator


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
        self.index = kept(index)

    def forward(self, x: Array) -> Array:
        self.source = x.shape
        return x[self.index]

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return PutItem(self.index, self.source)(gy)  # the index is this one's own: it needs no other copy


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
        function = GetItem(())
        function.index = self.index
        return function(gy)


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
    """Return ``axes`` as a sorted tuple of numbers from 0 to ndim - 1; None means all of them.

    What has no axes counts as one element along an axis, as in PyTorch: 0 and -1 reduce it over nothing.
    """
    if axes is None:
        return tuple(range(ndim))
    given = (axes,) if isinstance(axes, (int, np.integer)) else axes
    room = ndim or 1
    for axis in given:
        if not -room <= axis < room:
            raise ValueError(f"{operator}: axis {axes} is outside the {ndim} axes of the Tensor")
    result = [axis % room for axis in given]
    if len(result) > 1:
        result.sort()
        if len(set(result)) != len(result):
            raise ValueError(f"{operator}: axis {axes} names one axis twice")
    return tuple(result) if ndim else ()


def one_axis(operator: str, axis: int, x: Tensor, name: str = "x") -> int:
    """Return ``axis`` of a Tensor as a number from 0 to ndim - 1; ValueError if it has no axes."""
    axes = normalized_axes(operator, axis, x.ndim)
    if not axes:
        raise ValueError(f"{operator}: {name} has no axes; make it one of shape (1,) with reshape")
    return axes[0]


def _flat(shape: tuple[Any, ...]) -> Any:
    """Return the sizes or axes that were given one by one, or as one tuple or list."""
    return shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape


def reshape(x: Any, *shape: Any) -> Tensor:
    """The same elements, in C order, under another shape; one axis may be -1."""
    if not isinstance(x, Tensor):
        x = TENSOR.check("reshape", "x", x)
    target = SHAPE.check("reshape", "shape", _flat(shape))
    known = math.prod([n for n in target if n != -1])
    fits = x.size == known if -1 not in target else target.count(-1) == 1 and known and x.size % known == 0
    if not fits:
        raise ValueError(f"reshape: {x.shape} has {x.size} elements, which do not fit {target}")
    return Reshape(target)(x)


RULES["reshape"] = {"x": TENSOR, "shape": SHAPE}


@operator(x=TENSOR, start=AXIS, end=AXIS)
def flatten(x: Any, start: int = 0, end: int = -1) -> Tensor:
    """Join the axes from ``start`` to ``end``, which is one of them, into one."""
    room = x.ndim or 1
    for name, axis in (("start", start), ("end", end)):
        if not -room <= axis < room:
            raise ValueError(f"flatten: {name}={axis} is outside the {x.ndim} axes of {x.shape}")
    first, last = start % room, end % room
    if first > last:
        raise ValueError(f"flatten: start={start} comes after end={end} in {x.shape}")
    joined = math.prod(x.shape[first : last + 1])
    return reshape(x, (*x.shape[:first], joined, *x.shape[last + 1 :]))


def transpose(x: Any, *axes: Any) -> Tensor:
    """The axes in another order; without ``axes``, in reverse."""
    if not isinstance(x, Tensor):
        x = TENSOR.check("transpose", "x", x)
    ndim = x.data.ndim
    if not axes:
        return Transpose(tuple(range(ndim - 1, -1, -1)))(x)
    order = tuple([AXIS.check("transpose", "axes", axis) for axis in _flat(axes)])
    inside = all([-ndim <= axis < ndim for axis in order])
    positive = tuple([axis % ndim for axis in order]) if inside and ndim else order
    if not inside or sorted(positive) != list(range(ndim)):
        raise ValueError(f"transpose: {order} is not an order of the {ndim} axes of {x.shape}")
    return Transpose(positive)(x)


RULES["transpose"] = {"x": TENSOR, "axes": AXES}


@operator(x=TENSOR, shape=SHAPE)
def broadcast_to(x: Any, shape: tuple[int, ...]) -> Tensor:
    """x repeated to ``shape`` by NumPy's rules, without a copy; -1 keeps an axis as it is."""
    if -1 in shape:
        lead = len(shape) - x.ndim
        if -1 in shape[: max(lead, 0)]:
            raise ValueError(f"broadcast_to: -1 keeps an axis, and {x.shape} has none where {shape} has it")
        shape = tuple([x.shape[i - lead] if n == -1 else n for i, n in enumerate(shape)])
    if x.shape == shape:
        return x
    _check_broadcast("broadcast_to", x.shape, shape, x.shape, shape)
    return BroadcastTo(shape)(x)


def _check_broadcast(operator: str, small: tuple[int, ...], large: tuple[int, ...], x: Any, shape: Any) -> None:
    lead = len(large) - len(small)
    if lead < 0 or any([n not in (1, m) for n, m in zip(small, large[lead:], strict=True)]):
        raise ValueError(f"{operator}: x is {x}, and {small} cannot be broadcast to {large} (shape is {shape})")


def sum_to(x: Any, shape: tuple[int, ...]) -> Tensor:
    """x summed down to ``shape``, which could be broadcast to x's: the gradient of broadcasting."""
    if isinstance(x, Tensor) and x.data.shape == shape:
        return x
    x, shape = TENSOR.check("sum_to", "x", x), SHAPE.check("sum_to", "shape", shape)
    _check_broadcast("sum_to", shape, x.shape, x.shape, shape)
    return SumTo(shape)(x)


RULES["sum_to"] = {"x": TENSOR, "shape": SHAPE}


@operator(xs=TENSORS, axis=AXIS)
def concatenate(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """The Tensors joined along an axis that they have; the other axes must agree."""
    if not xs:
        raise ValueError("concatenate: there is nothing to join")
    axis = one_axis("concatenate", axis, xs[0], "xs[0]")
    first = xs[0]
    for i, t in enumerate(xs):
        if t.dtype != first.dtype:
            raise TypeError(f"concatenate: xs[{i}] is {t.dtype} but xs[0] is {first.dtype}; convert one with .astype")
        if type(t.data) is not type(first.data):
            raise DeviceError(f"concatenate: xs[{i}] is on {t.device} and xs[0] on {first.device}; move one with .to")
        if (*t.shape[:axis], *t.shape[axis + 1 :]) != (*first.shape[:axis], *first.shape[axis + 1 :]):
            raise ValueError(
                f"concatenate: xs[{i}] is {t.shape} and xs[0] is {first.shape}; only axis {axis} may differ"
            )
    return Concatenate(axis)(*xs)


@operator(xs=TENSORS, axis=AXIS)
def stack(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """The Tensors, all of one shape, joined along a new axis."""
    if not xs:
        raise ValueError("stack: there is nothing to join")
    shape = xs[0].shape
    (axis,) = normalized_axes("stack", axis, len(shape) + 1)
    for i, t in enumerate(xs):
        if t.shape != shape:
            raise ValueError(f"stack: xs[{i}] is {t.shape} and xs[0] is {shape}; all must have one shape")
    return concatenate([reshape(t, (*shape[:axis], 1, *shape[axis:])) for t in xs], axis)


def getitem(x: Any, index: Any) -> Tensor:
    """x[index], for slices, integers, arrays of integers and masks; an element taken twice gets both gradients."""
    if not isinstance(x, Tensor):
        x = TENSOR.check("getitem", "x", x)
    try:
        return GetItem(index)(x)
    except (IndexError, TypeError, ValueError) as error:
        text = str(error).replace("shape mismatch: ", "").replace("arrays used as indices", "index arrays")
        kind = IndexError if isinstance(error, IndexError) else type(error)
        raise kind(f"getitem: {index!r:.80} is no index of a Tensor {x.shape}: {text}") from None


RULES["getitem"] = {"x": TENSOR, "index": ANYTHING}


@operator(x=TENSOR, axis=AXES)
def flip(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """x with the order along some axes (None: all) reversed."""
    return Flip(normalized_axes("flip", axis, x.ndim))(x)
