"""Layers 2 and 3: <A v, gy> = <v, A^T gy>, for arguments in which the forward is linear (or affine).

The identity needs two calls where finite differences need one per element, and no step. On small integers it
needs no tolerance either: sums and products of integers are exact in floating point, in any order, as long as
the sum of the magnitudes stays under 2^24 (float32) or 2^53 (float64). So every wrong, missing or misplaced term
shows, and so does every difference between two machines. What integers cannot show (a scale of 1 + 1e-4, a
float32 in the middle) the same identity shows on full mantissas, to about 64 units in the last place.
"""

from __future__ import annotations

import functools
import math
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
    """Arguments and a cotangent drawn for the identity: one forward and one vjp serve every linear argument."""

    trial: Trial
    args: list[Any]
    gy: list[Array]

    def at(self, position: int, value: Array) -> tuple[Array, ...]:
        return self.trial.apply(self.trial.replaced(position, value, self.args))

    def linear_part(self, position: int, v: Array, base: Array) -> list[Array]:
        """F(base + v) - F(base), in one argument while the others are held: the affine part cancels."""
        pairs = zip(self.at(position, base + v), self.at(position, base), strict=True)
        return [p - q for p, q in pairs]

    @functools.cached_property
    def outputs(self) -> tuple[Array, ...]:
        return self.trial.apply(self.args)

    @functools.cached_property
    def gradients(self) -> tuple[Any, ...]:
        return self.trial.gradients(self.gy, self.args)

    def directional(self, position: int) -> Callable[[Array], float]:
        """w -> <A w, gy>, to find the wrong elements with."""
        zero = np.zeros_like(self.args[position])
        return lambda w: inner(self.linear_part(position, w, zero), self.gy)


def run_exact(trial: Trial) -> list[Finding]:
    """Bitwise, on integers, in the dtype of the arguments."""
    if not trial.linear:
        return trial.skip(EXACT, "no argument is declared linear_in")
    if not any(y.size for y in trial.outputs):
        return trial.skip(EXACT, "the output is empty")
    rng = probes.stream(trial.seed, EXACT)
    left = list(trial.linear)
    findings: list[Finding] = []
    for _ in range(trial.policy.probes):
        probe = _integer_probe(trial, rng)
        if isinstance(probe, str):
            trial.skip(EXACT, f"{', '.join(trial.names[i] for i in left)}: {probe}")
            return findings
        for position in list(left):
            u = probe.args[position]
            # From another point than zero, so that what is no affine map (a ReLU is, from zero) shows.
            base = probes.integers(rng, u.shape, (1, 3), u.dtype)
            part = [p - q for p, q in zip(probe.outputs, probe.at(position, base), strict=True)]
            if inner(part, probe.gy) != inner([u - base], [probe.gradients[position]]):
                findings += _exact_difference(probe, position, base)
                left.remove(position)
    trial.memo["exact"] = set(left)
    findings += [trial.finding(EXACT, Verdict.PASS, i, comparisons=trial.policy.probes) for i in left]
    return findings


def _exact_difference(probe: _Probe, position: int, base: Array) -> list[Finding]:
    """The two sides differ: a wrong gradient, a wrong claim, or coefficients that are not exact."""
    trial, v, gradient = probe.trial, probe.args[position], probe.gradients[position]
    name = trial.names[position]
    drift, size = _drift(
        probe.linear_part(position, v, np.zeros_like(v)),
        probe.linear_part(position, v, base),
    )
    if 0 < drift <= trial.policy.ulps * trial.eps * size:
        return trial.skip(EXACT, f"{name}: its coefficients are not dyadic")
    if drift:
        return [_not_linear(trial, EXACT, position)]
    room = trial.policy.ulps * trial.eps * float(np.max(np.abs(gradient), initial=0.0))
    mismatch = locate(
        probe.directional(position),
        gradient,
        np.ones_like(v),
        tolerance=0.0,
        limit=trial.policy.locate_limit,
        sides="got is the vjp (analytic), expected is the forward on unit vectors (numeric, exact)",
    )
    if mismatch is None or abs(mismatch.got - mismatch.expected) <= room:
        return trial.skip(EXACT, f"{name}: equal but for rounding: the operator does not add plain products")
    reason = "<A v, gy> differs from <v, A^T gy> on integers"
    return [trial.finding(EXACT, Verdict.FAIL, position, reason=reason, mismatch=mismatch)]


def _drift(part: list[Array], elsewhere: list[Array]) -> tuple[float, float]:
    """How far the linear parts taken from two points are apart, and how large they are; an affine map has one."""
    apart = max(float(np.max(np.abs(p - q), initial=0.0)) for p, q in zip(part, elsewhere, strict=True))
    return apart, max(float(np.max(np.abs(p), initial=0.0)) for p in (*part, *elsewhere))


def _not_linear(trial: Trial, layer: str, position: int) -> Finding:
    reason = f"declared linear_in {trial.names[position]}, but F(u + v) - F(u) differs from F(v) - F(0)"
    return trial.finding(layer, Verdict.FAIL, reason=reason, argument="forward")


def _integer_probe(trial: Trial, rng: np.random.Generator) -> _Probe | str:
    """Integers as large as the mantissa allows, or why there are none."""
    reason = ""
    for span in probes.INTEGER_RANGES:

        def draw(shape: tuple[int, ...], dtype: Any, span: tuple[int, int] = span) -> Array:
            return probes.integers(rng, shape, span, dtype)

        args = list(trial.args)
        for i in trial.linear:
            args[i] = draw(args[i].shape, args[i].dtype)
        probe = _Probe(trial, args, trial.cotangents(draw))
        bits = _dyadic(probe.outputs)
        if bits is None:
            reason = "its coefficients are not dyadic, so no data make it exact"
            break
        if _stays_exact(probe, 2.0 ** (np.finfo(trial.dtype).nmant + 1 - bits)):
            return probe
        reason = f"the sums are too long to stay exact in {trial.dtype}"
    return reason


def _dyadic(outputs: tuple[Array, ...]) -> int | None:
    """The least k of `_DYADIC_BITS` for which every output is a multiple of 2^-k."""
    for bits in _DYADIC_BITS:
        scaled = [np.ldexp(y.astype(np.float64), bits) for y in outputs if y.dtype.kind == "f"]
        if all(np.array_equal(s, np.rint(s)) for s in scaled):
            return bits
    return None


def _stays_exact(probe: _Probe, limit: float) -> bool:
    """Whether the largest sum of |terms| inside the forward or the vjp stays below `limit`, by an upper estimate.

    Where all coefficients have one sign the forward of the magnitudes is that sum. Where they have not, the
    terms may cancel in it, so it is also bounded through sqrt(n) times the largest signed sum; and where that leaves
    a factor of 2^16, as it does in float64, the forward of the magnitudes is not needed.
    """
    trial = probe.trial
    signed = max((float(np.max(np.abs(y), initial=0.0)) for y in probe.outputs), default=0.0)
    gradient = max(float(np.max(np.abs(probe.gradients[i]), initial=0.0)) for i in trial.linear)
    n_in, n_out = max(probe.args[i].size for i in trial.linear), max(y.size for y in probe.outputs)
    bound = max(2 * math.sqrt(n_in) * signed, 2 * math.sqrt(n_out) * gradient)
    if not bound < limit:
        return False
    if bound * 2.0**16 < limit:
        return True
    absolute = [np.abs(a) if i in trial.linear else a for i, a in enumerate(probe.args)]
    return max((float(np.max(np.abs(y), initial=0.0)) for y in trial.apply(absolute)), default=0.0) < limit


def run_random(trial: Trial) -> list[Finding]:
    """The same identity on full mantissas, in float64 where the operator has it; and J v against J^T gy."""
    wide = trial.wide
    if not any(y.size for y in wide.outputs):
        return trial.skip(RANDOM, "the output is empty")
    if not wide.linear and trial.op.jvp is None:
        return trial.skip(RANDOM, "no argument is declared linear_in, and there is no jvp")
    findings: list[Finding] = _linear_arguments(wide)
    if trial.op.jvp is not None:
        findings += forward_mode(wide)
    return findings


def _linear_arguments(trial: Trial) -> list[Finding]:
    rng = probes.stream(trial.seed, RANDOM)
    left = list(trial.linear)
    findings: list[Finding] = []
    for _ in range(trial.policy.probes if left else 0):
        args = list(trial.args)
        for i in trial.linear:
            args[i] = probes.probe(rng, args[i].shape, args[i].dtype)
        probe = _Probe(trial, args, trial.cotangents(functools.partial(probes.probe, rng)))
        for position in list(left):
            found = _random_for(probe, position, rng)
            if found is not None:
                findings.append(found)
                left.remove(position)
        if trial.memo.get("exact") == set(trial.linear):
            break  # every element has been seen on integers, and one probe shows whether the mantissa is full
    findings += [trial.finding(RANDOM, Verdict.PASS, i, comparisons=trial.policy.probes) for i in left]
    return findings


def _random_for(probe: _Probe, position: int, rng: np.random.Generator) -> Finding | None:
    """None where the identity holds."""
    trial, v, gradient = probe.trial, probe.args[position], probe.gradients[position]
    zero = np.zeros_like(v)
    constant = probe.at(position, zero)
    part = [p - q for p, q in zip(probe.outputs, constant, strict=True)]
    scale = max(magnitude(part, probe.gy) + magnitude(constant, probe.gy), magnitude([v], [gradient]))
    error = abs(inner(part, probe.gy) - inner([v], [gradient]))
    room = trial.policy.ulps * trial.eps * scale
    if error <= room or error <= room + trial.policy.ulps * _conditioning(probe, position, part, gradient, rng):
        return None
    drift, size = _drift(part, probe.linear_part(position, v, probes.probe(rng, v.shape, v.dtype)))
    if drift > 1e3 * trial.policy.ulps * trial.eps * size:
        return _not_linear(trial, RANDOM, position)
    reason = f"<A v, gy> differs from <v, A^T gy> by more than {trial.policy.ulps:g} ulp"
    directional, unit = probe.directional(position), np.ones_like(v)
    return _located(trial, position, directional, gradient, unit, reason, "forward on unit vectors")


def _conditioning(probe: _Probe, position: int, part: list[Array], gradient: Array, rng: np.random.Generator) -> float:
    """How far both sides of the identity move when everything that goes in moves by one rounding.

    Where large terms cancel inside, that is more than the size of what comes out would suggest.
    """
    trial = probe.trial
    args = [probes.nudge(rng, a, trial.eps) for a in probe.args]
    moved = _Probe(trial, args, [probes.nudge(rng, g, trial.eps) for g in probe.gy])
    there = moved.linear_part(position, args[position], np.zeros_like(args[position]))
    return abs(inner(there, moved.gy) - inner(part, probe.gy)) + abs(
        inner([args[position]], [moved.gradients[position]]) - inner([probe.args[position]], [gradient])
    )


def forward_mode(trial: Trial) -> list[Finding]:
    """<jvp(v), gy> = <v, vjp(gy)>: both are exact derivatives, so they agree to rounding."""
    findings = []
    rng = probes.stream(trial.seed, RANDOM, "jvp")
    gy, gradients = trial.pair(0)[:2]
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
