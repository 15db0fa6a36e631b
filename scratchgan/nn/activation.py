"""Layers that act on each element alone. None has parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..ops.arguments import GENERATOR, SLOPE, layer, number, optional
from ..tensor import Tensor
from .module import Module


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Any) -> Tensor:
        return ops.relu(x)


class LeakyReLU(Module):
    """x where x > 0, negative_slope * x elsewhere."""

    @layer(negative_slope=SLOPE)
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
    """log(1 + exp(beta*x)) / beta; where beta*x is above ``threshold``, if one is given, x itself."""

    @layer(beta=number(above=0), threshold=optional(number(0)))
    def __init__(self, beta: float = 1.0, threshold: float | None = None):
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Any) -> Tensor:
        return ops.softplus(x, self.beta, self.threshold)


class Dropout(Module):
    """In training, zeroes each element with probability ``p`` and scales the rest by 1/(1-p); in evaluation, x itself.

    The random numbers come from ``generator``, which is not part of the state dict: who hands it over saves it.
    Source: N. Srivastava et al., "Dropout", 2014.
    """

    @layer(p=number(0, 1), generator=GENERATOR)
    def __init__(self, p: float = 0.5, *, generator: np.random.Generator):
        self.p, self.generator = p, generator

    def forward(self, x: Any) -> Tensor:
        return ops.dropout(x, self.p, self.generator, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
