"""Complex step: Im f(x + i h v) / h is the derivative, without subtraction, so h = 2^-100 and no step to choose.

It needs a forward made of analytic operations that takes complex arrays: NumPy code often is, compiled kernels
are not. A forward that compares, rounds or takes |z| gives a wrong answer without an error, so the result counts
only where it agrees with central differences; then it sharpens them from about 1e-11 to the rounding of f.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .. import probes
from ..calls import Array, OperatorError
from ..locate import locate
from ..report import Finding, Verdict
from ..trial import Trial, inner, magnitude
from .differences import probe_along
from .layer import Layer
from .precision import unit_slope

NAME = "complex step"
_H = 2.0**-100
#: Both sides are long computations, a matrix exponential by squaring for one: some hundred ulp are rounding.
_ROOM = 8


def derivative(trial: Trial, position: int, v: Array) -> list[Array] | str:
    """Im f(x + i h v) / h per output, or why the forward does not take complex arrays."""
    x = trial.args[position].astype(np.complex128) + 1j * (_H * v)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            outputs = trial.apply(trial.replaced(position, x))
        except OperatorError:
            return "the forward does not take complex arrays"
    if any(y.dtype.kind != "c" for y, real in zip(outputs, trial.outputs, strict=True) if real.dtype.kind == "f"):
        return "the forward does not return complex arrays for complex arguments"
    if any(y.shape != real.shape for y, real in zip(outputs, trial.outputs, strict=True)):
        return "the forward changes shape for complex arguments"
    return [np.imag(y) / _H for y in outputs]


def run(trial: Trial) -> list[Finding]:
    wide = trial.wide
    if wide.dtype != np.float64:
        return trial.skip(NAME, "the operator has no float64")
    findings: list[Finding] = []
    for position in wide.unsettled:
        findings += _argument(wide, position)
    return findings


def _argument(trial: Trial, position: int) -> list[Finding]:
    x = trial.args[position]
    if x.size == 0 or not any(y.size for y in trial.outputs):
        return []
    probe = probe_along(trial, position)
    v, gy, gradient = probe.v, probe.line.gy, probe.gradient
    along = derivative(trial, position, v)
    if isinstance(along, str):
        return trial.skip(NAME, f"{trial.names[position]}: {along}")
    exact, claimed = inner(along, gy), inner([v], [gradient])
    flat = unit_slope(trial, gy) * float(np.sum(np.abs(v)))  # next to which a saturated slope is rounding
    scale = max(magnitude(along, gy), magnitude([v], [gradient]))
    if abs(exact - claimed) <= _ROOM * trial.eps * (trial.policy.ulps * scale + flat):
        return [trial.finding(NAME, Verdict.PASS, position)]
    if not abs(exact - probe.slope.value) <= 4 * probe.slope.bar:
        return trial.skip(NAME, f"{trial.names[position]}: the forward is not analytic, or not smooth here")
    if _rounding(trial, position, v, gy, probes.stream(trial.seed, NAME, str(position))) > 0.01 * abs(exact - claimed):
        return trial.skip(NAME, f"{trial.names[position]}: the forward is ill-conditioned here")

    def directional(w: Array) -> float:
        part = derivative(trial, position, w)
        return inner(part, gy) if not isinstance(part, str) else float("nan")

    room = _ROOM * trial.policy.ulps * trial.eps * float(np.max(np.abs(gradient)))
    mismatch = locate(
        directional,
        gradient,
        np.ones_like(x),
        tolerance=room,
        limit=trial.policy.locate_limit,
        sides="got is the vjp (analytic), expected is the complex step of the forward (numeric)",
    )
    reason = f"along a random direction the vjp gives {claimed:.15g}, the complex step {exact:.15g}"
    return [trial.finding(NAME, Verdict.FAIL, position, reason=reason, mismatch=mismatch)]


def _rounding(trial: Trial, position: int, v: Array, gy: list[Array], rng: np.random.Generator) -> float:
    """How far both derivatives move when the arguments and the cotangent move by a few roundings."""

    def both(args: list[Any], cotangents: list[Array]) -> tuple[float, float]:
        moved = Trial(trial.op, tuple(args), trial.params, trial.seed, trial.policy)
        along = derivative(moved, position, v)
        numeric = float("inf") if isinstance(along, str) else inner(along, cotangents)
        return numeric, inner([v], [moved.gradients(cotangents, args)[position]])

    here = both(list(trial.args), gy)
    there = both(*([probes.nudge(rng, a, 8 * trial.eps) for a in arrays] for arrays in (trial.args, gy)))
    return max(abs(p - q) for p, q in zip(here, there, strict=True))


LAYER = Layer(NAME, run, float64=True)
