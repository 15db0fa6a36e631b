"""Layer 4: central differences with a chosen step and a measured error bar.

phi(t) = <f(x + t v), gy> is a function of one number, and the vjp claims phi'(0) = <vjp(gy), v>. A central
difference D(h) = (phi(h) - phi(-h)) / 2h is off by

    h^2 |phi'''| / 6   (truncation)   +   eps |phi| / h   (rounding),

least at h ~ (3 eps |phi| / |phi'''|)^(1/3): no one step suits every function and dtype. Here D is taken at h,
h/2 and h/4 and extrapolated (Romberg: the h^2 and the h^4 term go), which moves the best step up and the error
down, and the last correction plus the rounding bound is an error bar. Several scales of h are tried, until the bar
is small; the best one counts. The verdict is then

    |D - <vjp(gy), v>| <= bar:  PASS, or INCONCLUSIVE if the bar exceeds 1e-3 of the derivative;   else FAIL.

The same seven evaluations give the one-sided slopes D+ and D-. Where f is smooth D+ - D- halves with h; at a
kink it does not, and then the derivative along that element is not defined (see `kinks.py`).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import probes
from .locate import locate
from .op import OperatorError
from .report import Finding, Verdict
from .trial import Trial, inner, magnitude

Array = NDArray[Any]
LAYER = "differences"
SIDES = "got is the vjp (analytic), expected is central differences of the forward (numeric)"

#: Largest steps tried, as powers of two relative to the argument, in the order of trying.
_STEPS = {
    np.dtype(np.float64): (-7, -4, -11, -15, -19, -24, 4, 12),
    np.dtype(np.float32): (-3, -1, -5, -7),
    np.dtype(np.float16): (-1, 0, -3),
}
#: Rounding of one evaluation of phi, in units of eps times the norm of the terms of <f, gy>.
_ROUNDING = 8.0


@dataclass(frozen=True)
class Slope:
    """A directional derivative by differences: its value, the error bar, and the one-sided slopes at three steps."""

    value: float
    bar: float
    right: tuple[float, float, float]
    left: tuple[float, float, float]
    exact_zero: bool

    @property
    def jumps(self) -> bool:
        """D+ - D- does not shrink with the step: x lies on a kink. (Smooth ones shrink fourfold over two halvings.)"""
        gaps = [abs(r - left) for r, left in zip(self.right, self.left, strict=True)]
        return gaps[2] > 8 * self.bar and gaps[2] > 0.6 * gaps[0] and gaps[2] > 0.6 * gaps[1]


@dataclass(frozen=True)
class Line:
    """phi(t) = <f(args with x + t v), gy>, along one argument of a trial."""

    trial: Trial
    position: int
    gy: list[Array]
    #: The gradient that is claimed, where it is known: how much rounding of the argument moves phi.
    gradient: Array | None = None

    def value(self, x: Array) -> float:
        """phi, NaN where the forward refuses the argument: a step may leave its domain."""
        try:
            return inner(self.trial.apply(self.trial.replaced(self.position, x)), self.gy)
        except OperatorError:
            return math.nan

    @functools.cached_property
    def at_zero(self) -> float:
        return inner(self.trial.outputs, self.gy)

    @functools.cached_property
    def spread(self) -> float:
        """What rounding in phi is relative to: its terms, and, where they cancel inside f, those of the argument."""
        terms = _norm_of_terms(self.trial.outputs, self.gy)
        if self.gradient is None:
            return terms
        return math.hypot(terms, float(np.linalg.norm(self.trial.args[self.position] * self.gradient)))

    def slope(self, v: Array, gradient: Array | None = None, steps: tuple[int, ...] | None = None) -> Slope:
        """The derivative along v, with the smallest error bar among the steps: the first whose bar is small enough.

        gradient: corrects for x + h v being rounded, by the difference between the step asked for and the step
        taken (the actual x+ - x-).
        """
        trial = self.trial
        x = trial.args[self.position]
        best: Slope | None = None
        for power in steps or self._powers():
            slope = self._at(2.0**power, x, v, gradient)
            if slope is not None and (best is None or slope.bar < best.bar):
                best = slope
            if best is not None and (best.exact_zero or best.bar <= 1e-9 * abs(best.value)):
                break
        return best or Slope(math.nan, math.inf, (math.nan,) * 3, (math.nan,) * 3, False)

    def rounding(self, h: float) -> float:
        """How far rounding may move a difference over a step h."""
        return _ROUNDING * self.trial.eps * self.spread / h

    def one_sided(self, v: Array, h: float) -> tuple[float, float]:
        """D+ and D- over one step."""
        x = self.trial.args[self.position]
        step = x.dtype.type(h) * v
        return (self.value(x + step) - self.at_zero) / h, (self.at_zero - self.value(x - step)) / h

    def confirmed(self, v: Array, gradient: Array) -> Slope:
        """The derivative along v that all steps agree on, for when a failure hangs on it.

        The error bar of a long step is an extrapolation: on a function that wriggles within the step it can be far
        too small. That of the shortest step is almost all rounding, which is bounded. So from the shortest step up, a
        longer one is believed as long as it lies within the bars of the one before it.
        """
        best: Slope | None = None
        for power in sorted(self._powers()):
            slope = self.slope(v, gradient, steps=(power,))
            if not math.isfinite(slope.value):
                continue
            if best is not None and abs(slope.value - best.value) > 2 * (slope.bar + best.bar):
                break
            if best is None or slope.bar < best.bar:
                best = slope
        return best or self.slope(v, gradient)

    def _powers(self) -> tuple[int, ...]:
        step = self.trial.policy.step
        if step is not None:
            return (round(math.log2(step)),)
        return _STEPS.get(self.trial.dtype, _STEPS[np.dtype(np.float64)])

    def _at(self, h: float, x: Array, v: Array, gradient: Array | None) -> Slope | None:
        """Six evaluations, +-h, +-h/2, +-h/4, and phi(0)."""
        at_zero = self.at_zero
        central, right, left = [], [], []
        values = [at_zero]
        for step in (h, h / 2, h / 4):
            above, below = x + x.dtype.type(step) * v, x - x.dtype.type(step) * v
            up, down = self.value(above), self.value(below)
            correction = 0.0
            if gradient is not None:
                taken = (above.astype(np.float64) - below.astype(np.float64)) / (2 * step)
                correction = inner([taken - v], [gradient])
            central.append((up - down) / (2 * step) - correction)
            right.append((up - at_zero) / step)
            left.append((at_zero - down) / step)
            values += [up, down]
        if not all(map(math.isfinite, values)):
            return None
        first = [(4 * central[k + 1] - central[k]) / 3 for k in (0, 1)]
        value = (16 * first[1] - first[0]) / 15
        exact_zero = all(p == at_zero for p in values)
        bar = 2 * abs(value - first[1]) + 1.5 * self.rounding(h / 4)
        return Slope(value, bar, (right[0], right[1], right[2]), (left[0], left[1], left[2]), exact_zero)


def _norm_of_terms(outputs: tuple[Array, ...], gy: list[Array]) -> float:
    """sqrt(sum (f_i gy_i)^2): rounding errors of the terms are independent, and add like this."""
    total = 0.0
    for y, g in zip(outputs, gy, strict=True):
        if y.dtype.kind == "f":
            total += float(np.sum(np.square(y.astype(np.float64) * g)))
    return math.sqrt(total)


def directions(rng: np.random.Generator, x: Array, sparse: bool) -> Array:
    """A probe in units of the argument: larger elements move more, so that a step seldom crosses zero."""
    size = np.abs(x)
    typical = float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) if x.size else 0.0
    typical = 2.0 ** round(math.log2(typical)) if typical > 0 and math.isfinite(typical) else 1.0
    v = probes.probe(rng, x.shape, x.dtype) * np.clip(size, typical / 8, typical * 8).astype(x.dtype)
    if sparse and x.size > 1:
        kept = rng.random(x.shape) < 0.25
        kept.reshape(-1)[rng.integers(x.size)] = True
        v = np.where(kept, v, 0).astype(x.dtype)
    return np.asarray(v, dtype=x.dtype)


def run(trial: Trial, positions: list[int] | None = None) -> list[Finding]:
    """One finding per argument. `positions` leaves out the arguments that an adjoint test has settled."""
    wide = trial.wide
    if wide.dtype != np.float64:
        trial.notes.append(f"the operator has no float64: differences were taken in {wide.dtype}")
    findings = []
    for position in wide.wanted if positions is None else positions:
        if wide.args[position].size == 0:
            reason = "the argument is empty: there is no element to differ"
            findings.append(wide.finding(LAYER, Verdict.INCONCLUSIVE, position, reason=reason, comparisons=0))
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
    key = (LAYER, position, count)
    if key not in trial.memo:
        rng = probes.stream(trial.seed, LAYER, str(position), str(count))
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
        return trial.finding(LAYER, Verdict.INCONCLUSIVE, position, reason=undecided, comparisons=0)
    if len(kinked) and trial.op.kinks is None:
        where = [int(k) for k in np.unravel_index(int(kinked[0]), x.shape)]
        reason = (
            f"{len(kinked)} of {x.size} elements lie on a kink (the first at {where}); the others agree. "
            "Declare `kinks` to have the convention checked"
        )
        return trial.finding(LAYER, Verdict.INCONCLUSIVE, position, reason=reason, comparisons=1)
    return trial.finding(LAYER, Verdict.PASS, position, comparisons=trial.policy.probes)


def _hold(line: Line, v: Array, gradient: Array, slope: Slope | None = None) -> tuple[Verdict, str]:
    """Compares one directional derivative; the string is the reason of what is not PASS."""
    policy, trial = line.trial.policy, line.trial
    claimed = inner([v], [gradient])
    if slope is None:
        slope = line.slope(v, gradient)
    if abs(slope.value - claimed) > 2 * slope.bar:
        slope = line.confirmed(v, gradient)
    if slope.exact_zero and not np.any(gradient[v != 0]) and _would_show(trial, v):
        return Verdict.PASS, ""
    size = max(abs(slope.value), math.sqrt(inner([np.square(v * gradient, dtype=np.float64)], [np.ones_like(v)])))
    if not math.isfinite(slope.value):
        return Verdict.INCONCLUSIVE, "the forward is not finite next to the argument, at any step tried"
    room = 2 * slope.bar + policy.ulps * trial.eps * magnitude([v], [gradient]) + policy.atol + policy.rtol * size
    error = abs(slope.value - claimed)
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
        slope = line.slope(single, steps=tuple(sorted(line._powers())[:2][-1:]))
        if slope.jumps:
            claim = float(gradient.reshape(-1)[k]) * float(v.reshape(-1)[k])
            low, high = sorted((slope.left[2], slope.right[2]))
            room = 8 * slope.bar + 1e-6 * max(abs(low), abs(high))
            if low - room <= claim <= high + room:
                found.append(int(k))
    return np.array(found, np.int64)


def _failure(line: Line, position: int, v: Array, gradient: Array, reason: str) -> Finding:
    """Names the wrong elements, and asks the Taylor remainder what order the error has."""
    from .taylor import describe_remainder

    trial = line.trial
    unit = np.maximum(np.abs(v), float(np.max(np.abs(v))) / 8).astype(v.dtype)

    def directional(direction: Array) -> float:
        return line.slope(direction).value

    typical = float(np.max(np.abs(gradient), initial=0.0)) or 1.0
    room = (1e-7 if trial.dtype == np.float64 else 1e-3) * typical
    limit = max(1, trial.policy.locate_limit // 8)
    mismatch = locate(directional, gradient, unit, tolerance=room, limit=limit, sides=SIDES)
    trial.notes.append(describe_remainder(line, v, gradient))
    return trial.finding(LAYER, Verdict.FAIL, position, reason=reason, mismatch=mismatch)
