"""What may not change a result, for the contract: strides, alignment, write protection; the scale, the zeros and the
constancy of the cotangent; what uninitialised memory holds.

Each of these is asked in one call that does it all; only where the answer differs are they asked one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import probes
from ..calls import Array, OperatorError, floating
from ..report import Finding, Mismatch, Verdict, compare
from ..trial import Pair, Trial
from .another_point import call_elsewhere, refilled
from .cotangents import Parts, linear_in_cotangent, loose, scaled

NAME = "contract"


def broken(trial: Trial, reason: str, position: int | None = None, argument: str = "", **more: Any) -> Finding:
    return trial.finding(NAME, Verdict.FAIL, position, reason=reason, argument=argument, **more)


def snapshot(arrays: Sequence[Any]) -> list[Any]:
    return [a.copy() if isinstance(a, np.ndarray) else a for a in arrays]


def same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def from_new_memory(trial: Trial, kept: Sequence[Array], pair: Pair) -> list[Finding]:
    """The same call again, bit for bit, from new memory full of NaN, and with the arguments in arrays that held other
    numbers before; what differs is asked for once more without."""
    with refilled(trial) as args:
        again, gradients = _from_poison(trial, kept, pair.gy, args, pair.gradients)
        again, gradients = tuple(snapshot(again)), tuple(snapshot(gradients))

    def output(k: int) -> Callable[[Sequence[Any]], Array]:
        return lambda args: trial.apply(args)[k]

    def gradient(i: int) -> Callable[[Sequence[Any]], Array]:
        return lambda args: np.asarray(trial.gradients(pair.gy, args)[i])

    results: list[tuple[int | None, Array, Array, Callable[[Sequence[Any]], Array]]] = [
        (None, y, was, output(k)) for k, (y, was) in enumerate(zip(again, kept, strict=True)) if y.dtype.kind == "f"
    ]
    results += [(i, gradients[i], pair.gradients[i], gradient(i)) for i in trial.wanted]
    sides = "both are the operator's: got is the second call, expected the first, with the same arguments"
    findings = []
    for position, got, was, once_more in results:
        mismatch = compare(got, was, trial.policy.nondet_tol, sides)
        reason = _why_another(trial, position, mismatch, was, once_more) if mismatch else ""
        if reason:
            where = "forward" if position is None else ""
            findings.append(broken(trial, reason, position, where, mismatch=mismatch))
    return findings


def _why_another(
    trial: Trial, position: int | None, mismatch: Mismatch, was: Array, once_more: Callable[[Sequence[Any]], Array]
) -> str:
    """What the second call's other result comes from; "" if it is rounding, on arrays that lie otherwise."""
    what, room = "the forward" if position is None else "the vjp", trial.policy.nondet_tol
    if compare(once_more(trial.args), was, room, "") is not None:
        return f"{what} is not deterministic, or keeps state between calls"
    with refilled(trial) as args:
        clean = compare(once_more(args), was, room, "") is None
    if clean or not np.isfinite(mismatch.got):
        return "it reads memory that it never wrote"
    if abs(mismatch.got - mismatch.expected) <= trial.policy.ulps * trial.eps * _largest(was):
        return ""
    return f"{what} keeps something of an array (under its identity or address) that stays after new numbers are in it"


def _from_poison(
    trial: Trial, outputs: Sequence[Array], gy: Sequence[Array], args: Sequence[Any], gradients: Sequence[Any]
) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
    """The vjp goes first: what it needs of its arguments' forward must not come from the last call of the forward."""
    shapes = [(a.shape, a.dtype) for a in (*outputs, *(gradients[i] for i in trial.wanted)) if a.dtype.kind == "f"]
    with probes.poisoned_allocations(shapes):
        again = trial.gradients(gy, args)
    with probes.poisoned_allocations(shapes):
        return trial.apply(args), again


#: A scale that makes the cotangent large, and one so small that code which takes it for zero shows.
_LARGE, _SMALL = 2.0**12, 2.0**-14


def scaled_and_laid_out(trial: Trial, outputs: Sequence[Array], pair: Pair) -> list[Finding]:
    """The vjp is linear in its cotangent whatever that looks like, and strides change nothing.

    One sum asks both, and only where it is wrong are they asked one by one.
    """
    found = _nothing_for_nothing(trial, pair)
    if found:
        return found
    answer = _all_at_once(trial, outputs, pair)
    if not _adds_up(trial, outputs, pair, answer):
        call_elsewhere(trial)  # once more, for an operator that keeps state
        found = from_new_memory(trial, outputs, pair) or _laid_out(trial, pair) or linear_in_cotangent(trial, pair)
        if not found and not _adds_up(trial, outputs, pair, answer, trial.rounding(pair.gy, pair.gradients)):
            reason = "the gradient depends on strides and on its cotangent's scale, now and then or only together"
            found = [broken(trial, reason)]
    return found or _in_every_order(trial, pair)


def _all_at_once(
    trial: Trial, outputs: Sequence[Array], pair: Pair
) -> tuple[tuple[Array, ...], list[list[Any]]] | None:
    """The outputs from awkward arguments, and the gradients of the cotangent's parts, as unlike each other as can be.

    One part is large and has awkward strides, as the arguments then have; one is small, has zeros at the ends of rows,
    Fortran order and no alignment, with read-only arguments; one is all ones, broadcast; one is 1 in a single place.
    None where an argument was written into, or the operator raised.
    """
    args = [probes.awkward(a) if floating(a) else a for a in trial.args]
    split = Parts.of(trial, pair.gy)
    scale, small = (-_LARGE, _SMALL) if trial.dtype.itemsize >= 4 else (-2.0, 0.25)
    gy = [probes.awkward(scaled(g, scale)) for g in split.rest]
    kept = snapshot([*args, *gy])
    try:
        again, gradients = _from_poison(trial, outputs, gy, args, pair.gradients)
        parts = [[scaled(g, 1 / scale) if i in trial.wanted else g for i, g in enumerate(gradients)]]
        frozen = [probes.frozen_fortran(a) if floating(a) else a for a in trial.args]
        sparse = trial.gradients([probes.unaligned(scaled(g, small)) for g in split.sparse], frozen)
        parts.append([scaled(g, 1 / small) if i in trial.wanted else g for i, g in enumerate(sparse)])
        parts.append(list(trial.gradients(split.ones, trial.args)))
        if split.one is not None:
            parts.append(list(trial.gradients(split.one, trial.args)))
    except OperatorError:
        return None
    if not all(same(a, b) for a, b in zip([*args, *gy], kept, strict=True) if isinstance(a, np.ndarray)):
        return None
    return again, parts


def _adds_up(
    trial: Trial,
    outputs: Sequence[Array],
    pair: Pair,
    answer: tuple[tuple[Array, ...], list[list[Any]]] | None,
    room: Mapping[int, float] | None = None,
) -> bool:
    """Whether the outputs are the same and the gradients of the parts add up to the whole's.

    room: how far rounding may move each gradient, where that is more than its size suggests.
    """
    if answer is None:
        return False
    again, parts = answer
    ulps = trial.policy.ulps * trial.eps
    for y, was in zip(again, outputs, strict=True):
        if y.shape != was.shape:
            return False
        if room is None and was.dtype.kind == "f" and compare(y, was, ulps * _largest(was), "") is not None:
            return False
    largest = max((_largest(g) for g in pair.gy if g.dtype.kind == "f"), default=0.0)
    for i in trial.wanted:
        sizes = largest + sum(_largest(part[i]) for part in parts)
        allowed = ulps * sizes if room is None else 2 * room[i] + loose(trial) * ulps * sizes
        if compare(np.sum([part[i] for part in parts], axis=0), pair.gradients[i], allowed, "") is not None:
            return False
    return True


def _largest(a: Array) -> float:
    return float(np.max(np.abs(a), initial=0.0))


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
    ones = Parts.of(trial, gy).ones
    plain = trial.gradients([g.copy() for g in ones], trial.args)
    what = "a cotangent broadcast from one number"
    return findings + _same_gradients(trial, plain, ones, trial.args, room, what)


def _in_every_order(trial: Trial, pair: Pair) -> list[Finding]:
    """Every order in which the axes of three and more can lie in memory: channels-last images are one of them, and a
    kernel may take a path of its own there. Matrices have been asked in both of theirs."""
    arrays = [a for a in (*trial.args, *pair.gy) if floating(a)]
    deepest = max((a.ndim for a in arrays), default=0)
    if deepest < 3:
        return []
    plain = [] if all(a.flags.c_contiguous for a in arrays) else [tuple(range(deepest))]
    for order in [*plain, *probes.orders(deepest)]:
        args = [_reordered(a, order) if i in trial.wanted else a for i, a in enumerate(trial.args)]
        gy = [_reordered(g, order) for g in pair.gy]
        outputs, gradients = trial.apply(args), trial.gradients(gy, args)
        if _near(trial, [*outputs, *(gradients[i] for i in trial.wanted)], pair):
            continue
        what = f"arrays whose axes lie in memory in the order {order}"
        room = trial.rounding(pair.gy, pair.gradients)
        found = _same_outputs(trial, args, what) + _same_gradients(trial, pair.gradients, gy, args, room, what)
        if found:
            return found
    return []


def _reordered(array: Array, order: tuple[int, ...]) -> Array:
    """The array in an order of memory for more axes than it may have: its own are in the same order there."""
    return probes.in_order(array, tuple(axis for axis in order if axis < array.ndim)) if array.ndim > 1 else array


def _near(trial: Trial, results: Sequence[Array], pair: Pair) -> bool:
    """Whether outputs and gradients are those of the first call, but for rounding by their size alone."""
    expected = [*trial.outputs, *(pair.gradients[i] for i in trial.wanted)]
    return all(
        was.dtype.kind != "f" or compare(got, was, trial.policy.ulps * trial.eps * _largest(was), "") is None
        for got, was in zip(results, expected, strict=True)
    )


def _nothing_for_nothing(trial: Trial, pair: Pair) -> list[Finding]:
    """A zero cotangent has a zero gradient: not None, not NaN."""
    try:
        zero = trial.gradients([np.zeros_like(g) for g in pair.gy], trial.args)
    except OperatorError as error:
        return [broken(trial, f"for a zero cotangent: {error}", argument="vjp")]
    for i in trial.wanted:
        if np.any(zero[i] != 0):
            reason = f"a zero cotangent gives a gradient of {zero[i].ravel()[np.argmax(zero[i] != 0)]:.6g}, not 0"
            return [broken(trial, reason, i)]
    return []


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
