"""How the contract takes a cotangent apart: the vjp is linear in it, whatever it looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .. import probes
from ..calls import Array
from ..report import Finding, Verdict, compare
from ..trial import Pair, Trial

NAME = "contract"
#: Factors asked for one by one: ordinary, large, and so small that code which takes it for zero shows.
_FACTORS = (-2.0, 2.0**12, 2.0**-14)


@dataclass(frozen=True)
class Parts:
    """A cotangent as a sum of parts: one with zeros at the ends of rows, one all ones (a scalar loss), broadcast, one
    that is 1 in a single place and zero elsewhere (None where there is only one place), and what is left."""

    sparse: list[Array]
    ones: list[Array]
    one: list[Array] | None
    rest: list[Array]

    @classmethod
    def of(cls, trial: Trial, gy: Sequence[Array]) -> Parts:
        rng = probes.stream(trial.seed, "parts")
        sparse = [probes.sparse_rows(g) for g in gy]
        ones = [np.broadcast_to(np.array(g.dtype.kind == "f", g.dtype), g.shape) for g in gy]
        one = None
        places = [k for k, g in enumerate(gy) if g.dtype.kind == "f" and g.size]
        if sum(g.size for g in gy) > 1 and places:
            one = [np.zeros_like(g) for g in gy]
            chosen = one[places[int(rng.integers(len(places)))]]
            chosen.reshape(-1)[rng.integers(chosen.size)] = 1
        rest = []
        for k, g in enumerate(gy):
            left = g
            for part in (sparse, ones) if one is None else (sparse, ones, one):
                left = np.asarray(left - part[k], g.dtype) if g.dtype.kind == "f" else g
            rest.append(left)
        return cls(sparse, ones, one, rest)


def scaled(g: Array, factor: float) -> Array:
    """The array times a power of two, in its own dtype; an integer array as it is."""
    return np.asarray(g * g.dtype.type(factor)) if g.dtype.kind == "f" else g


def loose(trial: Trial) -> float:
    """How much more rounding than a sum's is granted once the simple tolerance has failed.

    An operator's own arithmetic may depend on the size of its cotangent: a matrix exponential squares as often as that
    asks, and is then off by thousands of ulp. What is not linear is further off: 7e-12 in float64, 1e-4 in float32.
    """
    return max(16.0, 4 * float(trial.eps) ** -0.25 / trial.policy.ulps)


def linear_in_cotangent(trial: Trial, pair: Pair) -> list[Finding]:
    """vjp(c gy) = c vjp(gy), and the gradients of parts add up to that of the whole: asked one by one."""
    room = {i: loose(trial) * r for i, r in trial.rounding(pair.gy, pair.gradients).items()}
    for factor in _FACTORS:
        got = trial.gradients([scaled(g, factor) for g in pair.gy], trial.args)
        sides = f"got is vjp({factor:g} gy) / {factor:g}, expected is vjp(gy); both are the operator's"
        found = _differing(trial, [scaled(got[i], 1 / factor) for i in trial.wanted], pair, room, sides)
        if found:
            return found
    parts = Parts.of(trial, pair.gy)
    asked = [("some elements zero", parts.sparse), ("all ones", parts.ones)]
    asked += [("one element that is not zero", parts.one)] if parts.one is not None else []
    for what, part in asked:
        first = trial.gradients([p.copy() for p in part], trial.args)
        rest = [g - p if g.dtype.kind == "f" else g for g, p in zip(pair.gy, part, strict=True)]
        second = trial.gradients(rest, trial.args)
        sides = f"got is vjp(a) + vjp(gy - a), where a has {what}, expected is vjp(gy); both are the operator's"
        twice = {i: 2 * r for i, r in room.items()}
        found = _differing(trial, [first[i] + second[i] for i in trial.wanted], pair, twice, sides)
        if found:
            return found
    return []


def _differing(trial: Trial, got: Sequence[Array], pair: Pair, room: Mapping[int, float], sides: str) -> list[Finding]:
    findings = []
    for i, g in zip(trial.wanted, got, strict=True):
        mismatch = compare(g, pair.gradients[i], room[i], sides)
        if mismatch:
            reason = "the vjp is not linear in its cotangent"
            findings.append(trial.finding(NAME, Verdict.FAIL, i, reason=reason, mismatch=mismatch))
    return findings
