"""The vjp at other arguments than those that were given.

A gradient that is right at x can be wrong elsewhere: it was kept from the call before, it divides by an element, it
takes another branch at zero. So the point is reversed (other values from the same domain), and zeros are planted
where the forward is not linear. Equation (1) of `screen.py` is asked there, in two calls; where it does not hold,
differences decide. These points are the checker's choice, so where they cannot be decided that is nobody's fault, and
only a FAIL is reported.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import probes
from ..calls import OperatorError
from ..report import Finding, Mismatch, Verdict
from ..trial import Trial
from . import differences, screen
from .layer import Layer

NAME = "another point"
#: Zeros looked at one by one, where the equation does not hold.
_MOST = 12
#: Short beside the distance to other elements, so that a kink elsewhere is out of reach.
_STEPS = (-11, -15)


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
    """The elements of every floating array in reverse order."""
    return [a.ravel()[::-1].reshape(a.shape).copy() if _floating(a) else a for a in trial.args]


def _nearby(trial: Trial) -> list[Any]:
    """The arguments a little larger, for a forward that minds their order."""
    return [np.asarray(a * a.dtype.type(1 + 2.0**-6)) if _floating(a) else a for a in trial.args]


def _floating(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


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
    """A quarter of every argument's elements set to zero, two at least."""
    if trial.op.kinks is not None:
        return []  # its own layer plants the values that are declared
    rng = probes.stream(trial.seed, NAME)
    args = list(trial.args)
    planted: dict[int, NDArray[np.int64]] = {}
    for i in trial.wanted:
        if i not in trial.linear and args[i].size:
            chosen = rng.permutation(args[i].size)[: max(2, args[i].size // 4)]
            args[i] = args[i].copy()
            args[i].reshape(-1)[chosen] = 0
            planted[i] = chosen
    try:
        other = _at_first_of(trial, [args]) if planted else None
    except OperatorError:
        return []
    if other is None or _decent(other):
        return []
    return [f for i, chosen in planted.items() for f in _wrong_at_zero(other, i, chosen[:_MOST])]


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
    reason = f"where elements of {trial.names[position]} are zero"
    return [trial.finding(NAME, Verdict.FAIL, position, reason=reason, mismatch=mismatch)]


LAYER = Layer(NAME, run, float64=True, repeats=True)
