"""<A v, gy> = <v, A^T gy> on full mantissas, for linear arguments; and <J v, gy> = <v, J^T gy> where there is a jvp.

What integers cannot show (a scale of 1 + 1e-4, a float32 in the middle), the same identity shows here, to about 64
units in the last place.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from .. import probes
from ..calls import Array, OperatorError, as_outputs
from ..locate import locate
from ..report import Finding, Verdict
from ..trial import Trial, apart, inner, magnitude
from .layer import Layer
from .linear_probe import LinearProbe, drift_of, not_linear

NAME = "random adjoint"


def run(trial: Trial) -> list[Finding]:
    """The same identity on full mantissas, in float64 where the operator has it; and J v against J^T gy."""
    wide = trial.wide
    if not any(y.size for y in wide.outputs):
        return trial.skip(NAME, "the output is empty")
    if not wide.linear and trial.op.jvp is None:
        return trial.skip(NAME, "no argument is declared linear_in, and there is no jvp")
    findings: list[Finding] = _linear_arguments(wide)
    if trial.op.jvp is not None:
        findings += forward_mode(wide)
    return findings


def _linear_arguments(trial: Trial) -> list[Finding]:
    rng = probes.stream(trial.seed, NAME)
    left = list(trial.linear)
    findings: list[Finding] = []
    for _ in range(trial.policy.probes if left else 0):
        args = list(trial.args)
        for i in trial.linear:
            args[i] = probes.like(args[i], probes.probe(rng, args[i].shape, args[i].dtype))
        probe = LinearProbe(trial, args, trial.cotangents(functools.partial(probes.probe, rng)))
        for position in list(left):
            found = _random_for(probe, position, rng)
            if found is not None:
                findings.append(found)
                left.remove(position)
        if trial.memo.get("exact") == set(trial.linear):
            break  # every element has been seen on integers, and one probe shows whether the mantissa is full
    findings += [trial.finding(NAME, Verdict.PASS, i, comparisons=trial.policy.probes) for i in left]
    return findings


def _random_for(probe: LinearProbe, position: int, rng: np.random.Generator) -> Finding | None:
    """None where the identity holds."""
    trial, v, gradient = probe.trial, probe.args[position], probe.gradients[position]
    zero = np.zeros_like(v)
    constant = probe.at(position, zero)
    part = apart(probe.outputs, constant)
    scale = max(magnitude(part, probe.gy) + magnitude(constant, probe.gy), magnitude([v], [gradient]))
    error = abs(inner(part, probe.gy) - inner([v], [gradient]))
    room = trial.policy.ulps * trial.eps * scale
    if error <= room or error <= room + trial.policy.ulps * _conditioning(probe, position, part, gradient, rng):
        return None
    drift, size = drift_of(part, probe.linear_part(position, v, probes.probe(rng, v.shape, v.dtype)))
    if drift > 1e3 * trial.policy.ulps * trial.eps * size:
        return not_linear(trial, NAME, position)
    reason = f"<A v, gy> differs from <v, A^T gy> by more than {trial.policy.ulps:g} ulp"
    directional, unit = probe.directional(position), np.ones_like(v)
    return _located(trial, position, directional, gradient, unit, reason, "forward on unit vectors")


def _conditioning(
    probe: LinearProbe, position: int, part: list[Array], gradient: Array, rng: np.random.Generator
) -> float:
    """How far both sides of the identity move when everything that goes in moves by one rounding.

    Where large terms cancel inside, that is more than the size of what comes out would suggest.
    """
    trial = probe.trial
    args = [probes.nudge(rng, a, trial.eps) for a in probe.args]
    moved = LinearProbe(trial, args, [probes.nudge(rng, g, trial.eps) for g in probe.gy])
    there = moved.linear_part(position, args[position], np.zeros_like(args[position]))
    return abs(inner(there, moved.gy) - inner(part, probe.gy)) + abs(
        inner([args[position]], [moved.gradients[position]]) - inner([probe.args[position]], [gradient])
    )


def forward_mode(trial: Trial) -> list[Finding]:
    """<jvp(v), gy> = <v, vjp(gy)>: both are exact derivatives, so they agree to rounding."""
    findings = []
    rng = probes.stream(trial.seed, NAME, "jvp")
    gy, gradients = trial.pair(0)[:2]
    for position in trial.wanted:

        def directional(v: Array, position: int = position) -> float:
            return inner(tangent(trial, position, v), gy)

        v = probes.probe(rng, trial.args[position].shape, trial.args[position].dtype)
        forward = tangent(trial, position, v)
        scale = max(magnitude(forward, gy), magnitude([v], [gradients[position]]))
        error = abs(inner(forward, gy) - inner([v], [gradients[position]]))
        if error <= trial.policy.ulps * trial.eps * scale:
            findings.append(trial.finding(NAME, Verdict.PASS, position))
        else:
            reason = "jvp and vjp are not each other's transpose"
            ones = np.ones_like(v)
            findings.append(_located(trial, position, directional, gradients[position], ones, reason, "the jvp"))
    return findings


def tangent(trial: Trial, position: int, v: Array) -> tuple[Array, ...]:
    """The jvp along `v` in one argument, zero in the others."""
    assert trial.op.jvp is not None
    directions = tuple(
        v if i == position else np.zeros_like(a) if isinstance(a, np.ndarray) else None
        for i, a in enumerate(trial.args)
    )
    try:
        with np.errstate(all="ignore"):
            result = as_outputs(trial.op.jvp(directions, *trial.args, **trial.params), "jvp")
    except OperatorError:
        raise
    except Exception as error:
        raise OperatorError(f"jvp raised {type(error).__name__}: {error}") from error
    if [t.shape for t in result] != [y.shape for y in trial.outputs]:
        raise OperatorError(
            f"jvp returned shapes {[t.shape for t in result]}, the output has {[y.shape for y in trial.outputs]}"
        )
    return result


def _located(
    trial: Trial,
    position: int,
    directional: Callable[[Array], float],
    gradient: Array,
    unit: Array,
    reason: str,
    numeric: str,
) -> Finding:
    room = trial.policy.ulps * trial.eps * float(np.max(np.abs(gradient), initial=0.0))
    mismatch = locate(
        directional,
        gradient,
        unit,
        tolerance=room,
        limit=trial.policy.locate_limit,
        sides=f"got is the vjp (analytic), expected is {numeric} (numeric)",
    )
    return trial.finding(NAME, Verdict.FAIL, position, reason=reason, mismatch=mismatch)


LAYER = Layer(NAME, run, float64=True, settles=True)
