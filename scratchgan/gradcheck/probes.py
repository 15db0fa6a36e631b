"""The values a check is run on: probe vectors, small integers, values that avoid kinks, memory layouts.

Probes are +-U[0.5, 1.5]: bounded away from zero, so no entry of the Jacobian goes unseen, and all different, so
two exchanged rows are seen too (Rademacher probes miss three exchanges in four).
"""

from __future__ import annotations

import contextlib
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
        return array * (1 + eps * (rng.integers(0, 2, array.shape) * 2 - 1)).astype(array.dtype)
    return array


def layouts(array: Array) -> list[tuple[str, Array]]:
    """The same values behind other strides. Gaps in the memory hold NaN, so that reading one is seen."""
    out: list[tuple[str, Array]] = []
    frozen = array.copy()
    frozen.flags.writeable = False
    out.append(("read-only", frozen))
    if array.ndim == 0 or array.size < 2:
        return out
    ends = {0, array.ndim - 1}  # gaps along the outermost and the innermost axis, which costs four times the memory
    spaced = np.full([n * (2 if axis in ends else 1) for axis, n in enumerate(array.shape)], np.nan, array.dtype)
    every_other = spaced[tuple(slice(None, None, 2 if axis in ends else 1) for axis in range(array.ndim))]
    every_other[...] = array
    out.append(("strided", every_other))
    backwards = tuple(slice(None, None, -1) for _ in array.shape)
    out.append(("negative-stride", array[backwards].copy()[backwards]))
    if array.ndim > 1:
        out.append(("Fortran-ordered", np.asfortranarray(array)))
    return out


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
    spaced.fill(np.nan)
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


@contextlib.contextmanager
def poisoned_allocations(shapes: list[tuple[tuple[int, ...], Any]]) -> Iterator[None]:
    """Makes uninitialised memory visible: inside the block `numpy.empty` and `numpy.empty_like` return NaN.

    Compiled code does not call them, so blocks of the sizes it is about to ask for are also filled with NaN and
    handed back to the allocator, which tends to give the same blocks out again.
    """
    blocks = [np.full(shape, np.nan, dtype) for shape, dtype in shapes for _ in range(3)]
    del blocks
    empty, empty_like = np.empty, np.empty_like

    def poison(array: Array) -> Array:
        if isinstance(array, np.ndarray) and array.dtype.kind in "fc":
            array.fill(np.nan)
        return array

    vars(np)["empty"] = lambda *a, **k: poison(empty(*a, **k))
    vars(np)["empty_like"] = lambda *a, **k: poison(empty_like(*a, **k))
    try:
        yield
    finally:
        vars(np).update(empty=empty, empty_like=empty_like)
