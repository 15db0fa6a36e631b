"""Picking and placing by number, and order: which element is largest, and where each one goes when they are sorted.

An index is an integer array or Tensor and a constant. What picks values passes their gradients back to where they came
from; what gives numbers of elements (`argmax`, `one_hot`) has no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device import Array
from ..tensor import Tensor, as_tensor
from .shape import PutItem, getitem, normalized_axes


def gather(x: Any, axis: int, index: Any) -> Tensor:
    """Along ``axis``, the elements that ``index`` names: y[i][j][k] = x[index[i][j][k]][j][k] for axis 0.

    The index has x's number of axes and is no longer than x along the others. An element taken twice gets both
    gradients.
    """
    x = as_tensor(x)
    return getitem(x, _places("gather", x, axis, index))


def scatter_add(x: Any, axis: int, index: Any, source: Any) -> Tensor:
    """x with each element of ``source`` added where ``index`` says: the transpose of `gather`.

    source has the index's shape; what falls on one place adds up.
    """
    x, source = as_tensor(x), as_tensor(source)
    places = _places("scatter_add", x, axis, index)
    shape = np.broadcast_shapes(*[place.shape for place in places])
    if source.shape != shape or source.dtype != x.dtype:
        raise ValueError(
            f"scatter_add: source must be {x.dtype} {shape}, as the index is, got {source.dtype} {source.shape}"
        )
    return x + PutItem(places, x.shape)(source)


def _places(operator: str, x: Tensor, axis: int, index: Any) -> tuple[Array, ...]:
    """Return the index of every axis for ``index`` along one of them."""
    (axis,) = normalized_axes(operator, axis, x.ndim)
    index = _integers(operator, index, x)
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


def _integers(operator: str, index: Any, like: Tensor) -> Array:
    index = index.data if isinstance(index, Tensor) else like.namespace.asarray(index)
    if index.dtype.kind not in "iu":
        raise TypeError(f"{operator}: the index must be integers, got {index.dtype}")
    return index


def one_hot(index: Any, classes: int, dtype: Any = np.float32) -> Tensor:
    """Rows of zeros with a one at each index: (...) integers from 0 to classes - 1 -> (...,classes). No gradient."""
    index = as_tensor(index)
    xp = index.namespace
    if index.dtype.kind not in "iu":
        raise TypeError(f"one_hot: the index must be integers, got {index.dtype}")
    if xp is np and index.size and not 0 <= index.data.min() <= index.data.max() < classes:
        raise ValueError(
            f"one_hot: the index runs from {index.data.min()} to {index.data.max()}, but there are {classes} classes"
        )
    return Tensor((index.data[..., None] == xp.arange(classes)).astype(dtype))


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where along ``axis`` the largest element is, the first of equals; None counts through all. No gradient."""
    return _arg("argmax", x, axis, keepdims)


def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where along ``axis`` the smallest element is, the first of equals; None counts through all. No gradient."""
    return _arg("argmin", x, axis, keepdims)


def _arg(operator: str, x: Any, axis: int | None, keepdims: bool) -> Tensor:
    x = as_tensor(x)
    if axis is not None:
        (axis,) = normalized_axes(operator, axis, x.ndim)
    if x.size == 0:
        raise ValueError(f"{operator}: there is nothing to compare in {x.shape}")
    found = getattr(x.namespace, operator)(x.data, axis=axis)
    if keepdims:
        shape = (1,) * x.ndim if axis is None else (*x.shape[:axis], 1, *x.shape[axis + 1 :])
        found = x.namespace.asarray(found).reshape(shape)
    return Tensor(found)


def sort(x: Any, axis: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    """(values, index): the elements along ``axis`` in order, and where each was; equals keep theirs, NaN is largest.

    The gradient of a value goes to the element that it was. The index has none.
    """
    x = as_tensor(x)
    (axis,) = normalized_axes("sort", axis, x.ndim)
    xp = x.namespace
    if descending:  # in reverse twice, so that equals keep their order
        order = x.shape[axis] - 1 - xp.flip(xp.argsort(xp.flip(x.data, axis), axis=axis, kind="stable"), axis)
    else:
        order = xp.argsort(x.data, axis=axis, kind="stable")
    return gather(x, axis, order), Tensor(order)


def topk(x: Any, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """(values, index) of the k largest elements along ``axis``, the largest first; or of the smallest ones."""
    x = as_tensor(x)
    (axis,) = normalized_axes("topk", axis, x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"topk: k must be 0 to {x.shape[axis]} for axis {axis} of x {x.shape}, got {k}")
    first = (*[slice(None)] * axis, slice(k))
    values, order = sort(x, axis, descending=largest)
    return values[first], Tensor(order.data[first])


def split(x: Any, size: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Parts of ``size`` elements along ``axis``, the last perhaps smaller; or of the sizes that are listed."""
    x = as_tensor(x)
    (axis,) = normalized_axes("split", axis, x.ndim)
    n = x.shape[axis]
    if isinstance(size, (int, np.integer)):
        if size < 1:
            raise ValueError(f"split: size must be at least 1, got {size}")
        sizes = [min(size, n - at) for at in range(0, n, size)] or [0]
    else:
        sizes = list(size)
        if sum(sizes) != n or min(sizes, default=0) < 0:
            raise ValueError(f"split: the sizes {sizes} must add up to {n}, the length of axis {axis} of {x.shape}")
    ends = np.cumsum(sizes)
    before = (slice(None),) * axis
    return tuple(x[(*before, slice(int(e) - s, int(e)))] for s, e in zip(sizes, ends, strict=True))


def chunk(x: Any, chunks: int, axis: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` parts of one size along ``axis``, but for the last, which may be smaller."""
    x = as_tensor(x)
    (axis,) = normalized_axes("chunk", axis, x.ndim)
    if chunks < 1:
        raise ValueError(f"chunk: chunks must be at least 1, got {chunks}")
    return split(x, max(1, -(-x.shape[axis] // chunks)), axis)
