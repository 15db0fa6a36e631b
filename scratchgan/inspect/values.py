"""The arrays of a recording: what is kept of each, when it lived, and what is worked out from it.

The program's own arrays are never held, or their lifetimes would be the recorder's. Each is copied when it is first
seen, until ``keep`` bytes are copied; of one that does not fit only its facts and a sample are taken.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..device import Array, device_of, to_device
from ..guard import fingerprint

#: Elements of a histogram's sample, and its bins.
_SAMPLED, BINS = 16_384, 24


@dataclass(frozen=True)
class Facts:
    """Statistics of all elements of an array. Those of sizes are over the finite elements; None if there are none.

    ``norm``: Euclidean. ``zeros``: the share of elements that are exactly 0. ``counts``: a histogram with `BINS` equal
    bins from ``low`` to ``high`` of an even sample of at most 16,384 elements.
    """

    nan: int
    inf: int
    zeros: float
    low: float | None
    high: float | None
    mean: float | None
    std: float | None
    norm: float | None
    counts: list[int]


@dataclass
class Memory:
    """One piece of memory, which arrays may share: ``born`` at an event, ``died`` before one (None: never, in here)."""

    nbytes: int
    born: int
    died: int | None = None


@dataclass
class Value:
    """One array. ``array``: a copy of it in the host's memory, None if it was not kept. ``memory``: number of its
    Memory."""

    index: int
    shape: tuple[int, ...]
    dtype: str
    device: str
    memory: int
    array: np.ndarray | None
    facts: Facts
    sample: np.ndarray  # the box of the array's first elements along each axis
    picture: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def facts(array: np.ndarray) -> Facts:
    """Return the statistics of an array of any dtype; of complex numbers, of their magnitudes."""
    if array.dtype.kind == "c":
        array = np.abs(array)
    wide = array.reshape(-1)
    if wide.size == 0:
        return Facts(0, 0, 0.0, None, None, None, None, None, [])
    zeros = 1 - np.count_nonzero(wide) / wide.size
    nan = inf = 0
    if wide.dtype.kind == "f":
        with np.errstate(all="ignore"):
            total = float(np.dot(wide, wide))
        if not math.isfinite(total) or (total == 0 and zeros < 1):  # also an overflow, or an underflow, of the squares
            nan, inf = int(np.isnan(wide).sum()), int(np.isinf(wide).sum())
            wide = wide[np.isfinite(wide)].astype(np.float64)
            if wide.size == 0:
                return Facts(nan, inf, zeros, None, None, None, None, None, [])
    else:
        wide = wide.astype(np.float64)
    low, high, mean = float(wide.min()), float(wide.max()), float(wide.mean(dtype=np.float64))
    largest = max(abs(low), abs(high))
    scale = largest if largest > 0 else 1.0  # squares of very large and very small numbers leave the range
    scaled = wide if 1e-15 < scale < 1e15 else wide / scale
    factor = 1.0 if scaled is wide else scale
    norm = factor * math.sqrt(float(np.dot(scaled, scaled)))
    std = math.sqrt(max(norm * norm / wide.size - mean * mean, 0.0)) if norm < 1e150 else None
    step = -(-wide.size // _SAMPLED)
    part = wide[::step].astype(np.float64)
    # Where the values differ by less than the bins can tell apart, all are one.
    spread = high - low > BINS * np.spacing(max(abs(low), abs(high))) if low < high else False
    counts = np.histogram(part, BINS, (low, high))[0].tolist() if spread else [int(part.size)]
    return Facts(nan, inf, zeros, low, high, mean, std, norm, counts)


def box(shape: tuple[int, ...], most: int) -> tuple[int, ...]:
    """Return how many elements to take along each axis, the last ones first, to take at most ``most`` (at least 1)."""
    taken, left = [], max(most, 1)
    for n in reversed(shape):
        taken.append(min(n, max(left, 1)))
        left //= max(taken[-1], 1)
    return tuple(reversed(taken))


def sample(array: np.ndarray, most: int) -> np.ndarray:
    """Return a copy of the first elements of ``array`` along each axis, at most ``most`` together."""
    return np.array(array[tuple(slice(n) for n in box(array.shape, most))], order="C")


def picture(array: np.ndarray, most: int = 16, side: int = 32) -> np.ndarray | None:
    """Return tiles (K,h,w) or (K,h,w,3) of an array that is images, channels or a filter bank; None if it is neither.

    An array (N,C,H,W) of 1 or 3 channels and some size is images, of N; with kernels of up to 7 x 7 it is a filter
    bank, of N filters' first channels; anything else of four axes shows the channels of its first image. Each is
    thinned to at most ``side`` pixels.
    """
    if array.ndim != 4 or 0 in array.shape or array.dtype.kind != "f" or array.shape[2] * array.shape[3] < 4:
        return None
    _, channels, height, width = array.shape
    if channels == 3 and min(height, width) > 7:
        tiles = array[:most].transpose(0, 2, 3, 1)
    elif channels == 1 or max(height, width) <= 7:
        tiles = array[:most, 0]
    else:
        tiles = array[0, :most]
    step = -(-max(height, width) // side)
    return np.array(tiles[:, ::step, ::step])


class Store:
    """Every array that a recording has seen, by number.

    ``keep``: bytes of copies at most. ``elements``: how many numbers are sampled of an array that is not kept whole.
    ``now``: returns the number of the next event. ``maker_of``: which Application made an array that is still alive.
    """

    def __init__(self, keep: int, elements: int, now: Callable[[], int]):
        self.keep, self.elements, self._now = keep, elements, now
        self.values: list[Value] = []
        self.memories: list[Memory] = []
        self.kept = 0
        self.maker_of: dict[int, tuple[int, int]] = {}
        self._numbers: dict[int, tuple[Any, int, Any]] = {}  # id -> (weak reference, number, fingerprint)
        self._owners: dict[int, tuple[Any, int]] = {}

    def number(self, array: Array) -> int:
        """Return the number of ``array``; it gets one if it was not seen, or was written to since."""
        mark = fingerprint(array)
        known = self._numbers.get(id(array))
        if known is not None and known[0]() is array and known[2] == mark:
            return known[1]
        index = len(self.values)
        host = to_device(array, "cpu")
        kept = None
        if self.kept + host.nbytes <= self.keep:
            kept = np.array(host, order="C")
            kept.setflags(write=False)
            self.kept += host.nbytes
        self.values.append(
            Value(index, tuple(array.shape), str(array.dtype), device_of(array), self._memory(array), kept,
                  facts(host), sample(host, self.elements), picture(host))
        )  # fmt: skip
        key = id(array)
        self._numbers[key] = (_weakly(array, lambda: self._forget(key, index)), index, mark)
        return index

    def made(self, array: Array, application: int, output: int) -> int:
        """Return the number of an array that an Application has just made."""
        index = self.number(array)
        self.maker_of[id(array)] = application, output
        return index

    def maker(self, array: Array) -> tuple[int, int] | None:
        """Return which Application made ``array``, and which of its outputs it is; None if none did."""
        known = self._numbers.get(id(array))
        return self.maker_of.get(id(array)) if known is not None and known[0]() is array else None

    def _forget(self, key: int, index: int) -> None:
        known = self._numbers.get(key)
        if known is not None and known[1] == index:
            del self._numbers[key]
            self.maker_of.pop(key, None)

    def _memory(self, array: Array) -> int:
        owner = array
        while isinstance(owner.base, type(owner)):
            owner = owner.base
        key = id(owner)
        known = self._owners.get(key)
        if known is not None and known[0]() is owner:
            return known[1]
        index = len(self.memories)
        self.memories.append(Memory(int(owner.nbytes), self._now()))
        self._owners[key] = (_weakly(owner, lambda: self._died(key, index)), index)
        return index

    def _died(self, key: int, index: int) -> None:
        self.memories[index].died = self._now()
        known = self._owners.get(key)
        if known is not None and known[1] == index:
            del self._owners[key]

    def close(self) -> None:
        """Stop watching: whatever is alive now outlived the recording."""
        self._numbers.clear()
        self._owners.clear()
        self.maker_of.clear()


def _weakly(array: Array, end: Callable[[], None]) -> Callable[[], Any]:
    """Return a weak reference that calls ``end``; where an array has none, one that has always lost it."""
    try:
        return weakref.ref(array, lambda _: end())
    except TypeError:
        return lambda: None
