"""Names the shape of an error: what would turn the array that was got into the one that was expected.

A wrong gradient is seldom random. It is the right one scaled by N, shifted by the stride's remainder, flipped,
transposed, or right but for one slice, and saying so usually names the line that is wrong.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np

from .calls import Array


def describe_pattern(got: Array, expected: Array, tolerance: Array) -> str:
    """One phrase, or "" when no pattern fits. All three are float64; `tolerance` broadcasts."""
    if got.shape != expected.shape or got.size == 0:
        return ""
    if not np.isfinite(expected).all():
        return ""
    slack = np.maximum(tolerance, 1e-6 * float(np.max(np.abs(expected), initial=0.0)))
    if np.isfinite(got).all():  # beside an error that is small itself, less has to count as equal
        slack = np.minimum(slack, np.max(np.abs(got - expected)) / 8)

    def fits(candidate: Array) -> bool:
        return candidate.shape == expected.shape and bool(np.all(np.abs(candidate - expected) <= slack))

    if not np.isfinite(got).all():
        bad = int(np.count_nonzero(~np.isfinite(got)))
        return f"{bad} element{'s are' if bad > 1 else ' is'} NaN or infinite"
    wrong = np.abs(got - expected) > slack
    if not np.any(got):
        return "all zero"
    return (
        _scale(got, expected, wrong)
        or _moved(got, fits)
        or _slice(got, wrong)
        or _offset(got, expected, fits)
        or _permuted(got, expected, slack)
    )


def _scale(got: Array, expected: Array, wrong: Array) -> str:
    if got.size < 2:
        return ""
    energy = float(np.sum(expected * expected))
    if energy == 0.0:
        return ""
    factor = float(np.sum(got * expected)) / energy
    left, error = np.max(np.abs(got - factor * expected)), np.max(np.abs(got - expected))
    if abs(factor) < 1e-12 or left > min(1e-5 * np.max(np.abs(got)), error / 8):
        return ""
    if abs(factor + 1.0) < 1e-6:
        return "the sign is flipped"
    if abs(factor - 1.0) < 1e-3:
        return f"scaled by 1 {'+' if factor > 1 else '-'} {abs(factor - 1.0):.2g}"
    if not np.any(wrong):
        return ""
    ratio = Fraction(factor).limit_denominator(4096)
    nice = f" (= {ratio})" if ratio.denominator > 1 and abs(float(ratio) - factor) < 1e-6 * abs(factor) else ""
    return f"scaled by {factor:.7g}{nice}"


def _moved(got: Array, fits: Any) -> str:
    """Shifts along one axis, flips, and exchanges of two axes."""
    for axis, length in enumerate(got.shape):
        for step in range(1, min(length, 5)):
            for sign in (step, -step):
                for fill in ("wrapping", "zeros entering"):
                    shifted = np.roll(got, sign, axis)
                    if fill != "wrapping":
                        edge = [slice(None)] * got.ndim
                        edge[axis] = slice(0, step) if sign > 0 else slice(length - step, length)
                        shifted[tuple(edge)] = 0.0
                    if fits(shifted):
                        return f"shifted by {-sign} along axis {axis}"
    for count in range(1, got.ndim + 1):
        for axes in itertools.combinations(range(got.ndim), count):
            if fits(np.flip(got, axes)):
                return f"flipped along axis {', '.join(map(str, axes))}"
    for a, b in itertools.combinations(range(got.ndim), 2):
        if fits(np.swapaxes(got, a, b)):
            return f"transposed: axes {a} and {b} are exchanged"
        if got.shape[a] != got.shape[b]:
            exchanged = np.swapaxes(got, a, b).reshape(got.shape)
            if fits(exchanged):
                return f"transposed: axes {a} and {b} are exchanged under the same shape"
    return ""


def _slice(got: Array, wrong: Array) -> str:
    """All the wrong elements lie in one slice of an axis."""
    if not np.any(wrong):
        return ""
    for axis, length in enumerate(got.shape):
        if length < 2:
            continue
        rest = tuple(k for k in range(got.ndim) if k != axis)
        places = np.flatnonzero(np.any(wrong, axis=rest))
        if len(places) == 1:
            place = int(places[0])
            where = "last " if place == length - 1 else "first " if place == 0 else ""
            values = np.take(got, place, axis)
            what = "is zero" if not np.any(values) else "is wrong"
            return f"only the {where}slice {place} of axis {axis} {what}"
        if not np.any(np.where(wrong, got, 0.0)) and len(places) < length:
            return f"zero in slices {places.tolist()[:8]} of axis {axis}"
    if not np.any(np.where(wrong, got, 0.0)):
        return "the wrong elements are all zero"
    return ""


def _offset(got: Array, expected: Array, fits: Any) -> str:
    if got.size < 2:
        return ""
    constant = float(np.mean(expected - got))
    return f"a constant {-constant:.6g} is added" if fits(got + constant) else ""


def _permuted(got: Array, expected: Array, slack: Array) -> str:
    if got.size < 3:
        return ""
    room = float(np.max(slack))
    same = np.all(np.abs(np.sort(got, axis=None) - np.sort(expected, axis=None)) <= room)
    return "the right values in the wrong places" if same else ""
