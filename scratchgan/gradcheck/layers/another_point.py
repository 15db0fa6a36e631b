"""The vjp at other arguments than those that were given.

A gradient that is right at x can be wrong elsewhere: it was kept from the call before, it divides by an element, it
takes another branch at zero. So the point is reversed (other values from the same domain), and zeros are planted
where the forward is not linear. Equation (1) of `screen.py` is asked there, in two calls; where it does not hold,
differences decide. These points are the checker's choice, so where they cannot be decided that is nobody's fault, and
only a FAIL is reported.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import probes
from ..calls import OperatorError, floating
from ..report import Finding, Mismatch, Verdict
from ..trial import Trial
from . import differences, screen
from .layer import Layer

NAME = "another point"
#: Zeros looked at one by one, where the equation does not hold.
_MOST = 12
#: Short beside the distance to other elements, so that a kink elsewhere is out of reach.
_STEPS = (-11, -15)
#: No simple fraction, so that the moved element seldom equals another.
_TOWARDS = 0.2062995


def elsewhere(trial: Trial) -> Trial | None:
    """The operator at other values, where its first call is `run`'s to judge; None if it takes no others."""
    key = (NAME, str(trial.dtype))
    if key not in trial.memo:
        trial.memo[key] = _at_first_of(trial, [_reversed(trial), _nearby(trial)])
    found: Trial | None = trial.memo[key]
    return found


def call_elsewhere(trial: Trial) -> None:
    """A call on other values, to change whatever an operator keeps between calls."""
    called = (NAME, str(trial.dtype)) in trial.memo
    other = elsewhere(trial)
    if called and other is not None:
        other.gradients(other.pair(0).gy, other.args)


@contextlib.contextmanager
def refilled(trial: Trial) -> Iterator[Sequence[Any]]:
    """The trial's arguments, written into the arrays that the operator was last called with elsewhere.

    Optimisers update parameters in place: what an operator keeps under an array's identity or address is then stale.
    Where it takes no other values, these are the trial's own arrays.
    """
    other = elsewhere(trial)
    if other is None:
        yield trial.args
        return
    arrays = [i for i, a in enumerate(other.args) if floating(a)]
    values = {i: other.args[i].copy() for i in arrays}
    for i in arrays:
        other.args[i][...] = trial.args[i]
    try:
        yield other.args
    finally:
        for i in arrays:
            other.args[i][...] = values[i]


def _at_first_of(trial: Trial, candidates: list[list[Any]]) -> Trial | None:
    """At the first arguments that the forward takes. What the vjp raises there is the caller's to judge."""
    for args in candidates:
        other = Trial(trial.op, tuple(args), trial.params, trial.seed, trial.policy)
        try:
            if not all(np.isfinite(y).all() for y in other.outputs):
                continue
        except OperatorError:
            continue
        other.pair(0)
        return other
    return None


def _reversed(trial: Trial) -> list[Any]:
    """The elements of every floating array in reverse order, and one of them moved towards its neighbour: other values
    from the same range, with another sum and another norm."""
    out = list(trial.args)
    for i, a in enumerate(trial.args):
        if floating(a):
            flat = a.ravel()[::-1].copy()
            flat[:1] = flat[:1] * (1 - _TOWARDS) + flat[1:2] * _TOWARDS if a.size > 1 else flat * (1 + 2.0**-6)
            out[i] = probes.like(a, flat.reshape(a.shape))
    return out


def _nearby(trial: Trial) -> list[Any]:
    """The arguments a little larger, for a forward that minds their order."""
    return [probes.like(a, a * a.dtype.type(1 + 2.0**-6)) if floating(a) else a for a in trial.args]


def run(trial: Trial) -> list[Finding]:
    wide = trial.wide
    if wide.dtype != np.float64 or not any(y.size for y in wide.outputs):
        return trial.skip(NAME, "the operator has no float64, or no output")
    findings = _at_other_values(wide) + _at_zeros(wide)
    return findings or [wide.finding(NAME, Verdict.PASS)]


def _at_other_values(trial: Trial) -> list[Finding]:
    other = elsewhere(trial)
    if other is None or _decent(other):
        return []
    found = [f for f in differences.run(other) if f.verdict is Verdict.FAIL]
    reason = "at other values of the same shapes (x reversed; is something kept between calls?): "
    return [replace(f, layer=NAME, reason=reason + f.reason) for f in found]


def _decent(trial: Trial) -> bool:
    """Nothing to be accused of: the equation holds, or the forward cannot be followed there."""
    gy, gradients = trial.pair(0)[:2]
    try:
        return screen.agrees(trial, gy, gradients)
    except OperatorError:
        return True


def _at_zeros(trial: Trial) -> list[Finding]:
    """A quarter of an argument's elements set to zero, two at least; one argument at a time.

    Only where zero lies within the argument's values: a threshold, a base or a variance that is positive in all its
    elements may have to be. And not where zero, or elements that are equal, are a declared kink.
    """
    rng = probes.stream(trial.seed, NAME)
    findings = []
    for i in trial.wanted:
        x = trial.args[i]
        most = _zeros_allowed(trial, i)
        chosen = rng.permutation(x.size)[: min(most, max(2, x.size // 4))]
        if not chosen.size or not np.min(x) < 0 < np.max(x):
            continue
        planted = x.copy()
        planted.reshape(-1)[chosen] = 0
        try:
            other = _at_first_of(trial, [trial.replaced(i, planted)])
        except OperatorError:
            continue
        if other is not None and not _decent(other):
            findings += _wrong_at_zero(other, i, chosen[:_MOST])
    return findings


def _zeros_allowed(trial: Trial, position: int) -> int:
    """How many elements may be zero: one, where equal elements are a kink, and none where zero is."""
    kinks = trial.op.kinks
    if position in trial.linear:
        return 0
    if kinks is None or (kinks.arguments and position not in trial.op.positions(kinks.arguments, len(trial.args))):
        return trial.args[position].size
    return 0 if 0.0 in kinks.at else 1 if kinks.ties else trial.args[position].size


def _wrong_at_zero(trial: Trial, position: int, chosen: NDArray[np.int64]) -> list[Finding]:
    """Element by element: where f is smooth, the claim must be its slope; kinks and poles are left alone."""
    x, pair = trial.args[position], trial.pair(0)
    gradient = pair.gradients[position]
    line = differences.Line(trial, position, pair.gy, np.nan_to_num(gradient, posinf=0.0, neginf=0.0))
    scale = screen.typical(trial.args[position])
    wrong: list[tuple[int, float, float, float]] = []
    for k in chosen:
        direction = np.zeros_like(x)
        direction.reshape(-1)[k] = scale
        slope = line.slope(direction, line.gradient, steps=_STEPS)
        got = float(gradient.reshape(-1)[k]) * scale
        size = abs(slope.value) + scale * max(float(np.max(np.abs(g), initial=0.0)) for g in pair.gy)
        room = 1e-5 * size + 4 * slope.bar
        smooth = math.isfinite(slope.value) and slope.bar <= 1e-6 * size and not slope.jumps
        if smooth and not abs(got - slope.value) <= room:
            wrong.append((int(k), got / scale, slope.value / scale, room / scale))
    if not wrong:
        return []
    k, got, expected, room = wrong[0]
    mismatch = Mismatch(
        differing=len(wrong),
        total=len(chosen),
        index=tuple(int(n) for n in np.unravel_index(k, x.shape)),
        got=got,
        expected=expected,
        tolerance=room,
        sides=differences.SIDES,
        searched=" among those tried",
    )
    reason = f"where the checker has set elements of {trial.names[position]} to zero"
    return [trial.finding(NAME, Verdict.FAIL, position, reason=reason, mismatch=mismatch)]


LAYER = Layer(NAME, run, float64=True, repeats=True)
