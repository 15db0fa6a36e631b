"""Layer 6: an independent forward. Adjoint and difference tests pass when forward and vjp share a mistake."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import probes
from ..calls import Array, OperatorError
from ..op import Op
from ..report import Finding, Verdict, compare
from ..trial import Trial
from .layer import Layer
from .roughness import of_outputs

NAME = "oracle"


def run(trial: Trial) -> list[Finding]:
    """On the arguments as given, and, where every argument is linear, bitwise on integers."""
    if trial.op.reference is None:
        return trial.skip(NAME, "no reference is given")
    wide = trial.wide
    findings = [*_against_reference(wide, exact=False)]
    if findings and findings[0].verdict is not Verdict.PASS:
        return findings
    if trial.dtype != wide.dtype:
        findings += _against_reference(trial, exact=False)
    if trial.linear == trial.wanted:
        findings += _against_reference(trial, exact=True)
    return findings


def _against_reference(trial: Trial, exact: bool) -> list[Finding]:
    reference = Op(trial.op.reference, trial.op.vjp, name=f"reference of {trial.op.name}")  # type: ignore[arg-type]
    args = list(trial.args)
    if exact:
        rng = probes.stream(trial.seed, NAME)
        for i in trial.linear:
            args[i] = probes.integers(rng, args[i].shape, (1, 3), args[i].dtype)
    wide_args = [a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in args]
    try:
        expected = reference.apply(wide_args, trial.params)[0]
    except OperatorError as error:
        reason = f"the reference failed: {error}"
        return [trial.finding(NAME, Verdict.INCONCLUSIVE, reason=reason, argument="forward", comparisons=0)]
    outputs = trial.apply(args)
    if [y.shape for y in outputs] != [y.shape for y in expected]:
        reason = f"the forward gives shapes {[y.shape for y in outputs]}, the reference {[y.shape for y in expected]}"
        return [trial.finding(NAME, Verdict.FAIL, reason=reason, argument="forward")]
    findings = []
    rough: dict[int, Array] = {}
    for k, (y, r) in enumerate(zip(outputs, expected, strict=True)):
        sides = "got is the forward, expected is the reference (in float64)"
        room: float | Array = room_for(trial, r, args)
        mismatch = compare(y, r, room, sides)
        if mismatch and y.dtype.kind == "f":  # by more than the terms explain that cancel inside?
            floats = [n for n, output in enumerate(outputs) if output.dtype.kind == "f"]
            rough = rough or dict(zip(floats, of_outputs(trial, args), strict=True))
            mismatch = compare(y, r, room + 8 * rough[k], sides)
        verdict = Verdict.FAIL if mismatch else Verdict.PASS
        reason = "the forward differs from the reference" if mismatch else ""
        findings.append(trial.finding(NAME, verdict, reason=reason, mismatch=mismatch, argument="forward"))
    return findings


def room_for(trial: Trial, expected: Array, args: list[Any]) -> float:
    """64 ulp of the largest output, times sqrt(n) for sums of up to n terms."""
    finite = np.abs(expected[np.isfinite(expected)]) if expected.dtype.kind == "f" else np.zeros(0)
    largest = max((float(np.max(np.abs(args[i]), initial=0.0)) for i in trial.wanted), default=0.0)
    terms = max((args[i].size for i in trial.wanted), default=1)
    scale = max(float(np.max(finite, initial=0.0)), min(largest, 1.0))
    return trial.policy.ulps * trial.eps * math.sqrt(max(terms, 1)) * scale


LAYER = Layer(NAME, run)
