"""<A v, gy> = <v, A^T gy> on integers, for arguments in which the forward is linear (or affine).

The identity needs two calls where finite differences need one per element, and no step. On small integers it
needs no tolerance either: sums and products of integers are exact in floating point, in any order, as long as
the sum of the magnitudes stays under 2^24 (float32) or 2^53 (float64). So every wrong, missing or misplaced term
shows, and so does every difference between two machines.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import probes
from ..calls import Array
from ..locate import locate
from ..report import Finding, Verdict
from ..trial import Trial, apart, inner
from .layer import Layer
from .linear_probe import LinearProbe, drift_of, not_linear

NAME = "exact adjoint"

#: Weights such as those of a 2x bilinear interpolation are multiples of a small power of two.
_DYADIC_BITS = (0, 4, 8, 12)


def run(trial: Trial) -> list[Finding]:
    """Bitwise, on integers, in the dtype of the arguments."""
    if not trial.linear:
        return trial.skip(NAME, "no argument is declared linear_in")
    if not any(y.size for y in trial.outputs):
        return trial.skip(NAME, "the output is empty")
    rng = probes.stream(trial.seed, NAME)
    left = list(trial.linear)
    findings: list[Finding] = []
    for _ in range(trial.policy.probes):
        probe = _integer_probe(trial, rng)
        if isinstance(probe, str):
            trial.skip(NAME, f"{', '.join(trial.names[i] for i in left)}: {probe}")
            return findings
        for position in list(left):
            u = probe.args[position]
            # From another point than zero, so that what is no affine map (a ReLU is, from zero) shows.
            base = probes.integers(rng, u.shape, (1, 3), u.dtype)
            part = apart(probe.outputs, probe.at(position, base))
            if inner(part, probe.gy) != inner([u - base], [probe.gradients[position]]):
                findings += _exact_difference(probe, position, base)
                left.remove(position)
    trial.memo["exact"] = set(left)
    findings += [trial.finding(NAME, Verdict.PASS, i, comparisons=trial.policy.probes) for i in left]
    return findings


def _exact_difference(probe: LinearProbe, position: int, base: Array) -> list[Finding]:
    """The two sides differ: a wrong gradient, a wrong claim, or coefficients that are not exact."""
    trial, v, gradient = probe.trial, probe.args[position], probe.gradients[position]
    name = trial.names[position]
    drift, size = drift_of(
        probe.linear_part(position, v, np.zeros_like(v)),
        probe.linear_part(position, v, base),
    )
    if 0 < drift <= trial.policy.ulps * trial.eps * size:
        return trial.skip(NAME, f"{name}: its coefficients are not dyadic")
    if drift:
        return [not_linear(trial, NAME, position)]
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
        return trial.skip(NAME, f"{name}: equal but for rounding: the operator does not add plain products")
    reason = "<A v, gy> differs from <v, A^T gy> on integers"
    return [trial.finding(NAME, Verdict.FAIL, position, reason=reason, mismatch=mismatch)]


def _integer_probe(trial: Trial, rng: np.random.Generator) -> LinearProbe | str:
    """Integers as large as the mantissa allows, or why there are none."""
    reason = ""
    for span in probes.INTEGER_RANGES:

        def draw(shape: tuple[int, ...], dtype: Any, span: tuple[int, int] = span) -> Array:
            return probes.integers(rng, shape, span, dtype)

        args = list(trial.args)
        for i in trial.linear:
            args[i] = probes.like(args[i], draw(args[i].shape, args[i].dtype))
        probe = LinearProbe(trial, args, trial.cotangents(draw))
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


def _stays_exact(probe: LinearProbe, limit: float) -> bool:
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


LAYER = Layer(NAME, run)
