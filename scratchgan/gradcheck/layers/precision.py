"""Is the arithmetic as precise as the dtype says?

A float32 kernel cannot be held against differences taken in float32: their best relative error is about 1e-4. It
is held against the same operator in float64 instead, with the rounding a sum of n terms may have. And a float64
forward that works in float32 inside is seen by a step of 2^-30, which float32 cannot resolve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .. import probes
from ..calls import Array
from ..report import Finding, Mismatch, Verdict, compare
from ..trial import Trial, inner
from .differences import probe_along
from .layer import Layer
from .roughness import of_outputs

NAME = "precision"
_TINY = 2.0**-30


def run(trial: Trial) -> list[Finding]:
    if not any(y.size for y in trial.outputs):
        return trial.skip(NAME, "the output is empty")
    wide = trial.wide
    stepped = wide.dtype == np.float64 and (trial is wide or "differences" in trial.policy.layers)
    findings = _resolves_tiny_steps(wide) if stepped else []
    if trial.dtype == np.float64:
        return findings
    if wide is trial:
        return trial.skip(NAME, f"the operator has no float64 to hold {trial.dtype} against")
    return findings + _against_wide(trial, wide)


def _against_wide(trial: Trial, wide: Trial) -> list[Finding]:
    """Forward and vjp in the narrow dtype against float64, within rounding and conditioning."""
    gy, narrow = trial.pair(0)[:2]
    wide_gy = [g.astype(np.float64) if g.dtype.kind == "f" else g for g in gy]
    exact = wide.gradients(wide_gy, wide.args)
    sides = f"got is computed in {trial.dtype}, expected in float64; both are the operator's"
    pairs: list[tuple[int | None, Array, Array]] = [
        (None, y, was) for y, was in zip(trial.outputs, wide.outputs, strict=True) if y.dtype.kind == "f"
    ]
    pairs += [(i, narrow[i], exact[i]) for i in trial.wanted]

    rough: list[Array] = []

    def mismatches(moved: Sequence[Array]) -> list[Mismatch | None]:
        found = []
        for (position, got, expected), there in zip(pairs, moved, strict=True):
            room = _rounding(trial, expected, there, sum(a.size for a in (*trial.outputs, got)))
            if position is not None:
                room = room + 16 * trial.eps * unit_slope(trial, gy)
            elif rough:
                room = room + 8 * rough.pop(0)
            found.append(compare(got, expected, room, sides))
        return found

    compared = mismatches([expected for _, _, expected in pairs])
    if any(compared):  # by more than the size of the results explains: by more than their conditioning does?
        rng = probes.stream(trial.seed, NAME)
        nudged = [probes.nudge(rng, a, trial.eps) for a in wide.args]
        outputs = [y for y, n in zip(wide.apply(nudged), trial.outputs, strict=True) if n.dtype.kind == "f"]
        rough += of_outputs(trial)
        gradients = wide.gradients([probes.nudge(rng, g, trial.eps) for g in wide_gy], nudged)
        compared = mismatches([*outputs, *(gradients[i] for i in trial.wanted)])
    findings = []
    for (position, _, _), mismatch in zip(pairs, compared, strict=True):
        verdict = Verdict.FAIL if mismatch else Verdict.PASS
        reason = f"{trial.dtype} and float64 differ by more than rounding" if mismatch else ""
        where = "" if position is not None else "forward"
        findings.append(trial.finding(NAME, verdict, position, reason=reason, mismatch=mismatch, argument=where))
    return findings


def _rounding(trial: Trial, exact: Array, moved: Array, terms: int) -> Array:
    """gamma_n ~ sqrt(n) eps sum |terms|, and what rounding the arguments alone does to the result."""
    conditioning = 32 * np.abs(moved - exact)
    largest = float(np.max(np.abs(exact), initial=0.0))
    spread = float(np.max(conditioning, initial=0.0)) / 4
    return conditioning + spread + trial.eps * (16 * np.abs(exact) + 4 * math.sqrt(terms) * largest)


def unit_slope(trial: Trial, gy: list[Array]) -> float:
    """The gradient of a function of slope one: what rounding the outputs alone, kept for the vjp, is relative to.

    tanh' = 1 - tanh^2 cannot be smaller than a rounding of 1, however flat tanh is.
    """
    return max((float(np.max(np.abs(g), initial=0.0)) for g in gy if g.dtype.kind == "f"), default=0.0)


def _resolves_tiny_steps(trial: Trial) -> list[Finding]:
    """phi(2^-30) - phi(0) is still the derivative times 2^-30, to a quarter; in float32 it is zero or noise."""
    findings = []
    for position in trial.wanted:
        x = trial.args[position]
        if x.size == 0 or position in trial.linear:
            continue  # where the forward is linear, the random adjoint has seen to it
        probe = probe_along(trial, position)
        line, v, slope = probe.line, probe.v, probe.slope
        if not math.isfinite(slope.value) or slope.bar > 0.05 * abs(slope.value) or slope.jumps:
            continue
        taken = (line.value(x + _TINY * v) - line.value(x - _TINY * v)) / (2 * _TINY)
        # Terms as large as the cotangent may cancel inside.
        spread = line.spread + math.sqrt(inner(line.gy, line.gy))
        rounding = 256 * trial.eps * spread / _TINY
        if rounding > 0.1 * abs(slope.value):
            continue
        if abs(taken - slope.value) > 0.25 * abs(slope.value) + rounding:
            reason = (
                f"a step of 2^-30 in {trial.names[position]} gives a slope of {taken:.4g}, larger steps "
                f"{slope.value:.4g}: the float64 forward loses precision inside (a float32 intermediate?)"
            )
            findings.append(trial.finding(NAME, Verdict.FAIL, reason=reason, argument="forward"))
        else:
            findings.append(trial.finding(NAME, Verdict.PASS, argument="forward"))
    return findings


LAYER = Layer(NAME, run)
