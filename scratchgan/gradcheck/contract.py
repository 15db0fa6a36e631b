"""Layer 1: what every vjp owes its caller, whatever it computes.

One gradient per argument, of the argument's shape and dtype; zero for a zero cotangent; proportional to the
cotangent; the same for the same call, whatever was called in between and however the arrays lie in memory;
nothing written into, nothing shared with, the arrays that were passed in; nothing read from uninitialised memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import probes
from .op import OperatorError
from .report import Finding, Verdict, compare
from .trial import Pair, Trial

Array = NDArray[Any]
LAYER = "contract"


def run(trial: Trial) -> list[Finding]:
    """Stops at the first broken rule that makes the later ones meaningless (shape, dtype, NaN, changed arguments).

    Several questions are put in one call where one answer settles them; they are asked one by one only where it
    does not.
    """
    before = _snapshot(trial.args)
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
        if not trial.policy.combined:
            findings += _scaled_and_laid_out(trial, _snapshot(outputs), pair)
    else:
        findings += _nothing_came_out(trial, pair.gy)
    if not findings:
        passed = 8 * len(trial.wanted)
        findings.append(trial.finding(LAYER, Verdict.PASS, comparisons=passed))
    return findings


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


def _repeated(trial: Trial, outputs: Sequence[Array], pair: Pair) -> list[Finding]:
    """The same call twice, with a call on other values in between, leaves the same bits; and from new memory full of
    NaN it does too.

    This sees kernels that race, state kept from the previous call, sums that start from the last call's buffer,
    buffers that are handed out twice, and elements that are never written. With `Policy.combined` the second call
    also has awkward strides and a scaled cotangent.
    """
    kept = _snapshot(outputs)
    _call_elsewhere(trial)
    findings = []
    for y, was in zip(outputs, kept, strict=True):
        if not _same(y, was):
            reason = "the array it returned was overwritten by a later call"
            findings.append(_fail(trial, reason, argument="forward"))
    for i in trial.wanted:
        if not _same(pair.returned[i], pair.gradients[i]):
            findings.append(_fail(trial, "the array it returned was overwritten by a later call", i))
    if trial.policy.combined:
        return findings + _scaled_and_laid_out(trial, kept, pair)
    return findings + _poisoned(trial, kept, pair)


def _call_elsewhere(trial: Trial) -> None:
    """A call on other values, to change whatever an operator keeps between calls."""
    other = [_reversed(a) for a in trial.args]
    trial.gradients([np.ones_like(y) for y in trial.apply(other)], other)


def _poisoned(trial: Trial, kept: Sequence[Array], pair: Pair) -> list[Finding]:
    """The same call again, bit for bit, from new memory full of NaN; what differs is asked for once more without."""
    again, gradients = _from_poison(trial, kept, pair.gy, trial.args, pair.gradients)
    findings = []
    room = trial.policy.nondet_tol
    sides = "both are the operator's: got is the second call, expected the first, with the same arguments"
    unwritten = "it reads memory that it never wrote"
    for k, (y, was) in enumerate(zip(again, kept, strict=True)):
        mismatch = compare(y, was, room, sides) if y.dtype.kind == "f" else None
        if mismatch:
            clean = compare(trial.apply(trial.args)[k], was, room, sides) is None
            reason = unwritten if clean else "the forward is not deterministic, or keeps state between calls"
            findings.append(_fail(trial, reason, argument="forward", mismatch=mismatch))
    for i in trial.wanted:
        mismatch = compare(gradients[i], pair.gradients[i], room, sides)
        if mismatch:
            clean = compare(trial.gradients(pair.gy, trial.args)[i], pair.gradients[i], room, sides) is None
            reason = unwritten if clean else "the vjp is not deterministic, or keeps state between calls"
            findings.append(_fail(trial, reason, i, mismatch=mismatch))
    return findings


def _from_poison(
    trial: Trial, outputs: Sequence[Array], gy: Sequence[Array], args: Sequence[Any], gradients: Sequence[Any]
) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
    """The vjp goes first: what it needs of its arguments' forward must not come from the last call of the forward."""
    shapes = [(a.shape, a.dtype) for a in (*outputs, *(gradients[i] for i in trial.wanted)) if a.dtype.kind == "f"]
    with probes.poisoned_allocations(shapes):
        again = trial.gradients(gy, args)
    with probes.poisoned_allocations(shapes):
        return trial.apply(args), again


def _reversed(a: Any) -> Any:
    """Other values from the same domain: the elements of a floating array in reverse order."""
    if isinstance(a, np.ndarray) and a.dtype.kind == "f":
        return a.ravel()[::-1].reshape(a.shape).copy()
    return a


#: A scale that makes the cotangent large, and a number so small that code which takes it for zero shows.
_LARGE, _SMALL = 2.0**12, 2.0**-14


def _scaled_and_laid_out(trial: Trial, outputs: Sequence[Array], pair: Pair) -> list[Finding]:
    """The vjp is linear in its cotangent whatever that looks like, and strides change nothing.

    One sum asks both, and only where it is wrong are they asked one by one.
    """
    if _all_at_once(trial, outputs, pair):
        return []
    _call_elsewhere(trial)  # once more, for an operator that keeps state
    found = _poisoned(trial, outputs, pair) or _laid_out(trial, pair) or _linear_in_cotangent(trial, pair)
    if found or _all_at_once(trial, outputs, pair, trial.rounding(pair.gy, pair.gradients)):
        return found
    reason = "the gradient depends on the strides and on the scale of its cotangent, now and then or only together"
    return [_fail(trial, reason)]


def _all_at_once(trial: Trial, outputs: Sequence[Array], pair: Pair, room: Mapping[int, float] | None = None) -> bool:
    """Whether the cotangent's parts, as unlike each other as can be, have gradients that add up to the whole's.

    One is large and has awkward strides, as the arguments then have; one has zeros, Fortran order and no alignment,
    with read-only arguments; one is a small number, broadcast. With `Policy.combined` the first is all there is.
    room: how far rounding may move each gradient, where that is more than its size suggests.
    """
    args = [probes.awkward(a) if _floating(a) else a for a in trial.args]
    zeros, constant, rest = _parts(trial, pair.gy)
    if trial.policy.combined:
        rest = pair.gy
    scale = -_LARGE if trial.dtype.itemsize >= 4 else -2.0
    gy = [probes.awkward(_scaled(g, scale)) for g in rest]
    kept = _snapshot([*args, *gy])
    try:
        again, gradients = _from_poison(trial, outputs, gy, args, pair.gradients)
        parts = [[_scaled(g, 1 / scale) if i in trial.wanted else g for i, g in enumerate(gradients)]]
        if not trial.policy.combined:
            frozen = [probes.frozen_fortran(a) if _floating(a) else a for a in trial.args]
            parts.append(list(trial.gradients([probes.unaligned(g) for g in zeros], frozen)))
            parts.append(list(trial.gradients(constant, trial.args)))
    except OperatorError:
        return False
    if not all(_same(a, b) for a, b in zip([*args, *gy], kept, strict=True) if isinstance(a, np.ndarray)):
        return False
    ulps = trial.policy.ulps * trial.eps
    for y, was in zip(again, outputs, strict=True):
        if y.shape != was.shape:
            return False
        if room is None and was.dtype.kind == "f" and compare(y, was, ulps * _largest(was), "") is not None:
            return False
    largest = max((_largest(g) for g in pair.gy if g.dtype.kind == "f"), default=0.0)
    for i in trial.wanted:
        sizes = largest + sum(_largest(part[i]) for part in parts)
        allowed = ulps * sizes if room is None else 2 * room[i] + ulps * sizes
        if compare(np.sum([part[i] for part in parts], axis=0), pair.gradients[i], allowed, "") is not None:
            return False
    return True


def _scaled(g: Array, factor: float) -> Array:
    """The array times a power of two, in its own dtype; an integer array as it is."""
    return np.asarray(g * g.dtype.type(factor)) if g.dtype.kind == "f" else g


def _parts(trial: Trial, gy: Sequence[Array]) -> tuple[list[Array], list[Array], list[Array]]:
    """gy as a sum of three: half of its elements and zeros; a small constant, broadcast; and what is left."""
    rng = probes.stream(trial.seed, "parts")
    zeros, constant, rest = [], [], []
    for g in gy:
        kept = rng.random(g.shape) < 0.5
        small = np.broadcast_to(np.array(_SMALL if g.dtype.kind == "f" else 0, g.dtype), g.shape)
        zeros.append(np.where(kept, g, 0).astype(g.dtype))
        constant.append(small)
        rest.append(np.asarray(np.where(kept, 0, g) - small, g.dtype))
    return zeros, constant, rest


def _largest(a: Array) -> float:
    return float(np.max(np.abs(a), initial=0.0))


def _floating(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


def _linear_in_cotangent(trial: Trial, pair: Pair) -> list[Finding]:
    """vjp(0) = 0, vjp(c gy) = c vjp(gy), and the gradients of parts add up to that of the whole."""
    zero = trial.gradients([np.zeros_like(g) for g in pair.gy], trial.args)
    for i in trial.wanted:
        if np.any(zero[i] != 0):
            reason = f"a zero cotangent gives a gradient of {zero[i].ravel()[np.argmax(zero[i] != 0)]:.6g}, not 0"
            return [_fail(trial, reason, i)]
    room = trial.rounding(pair.gy, pair.gradients)
    for factor in (-2.0, _LARGE, _SMALL):
        got = trial.gradients([_scaled(g, factor) for g in pair.gy], trial.args)
        sides = f"got is vjp({factor:g} gy) / {factor:g}, expected is vjp(gy); both are the operator's"
        found = _differing(trial, [_scaled(got[i], 1 / factor) for i in trial.wanted], pair, room, sides)
        if found:
            return found
    zeros, constant, _ = _parts(trial, pair.gy)
    for what, part in (("some elements zero", zeros), ("all of one value", constant)):
        first = trial.gradients([p.copy() for p in part], trial.args)
        second = trial.gradients([g - p for g, p in zip(pair.gy, part, strict=True)], trial.args)
        sides = f"got is vjp(a) + vjp(gy - a), where a has {what}, expected is vjp(gy); both are the operator's"
        twice = {i: 2 * r for i, r in room.items()}
        found = _differing(trial, [first[i] + second[i] for i in trial.wanted], pair, twice, sides)
        if found:
            return found
    return []


def _differing(trial: Trial, got: Sequence[Array], pair: Pair, room: Mapping[int, float], sides: str) -> list[Finding]:
    findings = []
    for i, g in zip(trial.wanted, got, strict=True):
        mismatch = compare(g, pair.gradients[i], room[i], sides)
        if mismatch:
            findings.append(_fail(trial, "the vjp is not linear in its cotangent", i, mismatch=mismatch))
    return findings


def _laid_out(trial: Trial, pair: Pair) -> list[Finding]:
    """Layout by layout: the results depend on the values of the arguments, not on their strides."""
    findings = []
    gy, room = pair.gy, trial.rounding(pair.gy, pair.gradients)
    laid_gy = [probes.layouts(g) for g in gy]
    laid_args = [probes.layouts(a) if i in trial.wanted else [] for i, a in enumerate(trial.args)]
    names = dict.fromkeys(name for variants in (*laid_gy, *laid_args) for name, _ in variants)
    for name in names:
        new_gy = [dict(v).get(name, g) for v, g in zip(laid_gy, gy, strict=True)]
        new_args = [dict(v).get(name, a) for v, a in zip(laid_args, trial.args, strict=True)]
        findings += _same_outputs(trial, new_args, f"{name} arrays")
        findings += _same_gradients(trial, pair.gradients, new_gy, new_args, room, f"{name} arrays")
        findings += _layout_kept(trial, new_gy, new_args, gy, name)
    unaligned = [probes.unaligned(g) for g in gy]
    findings += _same_gradients(trial, pair.gradients, unaligned, trial.args, room, "unaligned arrays")
    _, constant, _ = _parts(trial, gy)
    plain = trial.gradients([g.copy() for g in constant], trial.args)
    what = "a cotangent broadcast from one number"
    return findings + _same_gradients(trial, plain, constant, trial.args, room, what)


def _same_outputs(trial: Trial, args: Sequence[Any], what: str) -> list[Finding]:
    sides = f"both are the operator's: got is with {what}, expected with contiguous ones of the same values"
    try:
        outputs = trial.apply(args)
    except OperatorError as error:
        return [_fail(trial, f"with {what}: {error}", argument="forward")]
    findings = []
    moved = trial.apply([probes.nudge(probes.stream(trial.seed, "rounding"), a, trial.eps) for a in trial.args])
    for y, was, near in zip(outputs, trial.outputs, moved, strict=True):
        if was.dtype.kind == "f":
            room = 32 * _largest(near - was) + trial.policy.ulps * trial.eps * _largest(was)
            mismatch = compare(y, was, room, sides)
            if mismatch:
                findings.append(_fail(trial, f"{what} change the output", argument="forward", mismatch=mismatch))
    return findings


def _same_gradients(
    trial: Trial,
    expected: Sequence[Any],
    gy: Sequence[Array],
    args: Sequence[Any],
    room: Mapping[int, float],
    what: str,
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
