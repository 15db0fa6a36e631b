"""Layers that act on each element alone. None has parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..tensor import Tensor
from .module import Module


def checked_slope(layer: Module, negative_slope: float) -> float:
    """Return the slope of an activation that ``layer`` has in its own pass; ValueError unless it is at least 0."""
    if not negative_slope >= 0:
        raise ValueError(f"{type(layer).__name__}: negative_slope must be at least 0, got {negative_slope}")
    return negative_slope


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Any) -> Tensor:
        return ops.relu(x)


class LeakyReLU(Module):
    """x where x > 0, negative_slope * x elsewhere."""

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Tensor:
        return ops.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Any) -> Tensor:
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Any) -> Tensor:
        return ops.sigmoid(x)


class Softplus(Module):
    """log(1 + exp(x))."""

    def forward(self, x: Any) -> Tensor:
        return ops.softplus(x)


class Dropout(Module):
    """In training, zeroes each element with probability ``p`` and scales the rest by 1/(1-p); in evaluation, x itself.

    The random numbers come from ``generator``, which is not part of the state dict: who hands it over saves it.
    Source: N. Srivastava et al., "Dropout", 2014.
    """

    def __init__(self, p: float = 0.5, *, generator: np.random.Generator):
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p must be in [0, 1), got {p}")
        self.p, self.generator = p, generator

    def forward(self, x: Any) -> Tensor:
        return ops.dropout(x, self.p, self.generator, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
