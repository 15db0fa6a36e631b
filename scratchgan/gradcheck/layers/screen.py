"""The screen of `Policy.quick()`: every question in six calls, for operators that are right.

The layers ask one thing at a time, so that a failure can be named; that takes some thirty calls. Most operators are
right, and to see that, one equation is enough:

    <f(x + s) - f(x - s), gy> / 2  =  <s, vjp(gy)>                                                          (1)

with all arguments moved at once along one random s, and gy a sum of three cotangents that are as unlike each other as
can be. Whatever may not change a result is changed in these calls:

    f(x - s)         C order, read-only
    vjp(zero)        worst strides and gaps of NaN; x reversed, with zeros in it: the answer is zero, whatever the point
    vjp(all ones)    in the arrays of f(x - s), refilled with x
    vjp(the rest)    in the arrays of vjp(zero), refilled with x; its cotangent is strided and read-only, scaled by
                     -2^12, with zeros at the ends of rows; uninitialised memory is full of NaN
    f(x + s)         the same arrays and memory again
    vjp(2^-14 once)  one element is not zero; the arguments as they were given, or channels-last if that is in C order

If an operator assumes contiguity, reads memory that it never wrote, keeps state, is not linear in gy, or has a wrong
derivative, the sides of (1) are far apart: they agree to rounding where f is linear or bilinear, and to 2^-28 of the
gradient where it is not. What arrays were handed in and handed out is compared bit by bit at the end.

The screen only acquits. Where it does not, the layers are asked, and theirs is the verdict; so it can raise no alarm of
its own, but for an operator that it does not acquit and then does. What it does not ask: see docs/gradcheck.md.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import probes
from ..calls import Array, OperatorError, as_outputs
from ..report import Verdict
from ..trial import Trial, apart, dot, restore
from .oracle import room_for
from .random_adjoint import forward_mode

NAME = "screen"

#: Step of a forward that is not linear, relative to the typical argument; and what the sides of (1) must agree to, in
#: units of the gradient: where f is tame, the error of a central difference is about h^2 + eps / h, 1e-10.
_STEP, _AGREE = 2.0**-17, 2.0**-28
#: What scales the rest of the cotangent, and its one element: powers of two, so that the gradient scales back exactly.
_LARGE, _SMALL = -(2.0**12), 2.0**-14
#: The bits of a float64 mantissa that a float32 does not have.
_BELOW_SINGLE = np.int64((1 << 29) - 1)


def acquits(trial: Trial) -> bool:
    """Whether a trial in float64 is right as far as a few calls can tell; False is no verdict."""
    if any(trial.args[i].dtype != np.float64 or not trial.args[i].size for i in trial.wanted):
        return False
    before = [a.copy() if isinstance(a, np.ndarray) else None for a in trial.args]
    try:
        pair = _equation_holds(trial)
        if (
            pair is not None
            and _kinks_hold(trial)
            and (trial.op.jvp is None or all(f.verdict is Verdict.PASS for f in forward_mode(trial)))
        ):
            trial.note_pair(*pair)  # the second order begins with a cotangent and its gradients
            return True
    except OperatorError:
        pass  # the layers will say what it was
    restore(trial.args, before)  # they are asked at the same arguments, whatever was written into these
    return False


def steady(trial: Trial, times: int = 6) -> bool:
    """Whether the same call of the vjp has the same gradients several times in a row: what fails every third or fourth
    time can fall between the layers' questions."""
    try:
        runs = [trial.gradients([g.copy() for g in trial.pair(0).gy], trial.args) for _ in range(times)]
    except OperatorError:
        return False
    room = trial.policy.nondet_tol
    kept = [[np.array(run[i]) for i in trial.wanted] for run in runs]
    return all(np.all(np.abs(a - b) <= room) for run in kept for a, b in zip(run, kept[0], strict=True))


def agrees(trial: Trial, gys: Sequence[Array], gradients: Sequence[Any]) -> bool:
    """Equation (1) alone, for a cotangent whose gradients are known: two calls of the forward."""
    linear = _of_degree_two(trial)
    steps, above, below = _moved(trial, 1.0 if linear else _STEP)
    up, down = trial.apply(_with(trial, above)), trial.apply(_with(trial, below))
    return _agree(trial, linear, (steps, [gradients[i] for i in trial.wanted]), (up, down, gys))


def _of_degree_two(trial: Trial) -> bool:
    """Linear or bilinear in all that moves: there a central difference is exact."""
    return trial.linear == trial.wanted and len(trial.wanted) <= 2


def _equation_holds(trial: Trial) -> tuple[list[Array], list[Any]] | None:
    """The cotangent and its gradients, if (1) holds and nothing else is wrong either."""
    wanted, given = trial.wanted, [a for a in trial.args if isinstance(a, np.ndarray)]
    xs = [trial.args[i] for i in wanted]
    held = [a.tobytes() for a in given]
    linear = _of_degree_two(trial)
    steps, above, below = _moved(trial, 1.0 if linear else _STEP)

    plain = [np.array(b, order="C") for b in below]
    frozen = _with(trial, [_read_only(a) for a in plain])
    down = trial.apply(frozen)
    first = [y.tobytes() for y in down]
    if not all(y.size for y in down) or not any(y.dtype == np.float64 for y in down):
        return None
    if any(y.dtype.kind == "f" and y.dtype != np.float64 for y in down):
        return None

    ones = [np.full(y.shape, y.dtype.kind == "f", y.dtype) for y in down]
    strided = [probes.awkward(z) for z in _with_zeros(trial, xs)]
    worst = _with(trial, strided)
    of_nothing = trial.gradients([np.zeros_like(g) for g in ones], worst)
    if any(of_nothing[i].any() for i in wanted):
        return None

    _fill(plain, xs)
    of_ones = trial.gradients(ones, frozen)
    second = [of_ones[i].tobytes() for i in wanted]

    _fill(strided, xs)
    rest = _cotangents(trial.seed, down)
    large = [_read_only(probes.awkward(g * _LARGE)) for g in rest]
    with probes.poisoned_allocations([(a.shape, a.dtype) for a in (*down, *below)]):
        of_rest = trial.gradients(large, worst)
        unchanged = all(_same(a, x) for a, x in zip(strided, xs, strict=True))
        _fill(strided, above)
        up = trial.apply(worst)

    gys = [np.asarray(r + 1) if r.dtype.kind == "f" else r for r in rest]
    gradients = [np.asarray(of_ones[i] + of_rest[i] / _LARGE) for i in wanted]
    once = _one_element(trial.seed, down)
    of_once = trial.gradients(once, _with(trial, [_in_another_order(x) for x in xs]))
    gys = [np.asarray(g + o / _SMALL) if g.dtype.kind == "f" else g for g, o in zip(gys, once, strict=True)]
    gradients = [np.asarray(g + of_once[i] / _SMALL) for g, i in zip(gradients, wanted, strict=True)]
    holds = (
        unchanged
        and _agree(trial, linear, (steps, gradients), (up, down, gys))
        and all((of_rest[i].dtype, of_ones[i].dtype) == (np.float64, np.float64) for i in wanted)
        and all(_full_mantissas(of_rest[i]) for i in wanted)
        and [a.tobytes() for a in given] == held
        and [y.tobytes() for y in down] == first
        and [of_ones[i].tobytes() for i in wanted] == second
        and all(_same(a, x) for a, x in zip(plain, xs, strict=True))
        and all(_same(a, b) for a, b in zip(strided, above, strict=True))
        and all((g == (g.dtype.kind == "f")).all() for g in ones)
        and all(_same(g, r * _LARGE) for g, r in zip(large, rest, strict=True))
        and (trial.op.may_alias or _apart(trial, frozen, down, ones, of_ones))
        and _reference_agrees(trial, above, up)
    )
    return (gys, _with(trial, gradients)) if holds else None


def _fill(arrays: Sequence[Array], values: Sequence[Array]) -> None:
    """New numbers in the same arrays: what an operator kept of the old ones, under their identity, is stale."""
    for a, v in zip(arrays, values, strict=True):
        a[...] = v


def _with_zeros(trial: Trial, values: Sequence[Array]) -> list[Array]:
    """The values in reverse order; in the middle of those that have numbers on both sides of zero, and no declared kink
    there, a zero."""
    kinks = trial.op.kinks
    out = []
    for v in values:
        z = v.ravel()[::-1].copy()
        if z.size > 1 and not (kinks and (kinks.ties or 0.0 in kinks.at)) and np.min(z) < 0 < np.max(z):
            z[z.size // 2] = 0
        out.append(z.reshape(v.shape))
    return out


def _in_another_order(x: Array) -> Array:
    return probes.channels_last(x) if x.flags.c_contiguous else x


def _one_element(seed: int, outputs: Sequence[Array]) -> list[Array]:
    """Zero but for one element, which is small."""
    places = [k for k, y in enumerate(outputs) if y.dtype.kind == "f"]
    once = [np.zeros(y.shape, y.dtype) for y in outputs]
    chosen = once[places[seed % len(places)]]
    chosen.reshape(-1)[(seed + 1) % chosen.size] = _SMALL
    return once


def _moved(trial: Trial, relative: float) -> tuple[list[Array], list[Array], list[Array]]:
    """Per argument: the step that was really taken, half of (x + s) - (x - s); x + s; and x - s."""
    args = [trial.args[i] for i in trial.wanted]
    random = _random(trial.seed, sum(a.size for a in args))[0]
    steps, above, below, start = [], [], [], 0
    for x in args:
        step = random[start : start + x.size].reshape(x.shape) * (relative * typical(x))
        start += x.size
        up, down = np.asarray(x + step), np.asarray(x - step)
        steps.append((up - down) / 2)
        above.append(up)
        below.append(down)
    return steps, above, below


def typical(x: Array) -> float:
    """A power of two near the size of the elements; one if all are zero."""
    flat = x.ravel()
    mantissa, exponent = math.frexp(math.sqrt(dot(flat, flat) / max(x.size, 1)))
    return 2.0**exponent if mantissa else 1.0


def _with(trial: Trial, values: Sequence[Array]) -> list[Any]:
    """The arguments with other values for those that are differentiated."""
    out = list(trial.args)
    for i, value in zip(trial.wanted, values, strict=True):
        out[i] = value
    return out


def _read_only(a: Array) -> Array:
    a = a[...]
    a.flags.writeable = False
    return a


def _cotangents(seed: int, outputs: Sequence[Array]) -> list[Array]:
    """A probe per output, zero at the ends of its rows; no cotangent for what is not floating."""
    random = _random(seed, sum(y.size for y in outputs))[1]
    out, start = [], 0
    for y in outputs:
        drawn = random[start : start + y.size].reshape(y.shape)
        out.append(probes.sparse_rows(drawn) if y.dtype.kind == "f" else np.zeros(y.shape, y.dtype))
        start += y.size
    return out


def _random(seed: int, size: int) -> tuple[Array, Array]:
    """At least `size` probes, for arguments; and as many others, for cotangents."""
    return _drawn(seed, max(size, 1024).bit_length())


@functools.lru_cache(64)
def _drawn(seed: int, bits: int) -> tuple[Array, Array]:
    rng = probes.stream(seed, NAME)
    arguments, cotangents = probes.probe(rng, (2**bits,)), probes.probe(rng, (2**bits,))
    for a in (arguments, cotangents):
        a.flags.writeable = False
    return arguments, cotangents


def _agree(
    trial: Trial,
    linear: bool,
    claimed: tuple[Sequence[Array], Sequence[Array]],
    measured: tuple[Sequence[Array], Sequence[Array], Sequence[Array]],
) -> bool:
    """Equation (1). Where the forward is linear the room is rounding, as in the random adjoint; elsewhere it is a share
    of the smallest argument's part, so that no argument hides behind another. NaN agrees with nothing."""
    products = [np.multiply(s, g).ravel() for s, g in zip(*claimed, strict=True)]
    vjp_side = sum(float(p.sum()) for p in products)
    floating = [(u, d, g) for u, d, g in zip(*measured, strict=True) if u.dtype.kind == "f"]
    forward_side = sum(_dot(u - d, g) for u, d, g in floating) / 2
    if linear:
        terms = sum(_dot(np.abs(u) + np.abs(d), np.abs(g)) for u, d, g in floating)
        room = trial.policy.ulps * trial.eps * (terms / 2 + sum(float(np.abs(p).sum()) for p in products))
    else:
        room = _AGREE * math.sqrt(min((n for n in (dot(p, p) for p in products) if n != 0), default=0.0))
        if room == 0:  # a slope of zero, or one that is rounded away
            return False
    return abs(forward_side - vjp_side) <= room < math.inf


def _full_mantissas(g: Array) -> bool:
    """A float32 in disguise has zeros in the mantissa's last bits; so has a gradient that is zero."""
    return bool((g.view(np.int64) & _BELOW_SINGLE).any() or not g.any())


def _dot(a: Array, b: Array) -> float:
    return dot(a.ravel(), b.ravel())


def _same(a: Array, b: Array) -> bool:
    return bool((a == b).all())


def _apart(
    trial: Trial, args: Sequence[Any], outputs: Sequence[Array], gys: Sequence[Array], gradients: Sequence[Any]
) -> bool:
    """Nothing that came out lies in memory that went in, and no two gradients in the same."""
    shared = np.may_share_memory
    if any(shared(y, a) for y in outputs for a in args if isinstance(a, np.ndarray)):
        return False
    if any(not gradients[i].flags.writeable or probes.overlaps_itself(gradients[i]) for i in trial.wanted):
        return False
    given = [*gys, *(a for a in trial.args if isinstance(a, np.ndarray))]
    for i in trial.wanted:
        if any(shared(gradients[i], a) for a in given):
            return False
        given.append(gradients[i])
    return True


def _reference_agrees(trial: Trial, args: Sequence[Array], outputs: Sequence[Array]) -> bool:
    """The forward that came from the worst strides, against the oracle."""
    if trial.op.reference is None:
        return True
    full = _with(trial, args)
    try:
        expected = as_outputs(trial.op.reference(*full, **trial.params), "reference")
    except Exception:  # the oracle's layer says what happened
        return False
    return [y.shape for y in outputs] == [r.shape for r in expected] and all(
        float(np.abs(y - r).max()) <= room_for(trial, r, full) for y, r in zip(outputs, expected, strict=True)
    )


def _kinks_hold(trial: Trial) -> bool:
    """One point full of ties or kinks. With ties, all elements move together, in which direction a maximum is smooth;
    at other kinks all move up, and the claim must be the slope on the side that the convention names."""
    kinks = trial.op.kinks
    if kinks is None:
        return True
    positions = trial.op.positions(kinks.arguments, len(trial.args)) if kinks.arguments else trial.wanted
    if len(positions) != 1 or (kinks.at and (kinks.ties or kinks.rule == "between")):
        return False
    position = positions[0]
    x = trial.args[position]
    random = _random(trial.seed, x.size)[0][: x.size].reshape(x.shape)
    planted = (random > 0).astype(x.dtype)
    step = np.full_like(x, _STEP)
    if kinks.at:
        planted = np.where(random > 0, x, np.resize(kinks.at, x.shape))
        step = np.abs(random) * 2.0**-10
    args = trial.replaced(position, planted)
    up, at, down = (
        trial.apply(trial.replaced(position, planted + step)),
        trial.apply(args),
        trial.apply(trial.replaced(position, planted - step)),
    )
    gys = _cotangents(trial.seed, at)
    claimed = _dot(trial.gradients(gys, args)[position], step)
    right = sum(_dot(c, g) for c, g in zip(apart(up, at), gys, strict=True))
    left = sum(_dot(c, g) for c, g in zip(apart(at, down), gys, strict=True))
    slope = {"left": left, "right": right}.get(kinks.rule, (left + right) / 2)
    return abs(slope - claimed) <= _AGREE * math.sqrt(x.size) * float(np.max(step))
