"""Picking and placing by number, and order: which element is largest, and where each one goes when they are sorted.

An index is an integer array or Tensor and a constant. What picks values passes their gradients back to where they came
from; what gives numbers of elements (`argmax`, `one_hot`) has no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device import Array, namespace
from ..guard import kept
from ..tensor import Tensor
from .arguments import AXIS, FLAG, INDEX, TENSOR, Rule, check_alike, integer, operator, optional
from .convert import DTYPE
from .shape import GetItem, PutItem, one_axis


@operator(x=TENSOR, axis=AXIS, index=INDEX)
def gather(x: Any, axis: int, index: Any) -> Tensor:
    """Along ``axis``, the elements that ``index`` names: y[i][j][k] = x[index[i][j][k]][j][k] for axis 0.

    The index has x's number of axes and is no longer than x along the others. An element taken twice gets both
    gradients.
    """
    return GetItem(_places("gather", x, axis, index))(x)


@operator(x=TENSOR, axis=AXIS, index=INDEX, source=TENSOR)
def scatter_add(x: Any, axis: int, index: Any, source: Any) -> Tensor:
    """x with each element of ``source`` added where ``index`` says: the transpose of `gather`.

    source has the index's shape; what falls on one place adds up.
    """
    check_alike("scatter_add", x=x, source=source)
    places = _places("scatter_add", x, axis, index)
    shape = np.broadcast_shapes(*[place.shape for place in places])
    if source.shape != shape:
        raise ValueError(f"scatter_add: source must be {shape}, as the index is, got {source.shape}")
    return x + PutItem(kept(places), x.shape)(source)


def _places(operator: str, x: Tensor, axis: int, index: Any) -> tuple[Array, ...]:
    """Return the index of every axis for ``index`` along one of them."""
    axis = one_axis(operator, axis, x)
    index = x.namespace.asarray(index)
    fits = index.ndim == x.ndim and all(a <= b for i, (a, b) in enumerate(zip(index.shape, x.shape)) if i != axis)  # noqa: B905
    if not fits:
        raise ValueError(
            f"{operator}: index is {index.shape} and x {x.shape}; it must have as many axes, and be no longer than x "
            f"but along axis {axis}"
        )
    xp, places = x.namespace, []
    for i, n in enumerate(index.shape):
        places.append(index if i == axis else xp.arange(n).reshape((-1,) + (1,) * (index.ndim - i - 1)))
    if xp is np and index.size and not -x.shape[axis] <= index.min() <= index.max() < x.shape[axis]:
        raise ValueError(
            f"{operator}: the index runs from {index.min()} to {index.max()}, but axis {axis} of x {x.shape} has "
            f"{x.shape[axis]} elements"
        )
    return tuple(places)


@operator(index=INDEX, classes=integer(0), dtype=DTYPE)
def one_hot(index: Any, classes: int, dtype: Any = np.float32) -> Tensor:
    """Rows of zeros with a one at each index: (...) integers from 0 to classes - 1 -> (...,classes). No gradient."""
    xp = namespace(index)
    if xp is np and index.size and not 0 <= index.min() <= index.max() < classes:
        raise ValueError(
            f"one_hot: the index runs from {index.min()} to {index.max()}, but there are {classes} classes"
        )
    return Tensor((index[..., None] == xp.arange(classes)).astype(dtype))


@operator(x=TENSOR, axis=optional(AXIS), keepdims=FLAG)
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where along ``axis`` the largest element is, the first of equals; None counts through all. No gradient."""
    return _arg("argmax", x, axis, keepdims)


@operator(x=TENSOR, axis=optional(AXIS), keepdims=FLAG)
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where along ``axis`` the smallest element is, the first of equals; None counts through all. No gradient."""
    return _arg("argmin", x, axis, keepdims)


def _arg(operator: str, x: Any, axis: int | None, keepdims: bool) -> Tensor:
    if axis is not None:
        axis = one_axis(operator, axis, x)
    if x.size == 0:
        raise ValueError(f"{operator}: there is nothing to compare in {x.shape}")
    found = getattr(x.namespace, operator)(x.data, axis=axis)
    if keepdims:
        shape = (1,) * x.ndim if axis is None else (*x.shape[:axis], 1, *x.shape[axis + 1 :])
        found = x.namespace.asarray(found).reshape(shape)
    return Tensor(found)


@operator(x=TENSOR, axis=AXIS, descending=FLAG)
def sort(x: Any, axis: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    """(values, index): the elements along ``axis`` in order, and where each was; equals keep theirs, NaN is largest.

    The gradient of a value goes to the element that it was. The index has none.
    """
    axis = one_axis("sort", axis, x)
    xp = x.namespace
    if descending:  # in reverse twice, so that equals keep their order
        order = x.shape[axis] - 1 - xp.flip(xp.argsort(xp.flip(x.data, axis), axis=axis, kind="stable"), axis)
    else:
        order = xp.argsort(x.data, axis=axis, kind="stable")
    return GetItem(_places("sort", x, axis, order))(x), Tensor(order)


@operator(x=TENSOR, k=integer(0), axis=AXIS, largest=FLAG)
def topk(x: Any, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """(values, index) of the k largest elements along ``axis``, the largest first; or of the smallest ones."""
    axis = one_axis("topk", axis, x)
    if k > x.shape[axis]:
        raise ValueError(f"topk: k must be 0 to {x.shape[axis]} for axis {axis} of x {x.shape}, got {k}")
    first = (*[slice(None)] * axis, slice(k))
    values, order = sort(x, axis, descending=largest)
    return values[first], Tensor(order.data[first])


def _parts(operator: str, argument: str, value: Any) -> int | tuple[int, ...]:
    if isinstance(value, (list, tuple)):
        return tuple([_LENGTH.check(operator, argument, n) for n in value])
    result: int = _COUNT.check(operator, argument, value)
    return result


_COUNT, _LENGTH = integer(1), integer(0)
_PARTS = Rule("an int of at least 1, or a list of lengths", _parts, ("a", None, 1.5, True, 0, [1.5], [-1], ["a"]))


@operator(x=TENSOR, size=_PARTS, axis=AXIS)
def split(x: Any, size: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Parts of ``size`` elements along ``axis``, the last perhaps smaller; or of the sizes that are listed."""
    axis = one_axis("split", axis, x)
    n = x.shape[axis]
    if isinstance(size, int):
        sizes = [min(size, n - at) for at in range(0, n, size)] or [0]
    else:
        sizes = list(size)
        if sum(sizes) != n:
            raise ValueError(f"split: the sizes {sizes} must add up to {n}, the length of axis {axis} of {x.shape}")
    ends = np.cumsum(sizes)
    before = (slice(None),) * axis
    return tuple(x[(*before, slice(int(e) - s, int(e)))] for s, e in zip(sizes, ends, strict=True))


@operator(x=TENSOR, chunks=integer(1), axis=AXIS)
def chunk(x: Any, chunks: int, axis: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` parts of one size along ``axis``, but for the last, which may be smaller."""
    axis = one_axis("chunk", axis, x)
    return split(x, max(1, -(-x.shape[axis] // chunks)), axis)
