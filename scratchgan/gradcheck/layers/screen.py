"""The screen of `Policy.quick()`: every question in four calls, for operators that are right.

The layers ask one thing at a time, so that a failure can be named; that takes some twenty calls. Most operators are
right, and to see that, one equation is enough:

    <f(x + s) - f(x - s), gy> / 2  =  <s, vjp(gy)>                                                          (1)

with all arguments moved at once along one random s, and gy a sum of two cotangents that are as unlike each other as can
be. Whatever may not change a result is changed in these four calls:

    f(x - s)              read-only
    vjp(small constant)   all of one value; the arguments as they were given; after a forward elsewhere
    f(x + s)              worst strides, gaps of NaN, uninitialised memory full of NaN
    vjp(large rest)       the same, and read-only; scaled by -2^12, an eighth of it zero; after another vjp

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
from ..trial import Trial, dot, restore
from .oracle import room_for
from .random_adjoint import forward_mode

NAME = "screen"

#: Step of a forward that is not linear, relative to the typical argument; and what the sides of (1) must agree to, in
#: units of the gradient: where f is tame, the error of a central difference is about h^2 + eps / h, 1e-10.
_STEP, _AGREE = 2.0**-17, 2.0**-28
#: The two parts of the cotangent, in powers of two: what is handed over, and what scales the gradient back.
_SMALL, _LARGE, _CONSTANT = 2.0**-14, -(2.0**12), 2.0**-2
#: The bits of a float64 mantissa that a float32 does not have.
_BELOW_SINGLE = np.int64((1 << 29) - 1)


def acquits(trial: Trial) -> bool:
    """Whether a trial in float64 is right as far as four calls can tell; False is no verdict."""
    if any(trial.args[i].dtype != np.float64 or not trial.args[i].size for i in trial.wanted):
        return False
    before = [a.copy() if isinstance(a, np.ndarray) else None for a in trial.args]
    try:
        if _equation_holds(trial) and _kinks_hold(trial):
            return trial.op.jvp is None or all(f.verdict is Verdict.PASS for f in forward_mode(trial))
    except OperatorError:
        pass  # the layers will say what it was
    restore(trial.args, before)  # they are asked at the same arguments, whatever was written into these
    return False


def agrees(trial: Trial, gys: Sequence[Array], gradients: Sequence[Any]) -> bool:
    """Equation (1) alone, for a cotangent whose gradients are known: two calls of the forward."""
    linear = _of_degree_two(trial)
    steps, above, below = _moved(trial, 1.0 if linear else _STEP)
    up, down = trial.apply(_with(trial, above)), trial.apply(_with(trial, below))
    return _agree(trial, linear, (steps, [gradients[i] for i in trial.wanted]), (up, down, gys))


def _of_degree_two(trial: Trial) -> bool:
    """Linear or bilinear in all that moves: there a central difference is exact."""
    return trial.linear == trial.wanted and len(trial.wanted) <= 2


def _equation_holds(trial: Trial) -> bool:
    wanted, given = trial.wanted, [a for a in trial.args if isinstance(a, np.ndarray)]
    held = [a.tobytes() for a in given]
    linear = _of_degree_two(trial)
    steps, above, below = _moved(trial, 1.0 if linear else _STEP)

    frozen = _with(trial, [_read_only(b) for b in below])
    down = trial.apply(frozen)
    first = [y.tobytes() for y in down]
    if not all(y.dtype == np.float64 and y.size for y in down):
        return False

    constant = [np.full(y.shape, _SMALL) for y in down]
    of_constant = trial.gradients(constant, trial.args)
    second = [of_constant[i].tobytes() for i in wanted]

    worst = _with(trial, [probes.awkward(a) for a in above])
    strided = _with(trial, [_read_only(probes.awkward(trial.args[i])) for i in wanted])
    rest = _cotangents(trial.seed, down)
    large = [_read_only(probes.awkward(g * _LARGE)) for g in rest]
    with probes.poisoned_allocations([(a.shape, a.dtype) for a in (*down, *below)]):
        up = trial.apply(worst)
        of_rest = trial.gradients(large, strided)

    gys = [np.asarray(r + _CONSTANT) for r in rest]
    gradients = [np.asarray(of_constant[i] * (_CONSTANT / _SMALL) + of_rest[i] / _LARGE) for i in wanted]
    holds = (
        _agree(trial, linear, (steps, gradients), (up, down, gys))
        and all((of_rest[i].dtype, of_constant[i].dtype) == (np.float64, np.float64) for i in wanted)
        and all(_full_mantissas(of_rest[i]) for i in wanted)
        and [a.tobytes() for a in given] == held
        and [y.tobytes() for y in down] == first
        and [of_constant[i].tobytes() for i in wanted] == second
        and all(_same(worst[i], a) for i, a in zip(wanted, above, strict=True))
        and all(_same(strided[i], trial.args[i]) for i in wanted)
        and all(_same(g, np.full(g.shape, _SMALL)) for g in constant)
        and all(_same(g, r * _LARGE) for g, r in zip(large, rest, strict=True))
        and (trial.op.may_alias or _apart(trial, frozen, down, constant, of_constant))
        and _reference_agrees(trial, above, up)
    )
    if holds:  # the second order begins with a cotangent and its gradients
        trial.note_pair(gys, _with(trial, gradients))
    return holds


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
    """A probe per output, an eighth of it zero."""
    random = _random(seed, sum(y.size for y in outputs))[1]
    out, start = [], 0
    for y in outputs:
        out.append(random[start : start + y.size].reshape(y.shape))
        start += y.size
    return out


def _random(seed: int, size: int) -> tuple[Array, Array]:
    """At least `size` probes, for arguments; and as many others, an eighth of them zero, for cotangents."""
    return _drawn(seed, max(size, 1024).bit_length())


@functools.lru_cache(64)
def _drawn(seed: int, bits: int) -> tuple[Array, Array]:
    rng = probes.stream(seed, NAME)
    arguments, cotangents = probes.probe(rng, (2**bits,)), probes.probe(rng, (2**bits,))
    cotangents[rng.random(2**bits) < 1 / 8] = 0
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
    forward_side = sum(_dot(u - d, g) for u, d, g in zip(*measured, strict=True)) / 2
    if linear:
        terms = sum(_dot(np.abs(u) + np.abs(d), np.abs(g)) for u, d, g in zip(*measured, strict=True))
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
    right = sum(_dot(u - y, g) for u, y, g in zip(up, at, gys, strict=True))
    left = sum(_dot(y - d, g) for y, d, g in zip(at, down, gys, strict=True))
    slope = {"left": left, "right": right}.get(kinks.rule, (left + right) / 2)
    return abs(slope - claimed) <= _AGREE * math.sqrt(x.size) * float(np.max(step))
