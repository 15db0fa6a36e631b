"""Layer 1: what every vjp owes its caller, whatever it computes.

One gradient per argument, of the argument's shape and dtype; zero for a zero cotangent; proportional to the
cotangent; the same for the same call, whatever was called in between and however the arrays lie in memory;
nothing written into, nothing shared with, the arrays that were passed in; nothing read from uninitialised memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import probes
from .op import OperatorError
from .report import Finding, Verdict, compare
from .trial import Trial

Array = NDArray[Any]
LAYER = "contract"


def run(trial: Trial) -> list[Finding]:
    """Stops at the first broken rule that makes the later ones meaningless (shape, dtype, NaN)."""
    gy = trial.cotangents(_full_mantissa(trial))
    snapshot = _snapshot([*trial.args, *gy])
    outputs = trial.apply(trial.args)
    gradients = trial.gradients(gy, trial.args)
    checks: tuple[Callable[[], list[Finding]], ...] = (
        lambda: _dtypes(trial, outputs, gradients),
        lambda: _finite(trial, outputs, gradients),
    )
    findings: list[Finding] = []
    for check in checks:
        findings += check()
        if any(f.verdict is not Verdict.PASS for f in findings):
            return findings
    findings += _untouched(trial, snapshot, [*trial.args, *gy])
    findings += _aliases(trial, outputs, gradients, gy)
    if any(y.size for y in outputs):
        findings += _mantissa(trial, outputs, gradients)
        findings += _repeated(trial, outputs, gradients, gy)
        findings += _proportional(trial, gradients, gy)
        findings += _poisoned(trial, outputs, gradients, gy)
        findings += _laid_out(trial, gradients, gy)
    else:
        findings += _nothing_came_out(trial, gy)
    if not findings:
        passed = 8 * len(trial.wanted)
        findings.append(trial.finding(LAYER, Verdict.PASS, comparisons=passed))
    return findings


def _full_mantissa(trial: Trial) -> Callable[[tuple[int, ...], Any], Array]:
    rng = probes.stream(trial.seed, LAYER)
    return lambda shape, dtype: probes.probe(rng, shape, dtype)


def _fail(trial: Trial, reason: str, position: int | None = None, argument: str = "", **more: Any) -> Finding:
    return trial.finding(LAYER, Verdict.FAIL, position, reason=reason, argument=argument, **more)


def _dtypes(trial: Trial, outputs: Sequence[Array], gradients: Sequence[Any]) -> list[Finding]:
    findings = []
    if len({trial.args[i].dtype for i in trial.wanted}) == 1:
        for y in outputs:
            if y.dtype.kind == "f" and y.dtype != trial.dtype:
                findings.append(_fail(trial, f"a {trial.dtype} argument gives a {y.dtype} output", argument="forward"))
    if not any(y.dtype.kind == "f" for y in outputs):
        reason = f"the forward returns {outputs[0].dtype}: there is nothing to differentiate"
        findings.append(trial.finding(LAYER, Verdict.INCONCLUSIVE, reason=reason, argument="forward"))
    for i in trial.wanted:
        if gradients[i].dtype != trial.args[i].dtype:
            reason = f"{trial.names[i]} is {trial.args[i].dtype} but its gradient is {gradients[i].dtype}"
            findings.append(_fail(trial, reason, i))
    return findings


def _finite(trial: Trial, outputs: Sequence[Array], gradients: Sequence[Any]) -> list[Finding]:
    for y in outputs:
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            bad = np.argwhere(~np.isfinite(y))[0]
            reason = f"the forward gives {y[tuple(bad)]} at {bad.tolist()}: no derivative is defined there"
            return [trial.finding(LAYER, Verdict.INCONCLUSIVE, reason=reason, argument="forward")]
    findings = []
    for i in trial.wanted:
        if not np.isfinite(gradients[i]).all():
            bad = np.argwhere(~np.isfinite(gradients[i]))[0]
            at = f"{trial.names[i]}{bad.tolist()}={trial.args[i][tuple(bad)]:.6g}"
            reason = f"the gradient is {gradients[i][tuple(bad)]} at {at}, although the output is finite"
            findings.append(_fail(trial, reason, i))
    return findings


def _snapshot(arrays: Sequence[Any]) -> list[Any]:
    return [a.copy() if isinstance(a, np.ndarray) else a for a in arrays]


def _untouched(trial: Trial, before: Sequence[Any], after: Sequence[Any]) -> list[Finding]:
    labels = [*trial.names[: len(trial.args)], *(["gy"] * (len(after) - len(trial.args)))]
    return [
        _fail(trial, f"{label} was changed in place by the forward or the vjp", argument=label)
        for label, a, b in zip(labels, before, after, strict=True)
        if isinstance(a, np.ndarray) and not _same(a, b)
    ]


def _same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _aliases(trial: Trial, outputs: Sequence[Array], gradients: Sequence[Any], gy: Sequence[Array]) -> list[Finding]:
    if trial.op.may_alias:
        return []
    findings = []
    given = [(n, a) for n, a in zip(trial.names, trial.args, strict=True) if isinstance(a, np.ndarray)]
    given += [("gy", g) for g in gy]
    for y in outputs:
        for name, a in given[: len(trial.args)]:
            if np.may_share_memory(y, a):
                findings.append(_fail(trial, f"the output shares memory with {name}", argument="forward"))
    for position in trial.wanted:
        for name, a in given:
            if np.may_share_memory(gradients[position], a):
                findings.append(_fail(trial, f"the gradient shares memory with {name}", position))
        for other in trial.wanted:
            if other < position and np.may_share_memory(gradients[position], gradients[other]):
                reason = f"the gradient shares memory with the gradient of {trial.names[other]}"
                findings.append(_fail(trial, reason, position))
    return findings


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
            findings.append(_fail(trial, "a float64 gradient holds only float32 numbers: a silent downcast", i))
    return findings


def _repeated(trial: Trial, outputs: Sequence[Array], gradients: Sequence[Any], gy: Sequence[Array]) -> list[Finding]:
    """The same call twice, with a call on other values in between, leaves the same bits.

    This sees kernels that race, state kept from the previous call, sums that start from the last call's buffer,
    and buffers that are handed out twice.
    """
    kept_outputs, kept_gradients = _snapshot(outputs), _snapshot(gradients)
    other = [_reversed(a) for a in trial.args]
    trial.apply(other)
    trial.gradients([_reversed(g) for g in gy], other)
    findings = []
    for y, kept in zip(outputs, kept_outputs, strict=True):
        if not _same(y, kept):
            reason = "the array it returned was overwritten by a later call"
            findings.append(_fail(trial, reason, argument="forward"))
    for i in trial.wanted:
        if not _same(gradients[i], kept_gradients[i]):
            findings.append(_fail(trial, "the array it returned was overwritten by a later call", i))
    again = trial.gradients(gy, trial.args)
    once_more = trial.apply(trial.args)
    room = trial.policy.nondet_tol
    sides = "both are the operator's: got is the second call, expected the first, with the same arguments"
    for y, kept in zip(once_more, kept_outputs, strict=True):
        mismatch = compare(y, kept, room, sides) if y.dtype.kind == "f" else None
        if mismatch:
            reason = "the forward is not deterministic, or keeps state between calls"
            findings.append(_fail(trial, reason, argument="forward", mismatch=mismatch))
    for i in trial.wanted:
        mismatch = compare(again[i], kept_gradients[i], room, sides)
        if mismatch:
            reason = "the vjp is not deterministic, or keeps state between calls"
            findings.append(_fail(trial, reason, i, mismatch=mismatch))
    return findings


def _reversed(a: Any) -> Any:
    """Other values from the same domain: the elements of a floating array in reverse order."""
    if isinstance(a, np.ndarray) and a.dtype.kind == "f":
        return a.ravel()[::-1].reshape(a.shape).copy()
    return a


def _proportional(trial: Trial, gradients: Sequence[Any], gy: Sequence[Array]) -> list[Finding]:
    """vjp(0) = 0, and vjp(-2 gy) = -2 vjp(gy): scaling by a power of two commutes with rounding."""
    findings = []
    zero = trial.gradients([np.zeros_like(g) for g in gy], trial.args)
    scaled = trial.gradients([-2 * g if g.dtype.kind == "f" else g for g in gy], trial.args)
    sides = "got is vjp(-2 gy), expected is -2 vjp(gy); both are the operator's"
    for i in trial.wanted:
        if np.any(zero[i] != 0):
            reason = f"a zero cotangent gives a gradient of {zero[i].ravel()[np.argmax(zero[i] != 0)]:.6g}, not 0"
            findings.append(_fail(trial, reason, i))
            continue
        room = 16 * trial.eps * float(np.max(np.abs(gradients[i]), initial=0.0))
        mismatch = compare(scaled[i], -2 * gradients[i], room, sides)
        if mismatch:
            findings.append(_fail(trial, "the vjp is not linear in its cotangent", i, mismatch=mismatch))
    return findings


def _poisoned(trial: Trial, outputs: Sequence[Array], gradients: Sequence[Any], gy: Sequence[Array]) -> list[Finding]:
    shapes = [(a.shape, a.dtype) for a in (*outputs, *(gradients[i] for i in trial.wanted)) if a.dtype.kind == "f"]
    with probes.poisoned_allocations(shapes):
        poisoned_outputs = trial.apply(trial.args)
    with probes.poisoned_allocations(shapes):
        poisoned = trial.gradients(gy, trial.args)
    findings = []
    sides = "both are the operator's: got is with new memory full of NaN, expected without"
    reason = "it reads memory that it never wrote"
    for y, clean in zip(poisoned_outputs, outputs, strict=True):
        mismatch = compare(y, clean, trial.policy.nondet_tol, sides) if y.dtype.kind == "f" else None
        if mismatch:
            findings.append(_fail(trial, reason, argument="forward", mismatch=mismatch))
    for i in trial.wanted:
        mismatch = compare(poisoned[i], gradients[i], trial.policy.nondet_tol, sides)
        if mismatch:
            findings.append(_fail(trial, reason, i, mismatch=mismatch))
    return findings


def _laid_out(trial: Trial, gradients: Sequence[Any], gy: Sequence[Array]) -> list[Finding]:
    """The gradient depends on the values of its arguments, not on their strides."""
    findings = []
    room = trial.rounding(gy, gradients)
    laid_gy = [probes.layouts(g) for g in gy]
    laid_args = [probes.layouts(a) if i in trial.wanted else [] for i, a in enumerate(trial.args)]
    names = dict.fromkeys(name for variants in (*laid_gy, *laid_args) for name, _ in variants)
    for name in names:
        new_gy = [dict(v).get(name, g) for v, g in zip(laid_gy, gy, strict=True)]
        new_args = [dict(v).get(name, a) for v, a in zip(laid_args, trial.args, strict=True)]
        findings += _same_gradients(trial, gradients, new_gy, new_args, room, f"{name} arrays")
        findings += _layout_kept(trial, new_gy, new_args, gy, name)
    ones = [np.ones_like(g) for g in gy]
    broadcast = [np.broadcast_to(np.ones((), g.dtype), g.shape) for g in gy]
    plain = trial.gradients(ones, trial.args)
    findings += _same_gradients(trial, plain, broadcast, trial.args, room, "a cotangent broadcast from one number")
    return findings


def _same_gradients(
    trial: Trial, expected: Sequence[Any], gy: Sequence[Array], args: Sequence[Any], room: dict[int, float], what: str
) -> list[Finding]:
    try:
        gradients = trial.gradients(gy, args)
    except OperatorError as error:
        return [_fail(trial, f"with {what}: {error}", argument="vjp")]
    sides = f"both are the operator's: got is with {what}, expected with contiguous ones of the same values"
    findings = []
    for i in trial.wanted:
        mismatch = compare(gradients[i], expected[i], room[i], sides)
        if mismatch:
            findings.append(_fail(trial, f"{what} change the gradient", i, mismatch=mismatch))
    return findings


def _layout_kept(
    trial: Trial, gy: Sequence[Array], args: Sequence[Any], contiguous_gy: Sequence[Array], name: str
) -> list[Finding]:
    """Strided arguments are not written into either."""
    changed = [
        label
        for label, now, was in zip(
            [*trial.names, *["gy"] * len(gy)], [*args, *gy], [*trial.args, *contiguous_gy], strict=True
        )
        if isinstance(now, np.ndarray) and not _same(now, was)
    ]
    return [_fail(trial, f"{label} was changed in place when {name}", argument=label) for label in changed]


def _nothing_came_out(trial: Trial, gy: Sequence[Array]) -> list[Finding]:
    """The output is empty: it depends on nothing, so every gradient must be exactly zero."""
    with probes.poisoned_allocations([(trial.args[i].shape, trial.args[i].dtype) for i in trial.wanted]):
        gradients = trial.gradients(gy, trial.args)
    findings = [
        _fail(trial, "the output is empty, so the gradient must be all zero", i)
        for i in trial.wanted
        if np.any(gradients[i])
    ]
    reason = "the output is empty: only shapes, dtypes and zeros could be compared"
    return findings or [trial.finding(LAYER, Verdict.INCONCLUSIVE, reason=reason)]
