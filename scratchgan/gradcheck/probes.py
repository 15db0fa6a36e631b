"""The values a check is run on: probe vectors, small integers, values that avoid kinks, memory layouts.

Probes are +-U[0.5, 1.5]: bounded away from zero, so no entry of the Jacobian goes unseen, and all different, so
two exchanged rows are seen too (Rademacher probes miss three exchanges in four).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from .calls import Array


def stream(seed: int, *labels: str) -> np.random.Generator:
    """A generator for one purpose: layers draw independently, so any of them can be repeated alone."""
    return np.random.default_rng([seed & 0xFFFFFFFF, *(zlib.crc32(label.encode()) for label in labels)])


def probe(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float64) -> Array:
    """+-U[0.5, 1.5], full mantissa."""
    signs = rng.integers(0, 2, shape) * 2 - 1
    return np.asarray(signs * rng.uniform(0.5, 1.5, shape), dtype=dtype)


#: Ranges |integer| is drawn from, widest first; the narrow ones leave room for longer sums in a short mantissa.
INTEGER_RANGES = ((8, 24), (1, 3), (1, 1))


def integers(rng: np.random.Generator, shape: tuple[int, ...], span: tuple[int, int], dtype: Any) -> Array:
    """Non-zero integers of random sign, stored in the floating dtype."""
    signs = rng.integers(0, 2, shape) * 2 - 1
    return np.asarray(signs * rng.integers(span[0], span[1] + 1, shape), dtype=dtype)


def distinct(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float64) -> Array:
    """A permutation of distinct odd multiples of 2^-4, of both signs, the middle of the range at zero.

    No two are equal and none is zero or within 2^-4 of it, so neither a ReLU nor a maximum is near its kink. All
    are exact in float32 up to four million elements.
    """
    size = int(np.prod(shape, dtype=np.int64))
    odd = (2 * np.arange(size) + 1 - 2 * (size // 2)) * 2.0**-4
    return rng.permutation(odd).reshape(shape).astype(dtype)


def nudge(rng: np.random.Generator, array: Any, eps: float) -> Any:
    """The array with every element moved by one rounding: what that does to a result is its conditioning."""
    if isinstance(array, np.ndarray) and array.dtype.kind == "f":
        moved = array * (1 + eps * (rng.integers(0, 2, array.shape) * 2 - 1)).astype(array.dtype)
        return like(array, moved)
    return array


def like(model: Array, values: Array) -> Array:
    """A copy of the values whose axes lie in memory in the model's order, where an operator may take another path.

    (NumPy's own arithmetic on an array in one order and one in another gives the order of its choice.)
    """
    if model.flags.c_contiguous:
        return np.array(values, order="C")
    copy = np.empty_like(model, dtype=np.asarray(values).dtype, subok=False)
    copy[...] = values
    return copy


def layouts(array: Array) -> list[tuple[str, Array]]:
    """The same values behind other strides. Gaps in the memory hold NaN, so that reading one is seen."""
    out: list[tuple[str, Array]] = []
    frozen = array.copy()
    frozen.flags.writeable = False
    out.append(("read-only", frozen))
    if array.ndim == 0 or array.size < 2:
        return out
    ends = {0, array.ndim - 1}  # gaps along the outermost and the innermost axis, which costs four times the memory
    shape = [n * (2 if axis in ends else 1) for axis, n in enumerate(array.shape)]
    spaced = np.full(shape, _gap(array.dtype), array.dtype)
    every_other = spaced[tuple(slice(None, None, 2 if axis in ends else 1) for axis in range(array.ndim))]
    every_other[...] = array
    out.append(("strided", every_other))
    backwards = tuple(slice(None, None, -1) for _ in array.shape)
    out.append(("negative-stride", array[backwards].copy()[backwards]))
    if array.ndim > 1:
        out.append(("Fortran-ordered", np.asfortranarray(array)))
    return out


def orders(ndim: int) -> list[tuple[int, ...]]:
    """Orders in which the axes of an array can lie in memory, outermost first: all of them up to three axes; beyond,
    those that move one axis to another place (channels-last is one), (ndim - 1)^2 of them. C order is left out."""
    plain = tuple(range(ndim))
    if ndim <= 3:
        return [order for order in itertools.permutations(plain) if order != plain]
    moved = {
        (*axes[:to], axis, *axes[to:]) for axis in plain for axes in [[a for a in plain if a != axis]] for to in plain
    }
    return sorted(moved - {plain})


def in_order(array: Array, order: tuple[int, ...]) -> Array:
    """A copy of the array whose axes lie in memory in that order, without gaps."""
    back = tuple(int(k) for k in np.argsort(order))
    return np.ascontiguousarray(array.transpose(order)).transpose(back)


def channels_last(array: Array) -> Array:
    """A copy with the second axis innermost; of a matrix, in Fortran order."""
    if array.ndim < 2:
        return array.copy()
    return in_order(array, (0, *range(2, array.ndim), 1) if array.ndim > 2 else (1, 0))


def overlaps_itself(array: Array) -> bool:
    """Whether two elements of an array lie in the same place, as they do after a broadcast."""
    axes = [(abs(stride), n) for stride, n in zip(array.strides, array.shape, strict=True) if n > 1]
    if not array.size or not axes:
        return False
    extent = array.itemsize
    for stride, n in sorted(axes):
        if stride < extent:
            break
        extent += stride * (n - 1)
    else:
        return False
    if any(stride == 0 for stride, _ in axes) or array.size > 2**16:
        return True
    places = np.zeros(array.shape, np.int64)
    for axis, (stride, n) in enumerate(zip(array.strides, array.shape, strict=True)):
        places += (stride * np.arange(n)).reshape([-1 if k == axis else 1 for k in range(array.ndim)])
    places = np.sort(places, axis=None)
    return bool(np.any(np.diff(places) < array.itemsize))


def sparse_rows(values: Array) -> Array:
    """The values with zeros at the ends of rows, the first of one row and the last of the next, and so on.

    Code that takes a row to be zero because its first (or last) element is, loses the others. The last row of several
    ends in zero whatever its number is; a single row has a zero at each end, if it has three elements.
    """
    out = values.copy()
    if out.ndim == 0 or out.size < 2:
        return out
    rows = out.reshape(-1, out.shape[-1])
    if rows.shape[1] == 1:
        rows = rows.reshape(1, -1)
    if len(rows) > 1:
        rows[::2, 0] = 0
        rows[1::2, -1] = 0
        if rows.shape[1] > 2 or len(rows) % 2 == 0:
            rows[-1, -1] = 0
    elif rows.shape[1] > 2:
        rows[0, 0] = rows[0, -1] = 0
    return out


def _gap(dtype: np.dtype[Any]) -> Any:
    """What lies between elements, to be seen if it is read."""
    return np.nan if dtype.kind in "fc" else 1


def awkward(array: Array) -> Array:
    """The same values behind the worst strides at once: axes in reverse order, the first one backwards, with gaps
    of NaN along the first and the last."""
    if np.ndim(array) == 0:
        return np.array(array)
    shape, steps = [*array.shape], [slice(None)] * array.ndim
    shape[-1], steps[-1] = 2 * shape[-1], slice(None, None, 2)
    if array.ndim > 1:
        shape[0] *= 2
    steps[0] = slice(-2, None, -2)
    spaced = np.empty(shape[::-1], array.dtype)
    spaced.fill(_gap(array.dtype))
    view = spaced.T[tuple(steps)]
    view[...] = array
    return view


def frozen_fortran(array: Array) -> Array:
    """A read-only copy, axes in reverse order."""
    copy = array.copy(order="F")
    copy.flags.writeable = False
    return copy


def unaligned(array: Array) -> Array:
    """The same values one element past the start of a block, which vector instructions may not expect, and with the
    axes in reverse order."""
    block = np.empty(array.size + 1, array.dtype)
    view = block[1:].reshape(array.shape, order="F")
    view[...] = array
    return view


class _Poison:
    """Stands in for `numpy.empty` and `numpy.empty_like` while a poisoned block lasts, and is the original elsewhere.

    Code that takes hold of a stand-in and keeps it (a module imported within the block) has a working function. While
    Numba compiles, which asks NumPy's functions who they are, the originals are back.
    """

    def __init__(self) -> None:
        self.originals = {name: getattr(np, name) for name in ("empty", "empty_like")}
        self.stand_ins = {name: self._filling(original) for name, original in self.originals.items()}
        self.depth, self.compiling = 0, 0

    def _filling(self, original: Any) -> Any:
        @functools.wraps(original)
        def filled(*args: Any, **kwargs: Any) -> Any:
            array = original(*args, **kwargs)
            if self.depth and isinstance(array, np.ndarray) and array.dtype.kind in "fc":
                array.fill(np.nan)
            return array

        return filled

    def set(self) -> None:
        vars(np).update(self.stand_ins if self.depth and not self.compiling else self.originals)

    def compilation(self, began: bool) -> None:
        self.compiling += 1 if began else -1
        if self.depth:
            self.set()


_poison = _Poison()


@contextlib.contextmanager
def poisoned_allocations(shapes: list[tuple[tuple[int, ...], Any]]) -> Iterator[None]:
    """Makes uninitialised memory visible: inside the block `numpy.empty` and `numpy.empty_like` return NaN.

    Compiled code does not call them, so blocks of the sizes it is about to ask for are also filled with NaN and
    handed back to the allocator, which tends to give the same blocks out again.
    """
    blocks = [np.full(shape, np.nan, dtype) for shape, dtype in shapes for _ in range(3)]
    del blocks
    event = sys.modules.get("numba.core.event")
    if event is not None:
        _listen(event)
    _poison.depth += 1
    _poison.set()
    try:
        yield
    finally:
        _poison.depth -= 1
        _poison.set()


#: Numba announces both; a ufunc's compilation has passes only.
_COMPILATION = ("numba:compile", "numba:run_pass")


@functools.cache
def _listen(event: Any) -> None:
    """Hears of every compilation from now on; outside of a poisoned block that changes nothing."""

    class Listener(event.Listener):
        def on_start(self, event: Any) -> None:
            _poison.compilation(True)

        def on_end(self, event: Any) -> None:
            _poison.compilation(False)

    listener = Listener()
    for kind in _COMPILATION:
        event.register(kind, listener)
