"""Layers 2 and 3: <A v, gy> = <v, A^T gy>, for arguments in which the forward is linear (or affine).

The identity needs two calls where finite differences need one per element, and no step. On small integers it
needs no tolerance either: sums and products of integers are exact in floating point, in any order, as long as
the sum of the magnitudes stays under 2^24 (float32) or 2^53 (float64). So every wrong, missing or misplaced term
shows, and so does every difference between two machines. What integers cannot show (a scale of 1 + 1e-4, a
float32 in the middle) the same identity shows on full mantissas, to about 64 units in the last place.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import probes
from .locate import locate
from .report import Finding, Verdict
from .trial import Trial, inner, magnitude

Array = NDArray[Any]
EXACT, RANDOM = "exact adjoint", "random adjoint"

#: Weights such as those of a 2x bilinear interpolation are multiples of a small power of two.
_DYADIC_BITS = (0, 4, 8, 12)


@dataclass(frozen=True)
class _Probe:
    """The linear part of the forward in one argument, and a cotangent, with everything else held."""

    trial: Trial
    position: int
    args: list[Any]
    gy: list[Array]

    def at(self, value: Array) -> tuple[Array, ...]:
        return self.trial.apply(self.trial.replaced(self.position, value, self.args))

    def linear_part(self, v: Array, base: Array) -> list[Array]:
        """F(base + v) - F(base): the affine part cancels."""
        return [p - q for p, q in zip(self.at(base + v), self.at(base), strict=True)]

    @functools.cached_property
    def outputs(self) -> tuple[Array, ...]:
        return self.at(self.args[self.position])

    @functools.cached_property
    def gradient(self) -> Array:
        return self.trial.gradients(self.gy, self.args)[self.position]

    def part(self) -> tuple[list[Array], tuple[Array, ...]]:
        """The linear part at the drawn argument, and the constant part."""
        constant = self.at(np.zeros_like(self.args[self.position]))
        return [p - q for p, q in zip(self.outputs, constant, strict=True)], constant


def run_exact(trial: Trial) -> list[Finding]:
    """Bitwise, on integers, in the dtype of the arguments."""
    if not trial.linear:
        return trial.skip(EXACT, "no argument is declared linear_in")
    if not any(y.size for y in trial.outputs):
        return trial.skip(EXACT, "the output is empty")
    findings: list[Finding] = []
    for position in trial.linear:
        findings += _exact_for(trial, position)
    return findings


def _exact_for(trial: Trial, position: int) -> list[Finding]:
    rng = probes.stream(trial.seed, EXACT, str(position))
    for count in range(trial.policy.probes):
        drawn = _integer_probe(trial, position, rng)
        if isinstance(drawn, str):
            return trial.skip(EXACT, f"{trial.names[position]}: {drawn}")
        probe, v = drawn
        zero = np.zeros_like(v)
        part, _ = probe.part()
        if count == 0:
            base = probes.integers(rng, v.shape, (1, 3), v.dtype)
            elsewhere = probe.linear_part(v, base)
            drift, size = _drift(part, elsewhere)
            if 0 < drift <= trial.policy.ulps * trial.eps * size:
                return trial.skip(EXACT, f"{trial.names[position]}: its coefficients are not dyadic")
            if drift:
                return [_not_linear(trial, EXACT, position)]
        gradient = probe.gradient
        if inner(part, probe.gy) == inner([v], [gradient]):
            continue

        def directional(w: Array, probe: _Probe = probe, zero: Array = zero) -> float:
            return inner(probe.linear_part(w, zero), probe.gy)

        room = trial.policy.ulps * trial.eps * float(np.max(np.abs(gradient), initial=0.0))
        mismatch = locate(
            directional,
            gradient,
            np.ones_like(v),
            tolerance=0.0,
            limit=trial.policy.locate_limit,
            sides="got is the vjp (analytic), expected is the forward on unit vectors (numeric, exact)",
        )
        if mismatch is None or abs(mismatch.got - mismatch.expected) <= room:
            reason = f"{trial.names[position]}: equal but for rounding: the operator does not add plain products"
            return trial.skip(EXACT, reason)
        reason = "<A v, gy> differs from <v, A^T gy> on integers"
        return [trial.finding(EXACT, Verdict.FAIL, position, reason=reason, mismatch=mismatch)]
    return [trial.finding(EXACT, Verdict.PASS, position, comparisons=trial.policy.probes)]


def _drift(part: list[Array], elsewhere: list[Array]) -> tuple[float, float]:
    """How far the linear parts taken from two points are apart, and how large they are; an affine map has one."""
    apart = max(float(np.max(np.abs(p - q), initial=0.0)) for p, q in zip(part, elsewhere, strict=True))
    return apart, max(float(np.max(np.abs(p), initial=0.0)) for p in (*part, *elsewhere))


def _not_linear(trial: Trial, layer: str, position: int) -> Finding:
    reason = f"declared linear_in {trial.names[position]}, but F(u + v) - F(u) differs from F(v) - F(0)"
    return trial.finding(layer, Verdict.FAIL, reason=reason, argument="forward")


def _integer_probe(trial: Trial, position: int, rng: np.random.Generator) -> tuple[_Probe, Array] | str:
    """Integers as large as the mantissa allows, or why there are none."""
    reason = ""
    for span in probes.INTEGER_RANGES:

        def draw(shape: tuple[int, ...], dtype: Any, span: tuple[int, int] = span) -> Array:
            return probes.integers(rng, shape, span, dtype)

        args = list(trial.args)
        for i in trial.linear:
            args[i] = draw(args[i].shape, args[i].dtype)
        probe = _Probe(trial, position, args, trial.cotangents(draw))
        bits = _dyadic(probe.outputs)
        if bits is None:
            reason = "its coefficients are not dyadic, so no data make it exact"
            break
        mantissa = np.finfo(trial.dtype).nmant + 1
        if _sum_of_magnitudes(probe) < 2.0 ** (mantissa - bits):
            return probe, args[position]
        reason = f"the sums are too long to stay exact in {trial.dtype}"
    return reason


def _dyadic(outputs: tuple[Array, ...]) -> int | None:
    """The least k of `_DYADIC_BITS` for which every output is a multiple of 2^-k."""
    for bits in _DYADIC_BITS:
        scaled = [np.ldexp(y.astype(np.float64), bits) for y in outputs if y.dtype.kind == "f"]
        if all(np.array_equal(s, np.rint(s)) for s in scaled):
            return bits
    return None


def _sum_of_magnitudes(probe: _Probe) -> float:
    """An upper estimate of the largest sum of |terms| inside the forward or the vjp.

    Where all coefficients have one sign the forward of the magnitudes is that sum. Where they have not, the
    terms may cancel in it, so it is also bounded through sqrt(n) times the largest signed sum.
    """
    trial, position = probe.trial, probe.position
    absolute = [np.abs(a) if i in trial.linear else a for i, a in enumerate(probe.args)]
    one_sign = max((float(np.max(np.abs(y), initial=0.0)) for y in trial.apply(absolute)), default=0.0)
    signed = max((float(np.max(np.abs(y), initial=0.0)) for y in probe.outputs), default=0.0)
    gradient = float(np.max(np.abs(probe.gradient), initial=0.0))
    n_in, n_out = probe.args[position].size, max(y.size for y in probe.outputs)
    return float(max(one_sign, 2 * np.sqrt(n_in) * signed, 2 * np.sqrt(n_out) * gradient))


def run_random(trial: Trial) -> list[Finding]:
    """The same identity on full mantissas, in float64 where the operator has it; and J v against J^T gy."""
    wide = trial.wide
    if not any(y.size for y in wide.outputs):
        return trial.skip(RANDOM, "the output is empty")
    if not wide.linear and trial.op.jvp is None:
        return trial.skip(RANDOM, "no argument is declared linear_in, and there is no jvp")
    findings: list[Finding] = []
    for position in wide.linear:
        findings += _random_for(wide, position)
    if trial.op.jvp is not None:
        findings += _forward_mode(wide)
    return findings


def _random_for(trial: Trial, position: int) -> list[Finding]:
    rng = probes.stream(trial.seed, RANDOM, str(position))
    for _ in range(trial.policy.probes):
        args = list(trial.args)
        for i in trial.linear:
            args[i] = probes.probe(rng, args[i].shape, args[i].dtype)
        probe = _Probe(trial, position, args, trial.cotangents(functools.partial(probes.probe, rng)))
        v = args[position]
        zero = np.zeros_like(v)
        part, constant = probe.part()
        gradient = probe.gradient
        scale = max(magnitude(part, probe.gy) + magnitude(constant, probe.gy), magnitude([v], [gradient]))
        error = abs(inner(part, probe.gy) - inner([v], [gradient]))
        room = trial.policy.ulps * trial.eps * scale
        if error <= room or error <= room + trial.policy.ulps * _conditioning(probe, part, gradient, rng):
            continue

        def directional(w: Array, probe: _Probe = probe, zero: Array = zero) -> float:
            return inner(probe.linear_part(w, zero), probe.gy)

        base = probes.probe(rng, v.shape, v.dtype)
        drift, size = _drift(part, probe.linear_part(v, base))
        if drift > 1e3 * trial.policy.ulps * trial.eps * size:
            return [_not_linear(trial, RANDOM, position)]
        reason = f"<A v, gy> differs from <v, A^T gy> by more than {trial.policy.ulps:g} ulp"
        return [_located(trial, position, directional, gradient, np.ones_like(v), reason, "forward on unit vectors")]
    return [trial.finding(RANDOM, Verdict.PASS, position, comparisons=trial.policy.probes)]


def _conditioning(probe: _Probe, part: list[Array], gradient: Array, rng: np.random.Generator) -> float:
    """How far both sides of the identity move when everything that goes in moves by one rounding.

    Where large terms cancel inside, that is more than the size of what comes out would suggest.
    """
    trial, position = probe.trial, probe.position
    args = [probes.nudge(rng, a, trial.eps) for a in probe.args]
    moved = _Probe(trial, position, args, [probes.nudge(rng, g, trial.eps) for g in probe.gy])
    return abs(inner(moved.part()[0], moved.gy) - inner(part, probe.gy)) + abs(
        inner([args[position]], [moved.gradient]) - inner([probe.args[position]], [gradient])
    )


def _forward_mode(trial: Trial) -> list[Finding]:
    """<jvp(v), gy> = <v, vjp(gy)>: both are exact derivatives, so they agree to rounding."""
    findings = []
    rng = probes.stream(trial.seed, RANDOM, "jvp")
    gy = trial.cotangents(functools.partial(probes.probe, rng))
    gradients = trial.gradients(gy, trial.args)
    for position in trial.wanted:

        def directional(v: Array, position: int = position) -> float:
            return inner(tangent(trial, position, v), gy)

        v = probes.probe(rng, trial.args[position].shape, trial.args[position].dtype)
        forward = tangent(trial, position, v)
        scale = max(magnitude(forward, gy), magnitude([v], [gradients[position]]))
        error = abs(inner(forward, gy) - inner([v], [gradients[position]]))
        if error <= trial.policy.ulps * trial.eps * scale:
            findings.append(trial.finding(RANDOM, Verdict.PASS, position))
        else:
            reason = "jvp and vjp are not each other's transpose"
            ones = np.ones_like(v)
            findings.append(_located(trial, position, directional, gradients[position], ones, reason, "the jvp"))
    return findings


def tangent(trial: Trial, position: int, v: Array) -> tuple[Array, ...]:
    """The jvp along `v` in one argument, zero in the others."""
    from .op import OperatorError, as_outputs

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
    return trial.finding(RANDOM, Verdict.FAIL, position, reason=reason, mismatch=mismatch)
