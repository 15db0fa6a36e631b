"""What the two adjoint layers share: arguments drawn for <A v, gy> = <v, A^T gy>, one forward there and one vjp."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..calls import Array
from ..report import Finding, Verdict
from ..trial import Trial, apart, inner


@dataclass(frozen=True)
class LinearProbe:
    """Arguments and a cotangent drawn for the identity: one forward and one vjp serve every linear argument."""

    trial: Trial
    args: list[Any]
    gy: list[Array]

    def at(self, position: int, value: Array) -> tuple[Array, ...]:
        return self.trial.apply(self.trial.replaced(position, value, self.args))

    def linear_part(self, position: int, v: Array, base: Array) -> list[Array]:
        """F(base + v) - F(base), in one argument while the others are held: the affine part cancels."""
        return apart(self.at(position, base + v), self.at(position, base))

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


def drift_of(part: list[Array], elsewhere: list[Array]) -> tuple[float, float]:
    """How far the linear parts taken from two points are apart, and how large they are; an affine map has one."""
    apart = max(float(np.max(np.abs(p - q), initial=0.0)) for p, q in zip(part, elsewhere, strict=True))
    return apart, max(float(np.max(np.abs(p), initial=0.0)) for p in (*part, *elsewhere))


def not_linear(trial: Trial, layer: str, position: int) -> Finding:
    reason = f"declared linear_in {trial.names[position]}, but F(u + v) - F(u) differs from F(v) - F(0)"
    return trial.finding(layer, Verdict.FAIL, reason=reason, argument="forward")
