"""Central differences against the vjp, along random directions and with a measured error bar (see `lines.py`).

The vjp claims phi'(0) = <vjp(gy), v> of phi(t) = <f(x + t v), gy>. With D the derivative by differences the verdict is

    |D - <vjp(gy), v>| <= bar:  PASS, or INCONCLUSIVE if the bar exceeds 1e-3 of the derivative;   else FAIL.

Elements on a kink have no derivative along them and are left out (see `kinks.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .. import probes
from ..calls import Array
from ..locate import locate
from ..report import Finding, Verdict
from ..trial import Trial, inner, magnitude
from .layer import Layer
from .lines import Line, Slope, directions
from .taylor import describe_remainder

NAME = "differences"
SIDES = "got is the vjp (analytic), expected is central differences of the forward (numeric)"


def run(trial: Trial) -> list[Finding]:
    """One finding per argument. What an adjoint test has settled is left out."""
    wide = trial.wide
    if wide.dtype != np.float64:
        trial.notes.append(f"the operator has no float64: differences were taken in {wide.dtype}")
    findings = []
    for position in wide.unsettled:
        if wide.args[position].size == 0:
            reason = "the argument is empty: there is no element to differ"
            findings.append(wide.finding(NAME, Verdict.INCONCLUSIVE, position, reason=reason, comparisons=0))
        elif any(y.size for y in wide.outputs):
            findings.append(_argument(wide, position))
    return findings


@dataclass(frozen=True)
class _Probe:
    """One direction in one argument: the line, the gradient that is claimed, and the derivative by differences."""

    line: Line
    v: Array
    gradient: Array
    slope: Slope


def probe_along(trial: Trial, position: int, count: int = 0) -> _Probe:
    """The `count`-th direction in an argument: dense, sparse, dense, ...; evaluated once, for all layers."""
    key = (NAME, position, count)
    if key not in trial.memo:
        rng = probes.stream(trial.seed, NAME, str(position), str(count))
        gy, gradients = trial.pair(count)[:2]
        line = Line(trial, position, gy, gradients[position])
        v = directions(rng, trial.args[position], sparse=count % 2 == 1)
        trial.memo[key] = _Probe(line, v, gradients[position], line.slope(v, gradients[position]))
    found: _Probe = trial.memo[key]
    return found


def _argument(trial: Trial, position: int) -> Finding:
    x = trial.args[position]
    kinked: NDArray[np.int64] = np.array([], np.int64)
    undecided = ""
    for count in range(trial.policy.probes):
        probe = probe_along(trial, position, count)
        line, gradient, v = probe.line, probe.gradient, probe.v.copy()
        slope: Slope | None = probe.slope
        if len(kinked):
            v.reshape(-1)[kinked] = 0
            if not np.any(v):
                continue  # the sparse direction had nothing else
            slope = None
        outcome, detail = _hold(line, v, gradient, slope)
        if outcome is not Verdict.PASS:
            points = kinks_along(line, v, gradient)
            if len(points):
                kinked = np.union1d(kinked, points)
                v.reshape(-1)[kinked] = 0
                if not np.any(v):
                    undecided = f"every element of {trial.names[position]} that was tried lies on a kink"
                    continue
                outcome, detail = _hold(line, v, gradient)
        if outcome is Verdict.FAIL:
            return _failure(line, position, v, gradient, detail)
        if outcome is Verdict.INCONCLUSIVE:
            undecided = detail
    if undecided:
        return trial.finding(NAME, Verdict.INCONCLUSIVE, position, reason=undecided, comparisons=0)
    if len(kinked) and trial.op.kinks is None:
        where = [int(k) for k in np.unravel_index(int(kinked[0]), x.shape)]
        reason = (
            f"{len(kinked)} of {x.size} elements lie on a kink (the first at {where}); the others agree. "
            "Declare `kinks` to have the convention checked"
        )
        return trial.finding(NAME, Verdict.INCONCLUSIVE, position, reason=reason, comparisons=1)
    return trial.finding(NAME, Verdict.PASS, position, comparisons=trial.policy.probes)


def _hold(line: Line, v: Array, gradient: Array, slope: Slope | None = None) -> tuple[Verdict, str]:
    """Compares one directional derivative; the string is the reason of what is not PASS."""
    policy, trial = line.trial.policy, line.trial
    claimed = inner([v], [gradient])
    if slope is None:
        slope = line.slope(v, gradient)
    if abs(slope.value - claimed) > 2 * slope.bar:
        slope = line.confirmed(v, gradient)
    if abs(slope.value - claimed) > 2 * slope.bar and not line.measured:
        return _hold(replace(line, measured=True), v, gradient)
    if slope.exact_zero and not np.any(gradient[v != 0]) and _would_show(trial, v):
        return Verdict.PASS, ""
    size = max(abs(slope.value), math.sqrt(inner([np.square(v * gradient, dtype=np.float64)], [np.ones_like(v)])))
    if not math.isfinite(slope.value):
        return Verdict.INCONCLUSIVE, "the forward is not finite next to the argument, at any step tried"
    room = 2 * slope.bar + policy.ulps * trial.eps * magnitude([v], [gradient]) + policy.atol + policy.rtol * size
    error = abs(slope.value - claimed)
    if line.measured and error > room:
        room += 8 * _drift(line, v)
    if not error <= room:  # NaN is further away than anything
        return Verdict.FAIL, (
            f"along a random direction the vjp gives {claimed:.12g}, differences {slope.value:.12g} +- {slope.bar:.2g}"
        )
    if 2 * slope.bar > policy.noise_to_signal * size:
        return Verdict.INCONCLUSIVE, (
            f"the error bar of the differences ({slope.bar:.2g}) exceeds {policy.noise_to_signal:g} of the "
            f"derivative ({size:.3g})"
        )
    return Verdict.PASS, ""


def _drift(line: Line, v: Array) -> float:
    """How far the claim moves when all that goes into the vjp moves by a rounding."""
    trial, rng = line.trial, probes.stream(line.trial.seed, "rounding")
    claims = []
    for _ in range(2):
        args = [probes.nudge(rng, a, trial.eps) for a in trial.args]
        moved = trial.gradients([probes.nudge(rng, g, trial.eps) for g in line.gy], args)[line.position]
        claims.append(inner([v], [moved]))
    drift = abs(claims[0] - claims[1])
    return drift if math.isfinite(drift) else 0.0


def _would_show(trial: Trial, v: Array) -> bool:
    """A forward that did not move at all is flat, unless it is so large that a slope of 1 would be rounded away."""
    largest = max((float(np.max(np.abs(y), initial=0.0)) for y in trial.outputs), default=0.0)
    if not np.any(v):
        return False
    moved = float(np.sqrt(np.mean(np.square(v[v != 0], dtype=np.float64)))) * 2.0**-7
    return trial.eps * largest < 1e-3 * moved


def kinks_along(line: Line, v: Array, gradient: Array, limit: int = 512) -> NDArray[np.int64]:
    """Elements of the argument on a kink, whose claimed gradient lies between the one-sided slopes.

    Looks at one element at a time, at most `limit` of those that v moves; one whose claim lies outside is not
    excused, and stays in the comparison.
    """
    moved = np.flatnonzero(v)
    if len(moved) > limit:
        return np.array([], np.int64)
    found = []
    for k in moved:
        single = np.zeros_like(v)
        single.reshape(-1)[k] = v.reshape(-1)[k]
        slope = line.slope(single, steps=tuple(sorted(line.powers())[:2][-1:]))
        if slope.jumps:
            claim = float(gradient.reshape(-1)[k]) * float(v.reshape(-1)[k])
            low, high = sorted((slope.left[2], slope.right[2]))
            room = 8 * slope.bar + 1e-6 * max(abs(low), abs(high))
            if low - room <= claim <= high + room:
                found.append(int(k))
    return np.array(found, np.int64)


def _failure(line: Line, position: int, v: Array, gradient: Array, reason: str) -> Finding:
    """Names the wrong elements, and asks the Taylor remainder what order the error has."""
    trial = line.trial
    unit = np.maximum(np.abs(v), float(np.max(np.abs(v))) / 8).astype(v.dtype)

    def directional(direction: Array) -> float:
        return line.slope(direction).value

    typical = float(np.max(np.abs(gradient), initial=0.0)) or 1.0
    room = (1e-9 if trial.dtype == np.float64 else 1e-3) * typical
    limit = max(1, trial.policy.locate_limit // 8)
    mismatch = locate(directional, gradient, unit, tolerance=room, limit=limit, sides=SIDES)
    trial.notes.append(describe_remainder(line, v, gradient))
    return trial.finding(NAME, Verdict.FAIL, position, reason=reason, mismatch=mismatch)


LAYER = Layer(NAME, run, float64=True)
