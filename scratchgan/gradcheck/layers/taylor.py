"""The Taylor test: |phi(h) - phi(0) - h <vjp(gy), v>| falls like h^2 if the vjp is right, like h if it is not.

It uses no tolerance, and its slope says what kind of error there is, but it cannot see an error smaller than the
curvature. So it is a diagnosis, run after differences have failed, and a layer to call by itself.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from .. import probes
from ..calls import Array
from ..report import Finding, Verdict
from ..trial import Trial, inner
from .layer import Layer
from .lines import Line, directions, norm_of_terms

NAME = "taylor"


def remainders(line: Line, v: Array, gradient: Array) -> tuple[list[float], list[float], float]:
    """Steps, |remainders| there, and the size under which a remainder is rounding."""
    x = line.trial.args[line.position]
    start = -3 if line.trial.dtype == np.float64 else -1
    steps = [2.0**-k for k in range(-start, -start + 6)]
    at_zero, claimed = line.value(x), inner([v], [gradient])
    left = [abs(line.value(x + x.dtype.type(h) * v) - at_zero - h * claimed) for h in steps]
    floor = 32 * line.trial.eps * (norm_of_terms(line.trial.outputs, line.gy) + abs(at_zero) + abs(claimed))
    return steps, left, floor


def slope_of(steps: list[float], left: list[float], floor: float) -> float | None:
    """The exponent p of |remainder| ~ h^p over the smallest steps above rounding; None if all is rounding."""
    usable = [(h, r) for h, r in zip(steps, left, strict=True) if math.isfinite(r) and r > floor]
    if len(usable) < 3:
        return None
    (h0, r0), (h1, r1) = usable[-3], usable[-1]
    return math.log(r0 / r1) / math.log(h0 / h1)


def describe_remainder(line: Line, v: Array, gradient: Array) -> str:
    """One sentence for a failure's report."""
    order = slope_of(*remainders(line, v, gradient))
    name = line.trial.names[line.position]
    if order is None:
        return f"the Taylor remainder in {name} is lost in rounding: the error is too small for its slope to show"
    meaning = "the gradient itself is wrong" if order < 1.5 else "the error is small beside the curvature"
    return f"the Taylor remainder in {name} falls like h^{order:.2f} (h^2 would be right): {meaning}"


def run(trial: Trial) -> list[Finding]:
    """PASS for a slope of 2 (or a remainder that is all rounding: f is affine), FAIL for a slope near 1."""
    wide = trial.wide
    findings = []
    for position in wide.wanted:
        rng = probes.stream(wide.seed, NAME, str(position))
        gy = wide.cotangents(functools.partial(probes.probe, rng))
        gradient = wide.gradients(gy, wide.args)[position]
        line = Line(wide, position, gy)
        order = slope_of(*remainders(line, directions(rng, wide.args[position], sparse=False), gradient))
        if order is None or order >= 1.8:
            findings.append(wide.finding(NAME, Verdict.PASS, position))
        elif order <= 1.3:
            reason = f"the remainder falls like h^{order:.2f}, not h^2"
            findings.append(wide.finding(NAME, Verdict.FAIL, position, reason=reason))
        else:
            reason = f"the remainder falls like h^{order:.2f}: neither h nor h^2"
            findings.append(wide.finding(NAME, Verdict.INCONCLUSIVE, position, reason=reason, comparisons=0))
    return findings


LAYER = Layer(NAME, run, float64=True)
