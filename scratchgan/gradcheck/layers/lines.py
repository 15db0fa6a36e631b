"""A derivative along one direction, by central differences with a chosen step and a measured error bar.

phi(t) = <f(x + t v), gy> is a function of one number. A central difference D(h) = (phi(h) - phi(-h)) / 2h is off by

    h^2 |phi'''| / 6   (truncation)   +   eps |phi| / h   (rounding),

least at h ~ (3 eps |phi| / |phi'''|)^(1/3): no one step suits every function and dtype. Here D is taken at h,
h/2 and h/4 and extrapolated (Romberg: the h^2 and the h^4 term go), which moves the best step up and the error
down, and the last correction plus the rounding bound is an error bar. Several scales of h are tried, until the bar
is small; the best one counts.

The same seven evaluations give the one-sided slopes D+ and D-. Where f is smooth D+ - D- halves with h; at a kink it
does not.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from .. import probes
from ..calls import Array, OperatorError
from ..trial import Trial, inner
from .roughness import roughness

#: Largest steps tried, as powers of two relative to the argument, in the order of trying.
_STEPS = {
    np.dtype(np.float64): (-7, -4, -11, -15, -19, -24, 4, 12),
    np.dtype(np.float32): (-3, -1, -5, -7),
    np.dtype(np.float16): (-1, 0, -3),
}
#: Rounding of one evaluation of phi, in units of eps times the norm of the terms of <f, gy>.
_ROUNDING = 8.0
_INSIDE = 2.0**12


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
    #: Whether rounding is measured too, which takes 28 evaluations: for when a failure hangs on it.
    measured: bool = False

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
        terms = norm_of_terms(self.trial.outputs, self.gy)
        if self.measured:
            terms += self.rough / self.trial.eps
        if self.gradient is None:
            return terms
        return math.hypot(terms, float(np.linalg.norm(self.trial.args[self.position] * self.gradient)))

    @functools.cached_property
    def rough(self) -> float:
        """The rounding in phi (see `roughness.py`), but no more than that of a term _INSIDE times as large as the
        cotangent: a forward that works in float32 inside is rough too."""
        x = self.trial.args[self.position]
        size = float(np.max(np.abs(x), initial=0.0)) or 1.0
        found = float(roughness(lambda t: np.asarray(self.value(x + x.dtype.type(t * size))), self.trial.eps))
        unit = math.sqrt(inner(self.gy, self.gy))
        return min(found, _INSIDE * self.trial.eps * unit) if math.isfinite(found) else 0.0

    def slope(self, v: Array, gradient: Array | None = None, steps: tuple[int, ...] | None = None) -> Slope:
        """The derivative along v, with the smallest error bar among the steps: the first whose bar is small enough.

        gradient: corrects for x + h v being rounded, by the difference between the step asked for and the step
        taken (the actual x+ - x-).
        """
        trial = self.trial
        x = trial.args[self.position]
        best: Slope | None = None
        for power in steps or self.powers():
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
        for power in sorted(self.powers()):
            slope = self.slope(v, gradient, steps=(power,))
            if not math.isfinite(slope.value):
                continue
            if best is not None and abs(slope.value - best.value) > 2 * (slope.bar + best.bar):
                break
            if best is None or slope.bar < best.bar:
                best = slope
        return best or self.slope(v, gradient)

    def powers(self) -> tuple[int, ...]:
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


def norm_of_terms(outputs: tuple[Array, ...], gy: list[Array]) -> float:
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
