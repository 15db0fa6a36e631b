"""Finds which elements of a gradient are wrong, once a directional comparison has said that some are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .calls import Array
from .report import Mismatch, compare


def locate(
    directional: Callable[[Array], float],
    gradient: Array,
    unit: Array,
    *,
    tolerance: float,
    limit: int,
    sides: str,
) -> Mismatch | None:
    """Holds a gradient against directional derivatives, element by element.

    directional: v -> the derivative along v, computed from the forward.
    unit: the size of the direction for each element (one, except for differences).
    limit: how many elements to try one by one. A larger gradient is bisected: along the half that is wrong,
        then its wrong half, which finds single elements in 2 log2(n) calls each.
    """
    total = gradient.size
    if total <= limit:
        indices = np.arange(total)
        searched = ""
    else:
        indices = _bisect(directional, gradient, unit, tolerance, limit)
        searched = f" among {len(indices)} found by bisection"
        if not len(indices):
            return None
    flat, step = gradient.reshape(-1), unit.reshape(-1)
    expected = np.array([_element(directional, unit, int(k)) / float(step[k]) for k in indices])
    if total <= limit:
        return compare(gradient, expected.reshape(gradient.shape), tolerance, sides)
    mismatch = compare(flat[indices], expected, tolerance, sides)
    if mismatch is None:
        return None
    index = tuple(int(k) for k in np.unravel_index(int(indices[mismatch.index[0]]), gradient.shape))
    return replace(mismatch, index=index, total=total, pattern="", searched=searched)


def _element(directional: Callable[[Array], float], unit: Array, k: int) -> float:
    direction = np.zeros_like(unit)
    direction.reshape(-1)[k] = unit.reshape(-1)[k]
    return directional(direction)


def _bisect(
    directional: Callable[[Array], float], gradient: Array, unit: Array, tolerance: float, limit: int
) -> NDArray[np.int64]:
    """Elements whose share of <g, v> is wrong. Signs alternate at random so that errors do not cancel."""
    rng = np.random.default_rng(0)
    signed = unit * (rng.integers(0, 2, unit.shape) * 2 - 1)
    found: list[int] = []
    stack = [(0, gradient.size)]
    calls = 0
    while stack and calls < limit and len(found) < 16:
        start, stop = stack.pop()
        direction = np.zeros_like(unit)
        direction.reshape(-1)[start:stop] = signed.reshape(-1)[start:stop]
        claimed = float(np.dot(direction.ravel().astype(np.float64), gradient.ravel().astype(np.float64)))
        calls += 1
        room = tolerance * float(np.max(unit)) * math.sqrt(stop - start)
        if abs(directional(direction) - claimed) <= room:
            continue
        if stop - start == 1:
            found.append(start)
        else:
            middle = (start + stop) // 2
            stack += [(start, middle), (middle, stop)]
    return np.array(sorted(found), dtype=np.int64)
