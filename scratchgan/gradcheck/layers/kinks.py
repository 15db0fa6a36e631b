"""At a kink: the gradient lies between the one-sided slopes, follows the convention, and is a real subgradient.

Values are planted on the kink: some elements are set to the declared values, or all are drawn from three values
so that many tie. Then every element's claim is held against its D- and D+, and, since a claim that lies between
them element by element can still count a tie twice, so is the direction in which all elements move together,
which for a maximum is smooth: there the claim must be the derivative.
"""

from __future__ import annotations

import numpy as np

from .. import probes
from ..calls import Array
from ..report import Finding, Mismatch, Verdict
from ..trial import Trial, inner
from .layer import Layer
from .lines import Line

NAME = "kinks"
#: Elements looked at one by one; the direction in which all move together covers the rest.
_MOST = 12
#: Places among the elements of a tie that one element is moved through.
_MOST_LEVELS = 32
#: One step, short beside the distance between planted values: within it the slopes are those of the two sides.
_STEPS = (-10,)


def run(trial: Trial) -> list[Finding]:
    kinks = trial.op.kinks
    if kinks is None:
        return trial.skip(NAME, "no kinks are declared")
    wide = trial.wide
    claimed = wide.op.positions(kinks.arguments, len(wide.args)) if kinks.arguments else wide.wanted
    findings = []
    for position in claimed:
        x = wide.args[position]
        if not x.size or not any(y.size for y in wide.outputs):
            continue
        rng = probes.stream(wide.seed, NAME, str(position))
        for planted in _planted(rng, x, kinks.at, kinks.ties):
            args = tuple(wide.replaced(position, planted))
            found = _held(Trial(wide.op, args, wide.params, wide.seed, wide.policy, wide.skipped), position, rng)
            findings.append(found)
            if found.verdict is Verdict.FAIL:
                break
    return findings


def _planted(rng: np.random.Generator, x: Array, at: tuple[float, ...], ties: bool) -> list[Array]:
    """Arguments on kinks. Of two values nearly every window has a tie at its maximum, of three a tie below it."""
    out = [rng.integers(low, 2, x.shape).astype(x.dtype) for low in (0, -1)] if ties else []
    if at:
        planted = x.copy()
        chosen = rng.random(x.shape) < 0.5
        chosen.reshape(-1)[rng.integers(x.size)] = True
        planted[chosen] = rng.choice(np.asarray(at, x.dtype), int(np.count_nonzero(chosen)))
        out.append(planted)
    return out


def _held(trial: Trial, position: int, rng: np.random.Generator) -> Finding:
    # Cotangents of one sign: each output's slope is then between its own D- and D+ exactly if the sum is.
    gy = trial.cotangents(lambda shape, dtype: np.abs(probes.probe(rng, shape, dtype)))
    gradient = trial.gradients(gy, trial.args)[position]
    line = Line(trial, position, gy, gradient)
    if not np.isfinite(gradient).all():
        reason = f"the gradient is not finite where {trial.names[position]} lies on a kink"
        return trial.finding(NAME, Verdict.FAIL, position, reason=reason)
    chosen = np.arange(gradient.size) if gradient.size <= _MOST else rng.choice(gradient.size, _MOST, False)
    wrong: list[tuple[int, float, float]] = []
    for k in map(int, chosen):
        bounds = _allowed(trial, line, position, k)
        claim = float(gradient.reshape(-1)[k])
        if not bounds[0] <= claim <= bounds[1] and trial.op.kinks is not None and trial.op.kinks.ties:
            bounds = _among_orders(line, rng, k, bounds)
        if not bounds[0] <= claim <= bounds[1]:
            wrong.append((k, claim, min(bounds, key=lambda b: abs(b - claim))))
    if wrong:
        return _finding(trial, position, wrong, len(chosen))
    together = np.ones_like(gradient)
    slope = line.slope(together, steps=_STEPS)
    claim = inner([together], [gradient])
    room = 4 * slope.bar + 1e-9 * float(np.sum(np.abs(gradient)))
    if not slope.jumps and abs(slope.value - claim) > room:
        reason = (
            f"moving all elements together is smooth, with slope {slope.value:.9g}, but the gradients add up to "
            f"{claim:.9g}: a tie is counted more or less than once"
        )
        return trial.finding(NAME, Verdict.FAIL, position, reason=reason)
    return trial.finding(NAME, Verdict.PASS, position, comparisons=len(chosen) + 1)


def _allowed(trial: Trial, line: Line, position: int, k: int) -> tuple[float, float]:
    """The interval the gradient of element k may lie in."""
    kinks = trial.op.kinks
    assert kinks is not None
    direction = np.zeros_like(trial.args[position])
    direction.reshape(-1)[k] = 1
    right, left = line.one_sided(direction, 2.0 ** _STEPS[0])
    rounding = 8 * line.rounding(2.0 ** _STEPS[0])
    if abs(right - left) <= rounding:  # straight from one side to the other, as most elements of a maximum are
        return min(left, right) - rounding, max(left, right) + rounding
    slope = line.slope(direction, steps=_STEPS)
    room = 8 * slope.bar + 1e-7 * max(abs(slope.left[2]), abs(slope.right[2]), abs(slope.value))
    if not slope.jumps:
        return slope.value - room, slope.value + room
    left, right = slope.left[2], slope.right[2]
    room += 2 * abs(slope.left[2] - slope.left[1]) + 2 * abs(slope.right[2] - slope.right[1])
    low, high = {
        "left": (left, left),
        "right": (right, right),
        "middle": ((left + right) / 2, (left + right) / 2),
        "between": (min(left, right), max(left, right)),
    }[kinks.rule]
    return low - room, high + room


def _among_orders(line: Line, rng: np.random.Generator, k: int, bounds: tuple[float, float]) -> tuple[float, float]:
    """The interval of the slopes that element k has in the orders that a tie can be broken into.

    Of three elements that tie in a sort, the middle place's cotangent need not lie between those of the outer two. So
    the other elements are moved apart a little, and element k is moved past them all: between one and the next f is
    smooth, and the slope is that of one place.
    """
    x = line.trial.args[line.position]
    levels = min(x.size, _MOST_LEVELS)
    gap = 2.0 ** _STEPS[0] / levels
    apart = rng.permutation(x.size) % levels
    around = x + x.dtype.type(gap) * (apart.reshape(x.shape) - levels // 2).astype(x.dtype)
    low, high = bounds
    for level in range(levels + 1):
        below, above = around.copy(), around.copy()
        at = x.reshape(-1)[k] + x.dtype.type(gap) * x.dtype.type(level - levels // 2 - 0.5)
        below.reshape(-1)[k], above.reshape(-1)[k] = at - gap / 4, at + gap / 4
        slope = (line.value(above) - line.value(below)) / (gap / 2)
        room = line.rounding(gap / 8) + 1e-7 * abs(slope)
        if np.isfinite(slope):
            low, high = min(low, slope - room), max(high, slope + room)
    return low, high


def _finding(trial: Trial, position: int, wrong: list[tuple[int, float, float]], tried: int) -> Finding:
    rule = trial.op.kinks.rule if trial.op.kinks else ""
    k, got, bound = max(wrong, key=lambda w: abs(w[1] - w[2]))
    index = tuple(int(i) for i in np.unravel_index(k, trial.args[position].shape))
    mismatch = Mismatch(
        differing=len(wrong),
        total=tried,
        index=index,
        got=got,
        expected=bound,
        tolerance=0.0,
        sides="got is the vjp (analytic), expected is the nearest value allowed by D- and D+ (numeric)",
    )
    reason = f"the gradient does not follow the convention {rule!r} at a kink"
    return trial.finding(NAME, Verdict.FAIL, position, reason=reason, mismatch=mismatch)


LAYER = Layer(NAME, run, float64=True)
