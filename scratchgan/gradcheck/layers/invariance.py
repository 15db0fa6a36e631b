"""What may not change a result, for the contract: strides, alignment, write protection; the scale, the zeros and the
constancy of the cotangent; what uninitialised memory holds.

Each of these is asked in one call that does it all; only where the answer differs are they asked one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import probes
from ..calls import Array, OperatorError
from ..report import Finding, Verdict, compare
from ..trial import Pair, Trial
from .another_point import call_elsewhere

NAME = "contract"


def broken(trial: Trial, reason: str, position: int | None = None, argument: str = "", **more: Any) -> Finding:
    return trial.finding(NAME, Verdict.FAIL, position, reason=reason, argument=argument, **more)


def snapshot(arrays: Sequence[Any]) -> list[Any]:
    return [a.copy() if isinstance(a, np.ndarray) else a for a in arrays]


def same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def from_new_memory(trial: Trial, kept: Sequence[Array], pair: Pair) -> list[Finding]:
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
            findings.append(broken(trial, reason, argument="forward", mismatch=mismatch))
    for i in trial.wanted:
        mismatch = compare(gradients[i], pair.gradients[i], room, sides)
        if mismatch:
            clean = compare(trial.gradients(pair.gy, trial.args)[i], pair.gradients[i], room, sides) is None
            reason = unwritten if clean else "the vjp is not deterministic, or keeps state between calls"
            findings.append(broken(trial, reason, i, mismatch=mismatch))
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


#: A scale that makes the cotangent large, and a number so small that code which takes it for zero shows.
_LARGE, _SMALL = 2.0**12, 2.0**-14


def scaled_and_laid_out(trial: Trial, outputs: Sequence[Array], pair: Pair) -> list[Finding]:
    """The vjp is linear in its cotangent whatever that looks like, and strides change nothing.

    One sum asks both, and only where it is wrong are they asked one by one.
    """
    if _all_at_once(trial, outputs, pair):
        return []
    call_elsewhere(trial)  # once more, for an operator that keeps state
    found = from_new_memory(trial, outputs, pair) or _laid_out(trial, pair) or _linear_in_cotangent(trial, pair)
    if found or _all_at_once(trial, outputs, pair, trial.rounding(pair.gy, pair.gradients)):
        return found
    reason = "the gradient depends on the strides and on the scale of its cotangent, now and then or only together"
    return [broken(trial, reason)]


def _all_at_once(trial: Trial, outputs: Sequence[Array], pair: Pair, room: Mapping[int, float] | None = None) -> bool:
    """Whether the cotangent's parts, as unlike each other as can be, have gradients that add up to the whole's.

    One is large and has awkward strides, as the arguments then have; one has zeros, Fortran order and no alignment,
    with read-only arguments; one is a small number, broadcast.
    room: how far rounding may move each gradient, where that is more than its size suggests.
    """
    args = [probes.awkward(a) if _floating(a) else a for a in trial.args]
    zeros, constant, rest = _parts(trial, pair.gy)
    scale = -_LARGE if trial.dtype.itemsize >= 4 else -2.0
    gy = [probes.awkward(_scaled(g, scale)) for g in rest]
    kept = snapshot([*args, *gy])
    try:
        again, gradients = _from_poison(trial, outputs, gy, args, pair.gradients)
        parts = [[_scaled(g, 1 / scale) if i in trial.wanted else g for i, g in enumerate(gradients)]]
        frozen = [probes.frozen_fortran(a) if _floating(a) else a for a in trial.args]
        parts.append(list(trial.gradients([probes.unaligned(g) for g in zeros], frozen)))
        parts.append(list(trial.gradients(constant, trial.args)))
    except OperatorError:
        return False
    if not all(same(a, b) for a, b in zip([*args, *gy], kept, strict=True) if isinstance(a, np.ndarray)):
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
            return [broken(trial, reason, i)]
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
            findings.append(broken(trial, "the vjp is not linear in its cotangent", i, mismatch=mismatch))
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
        return [broken(trial, f"with {what}: {error}", argument="forward")]
    findings = []
    moved = trial.apply([probes.nudge(probes.stream(trial.seed, "rounding"), a, trial.eps) for a in trial.args])
    for y, was, near in zip(outputs, trial.outputs, moved, strict=True):
        if was.dtype.kind == "f":
            room = 32 * _largest(near - was) + trial.policy.ulps * trial.eps * _largest(was)
            mismatch = compare(y, was, room, sides)
            if mismatch:
                findings.append(broken(trial, f"{what} change the output", argument="forward", mismatch=mismatch))
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
        return [broken(trial, f"with {what}: {error}", argument="vjp")]
    sides = f"both are the operator's: got is with {what}, expected with contiguous ones of the same values"
    findings = []
    for i in trial.wanted:
        mismatch = compare(gradients[i], expected[i], room[i], sides)
        if mismatch:
            findings.append(broken(trial, f"{what} change the gradient", i, mismatch=mismatch))
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
        if isinstance(now, np.ndarray) and not same(now, was)
    ]
    return [broken(trial, f"{label} was changed in place when {name}", argument=label) for label in changed]
