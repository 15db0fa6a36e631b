"""Layer 1: what every vjp owes its caller, whatever it computes.

One gradient per argument, of the argument's shape and dtype; zero for a zero cotangent; proportional to the
cotangent; the same for the same call, whatever was called in between and however the arrays lie in memory;
nothing written into, nothing shared with, the arrays that were passed in; nothing read from uninitialised memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import probes
from ..calls import Array
from ..report import Finding, Verdict
from ..trial import Pair, Trial
from .another_point import call_elsewhere
from .invariance import NAME, broken, from_new_memory, same, scaled_and_laid_out, snapshot
from .layer import Layer


def run(trial: Trial) -> list[Finding]:
    """Stops at the first broken rule that makes the later ones meaningless (shape, dtype, NaN, changed arguments).

    Several questions are put in one call where one answer settles them; they are asked one by one only where it
    does not.
    """
    before = snapshot(trial.args)
    pair, outputs = trial.pair(0), trial.outputs
    gy, gradients = pair.handed, pair.returned
    stages: tuple[Callable[[], list[Finding]], ...] = (
        lambda: _dtypes(trial, outputs, gradients),
        lambda: _finite(trial, outputs, gradients),
        lambda: _untouched(trial, [*before, *pair.gy], [*trial.args, *gy]),
    )
    for stage in stages:
        found = stage()
        if found:
            return found
    findings = _aliases(trial, outputs, gradients, gy)
    if any(y.size for y in outputs):
        findings += _mantissa(trial, outputs, gradients)
        findings += _repeated(trial, outputs, pair)
        findings += scaled_and_laid_out(trial, snapshot(outputs), pair)
    else:
        findings += _nothing_came_out(trial, pair.gy)
    if not findings:
        passed = 8 * len(trial.wanted)
        findings.append(trial.finding(NAME, Verdict.PASS, comparisons=passed))
    return findings


def _dtypes(trial: Trial, outputs: Sequence[Array], gradients: Sequence[Any]) -> list[Finding]:
    findings = []
    if len({trial.args[i].dtype for i in trial.wanted}) == 1:
        for y in outputs:
            if y.dtype.kind == "f" and y.dtype != trial.dtype:
                findings.append(broken(trial, f"a {trial.dtype} argument gives a {y.dtype} output", argument="forward"))
    if not any(y.dtype.kind == "f" for y in outputs):
        reason = f"the forward returns {outputs[0].dtype}: there is nothing to differentiate"
        findings.append(trial.finding(NAME, Verdict.INCONCLUSIVE, reason=reason, argument="forward"))
    for i in trial.wanted:
        if gradients[i].dtype != trial.args[i].dtype:
            reason = f"{trial.names[i]} is {trial.args[i].dtype} but its gradient is {gradients[i].dtype}"
            findings.append(broken(trial, reason, i))
    return findings


def _finite(trial: Trial, outputs: Sequence[Array], gradients: Sequence[Any]) -> list[Finding]:
    for y in outputs:
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            bad = np.argwhere(~np.isfinite(y))[0]
            reason = f"the forward gives {y[tuple(bad)]} at {bad.tolist()}: no derivative is defined there"
            return [trial.finding(NAME, Verdict.INCONCLUSIVE, reason=reason, argument="forward")]
    findings = []
    for i in trial.wanted:
        if not np.isfinite(gradients[i]).all():
            bad = np.argwhere(~np.isfinite(gradients[i]))[0]
            at = f"{trial.names[i]}{bad.tolist()}={trial.args[i][tuple(bad)]:.6g}"
            reason = f"the gradient is {gradients[i][tuple(bad)]} at {at}, although the output is finite"
            findings.append(broken(trial, reason, i))
    return findings


def _untouched(trial: Trial, before: Sequence[Any], after: Sequence[Any]) -> list[Finding]:
    labels = [*trial.names[: len(trial.args)], *(["gy"] * (len(after) - len(trial.args)))]
    return [
        broken(trial, f"{label} was changed in place by the forward or the vjp", argument=label)
        for label, a, b in zip(labels, before, after, strict=True)
        if isinstance(a, np.ndarray) and not same(a, b)
    ]


def _aliases(trial: Trial, outputs: Sequence[Array], gradients: Sequence[Any], gy: Sequence[Array]) -> list[Finding]:
    if trial.op.may_alias:
        return []
    findings = []
    given = [(n, a) for n, a in zip(trial.names, trial.args, strict=True) if isinstance(a, np.ndarray)]
    given += [("gy", g) for g in gy]
    for y in outputs:
        for name, a in given[: len(trial.args)]:
            if np.may_share_memory(y, a):
                findings.append(broken(trial, f"the output shares memory with {name}", argument="forward"))
    for position in trial.wanted:
        for name, a in given:
            if np.may_share_memory(gradients[position], a):
                findings.append(broken(trial, f"the gradient shares memory with {name}", position))
        found = _not_its_own(gradients[position])
        if found:
            findings.append(
                broken(trial, f"the gradient is {found}: it must be memory of its own, to add to", position)
            )
        for other in trial.wanted:
            if other < position and np.may_share_memory(gradients[position], gradients[other]):
                reason = f"the gradient shares memory with the gradient of {trial.names[other]}"
                findings.append(broken(trial, reason, position))
    return findings


def _not_its_own(gradient: Array) -> str:
    """Why nothing can be added to a gradient in place; "" where it can."""
    if probes.overlaps_itself(gradient):
        return f"a view in which elements share memory (strides {gradient.strides})"
    return "" if gradient.flags.writeable else "read-only"


def _mantissa(trial: Trial, outputs: Sequence[Array], gradients: Sequence[Any]) -> list[Finding]:
    """A float64 gradient whose every element is a float32 number was computed in float32.

    The cotangent has full mantissas, so the chance of that by accident is 2^-29 per element. Elements that are
    integers or zero say nothing.
    """
    if trial.dtype != np.float64:
        return []
    findings = []
    for i in trial.wanted:
        g = gradients[i]
        telling = g[g != np.round(g)]
        if telling.size and np.array_equal(telling, telling.astype(np.float32)):
            findings.append(broken(trial, "a float64 gradient holds only float32 numbers: a silent downcast", i))
    return findings


def _repeated(trial: Trial, outputs: Sequence[Array], pair: Pair) -> list[Finding]:
    """The same call twice, with a call on other values in between, leaves the same bits; and from new memory full of
    NaN it does too.

    This sees kernels that race, state kept from the previous call, sums that start from the last call's buffer,
    buffers that are handed out twice, and elements that are never written.
    """
    kept = snapshot(outputs)
    call_elsewhere(trial)
    findings = []
    for y, was in zip(outputs, kept, strict=True):
        if not same(y, was):
            reason = "the array it returned was overwritten by a later call"
            findings.append(broken(trial, reason, argument="forward"))
    for i in trial.wanted:
        if not same(pair.returned[i], pair.gradients[i]):
            findings.append(broken(trial, "the array it returned was overwritten by a later call", i))
    return findings + from_new_memory(trial, kept, pair)


def _nothing_came_out(trial: Trial, gy: Sequence[Array]) -> list[Finding]:
    """The output is empty: it depends on nothing, so every gradient must be exactly zero."""
    with probes.poisoned_allocations([(trial.args[i].shape, trial.args[i].dtype) for i in trial.wanted]):
        gradients = trial.gradients(gy, trial.args)
    findings = [
        broken(trial, "the output is empty, so the gradient must be all zero", i)
        for i in trial.wanted
        if np.any(gradients[i])
    ]
    reason = "the output is empty: only shapes, dtypes and zeros could be compared"
    return findings or [trial.finding(NAME, Verdict.INCONCLUSIVE, reason=reason)]


LAYER = Layer(NAME, run, stops=True)
