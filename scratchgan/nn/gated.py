"""Smooth and learned activations, and the norm that has no parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..ops.arguments import EPS, FLOATING, choice, integer, layer, number
from ..tensor import Tensor
from .module import Module, Parameter


class SiLU(Module):
    """x * sigmoid(x)."""

    def forward(self, x: Any) -> Tensor:
        return ops.silu(x)


class GELU(Module):
    """x times the normal distribution function at x; ``approximate`` "tanh" for the faster formula."""

    @layer(approximate=choice("none", "tanh"))
    def __init__(self, approximate: str = "none"):
        self.approximate = approximate

    def forward(self, x: Any) -> Tensor:
        return ops.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class ELU(Module):
    """x where x > 0, alpha * (exp(x) - 1) elsewhere."""

    @layer(alpha=number())
    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def forward(self, x: Any) -> Tensor:
        return ops.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class PReLU(Module):
    """x where x > 0, weight * x elsewhere; ``weight`` (num_parameters,) is learned: one number, or one a channel."""

    @layer(num_parameters=integer(1), init=number())
    def __init__(self, num_parameters: int = 1, init: float = 0.25):
        self.num_parameters = num_parameters
        self.weight = Parameter(np.full(num_parameters, init, np.float32))

    def forward(self, x: Any) -> Tensor:
        return ops.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class Hardtanh(Module):
    """x held between two bounds."""

    @layer(min_val=number(infinite=True), max_val=number(infinite=True))
    def __init__(self, min_val: float = -1.0, max_val: float = 1.0):
        if not min_val < max_val:
            raise ValueError(f"Hardtanh: min_val must be below max_val, got {min_val} and {max_val}")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x: Any) -> Tensor:
        return ops.hardtanh(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


class PixelNorm(Module):
    """x divided by the root of its mean square over the channels, at each pixel (Karras et al., 2018): (N,C,...)."""

    @layer(eps=EPS)
    def __init__(self, eps: float = 1e-8):
        self.eps = eps

    def forward(self, x: Any) -> Tensor:
        x = FLOATING.check("PixelNorm", "x", x)
        if x.ndim < 2:
            raise ValueError(f"PixelNorm: x must be (N,C,...), got {x.shape}")
        return x * ops.rsqrt(ops.mean(x * x, 1, keepdims=True) + self.eps)

    def extra_repr(self) -> str:
        return f"eps={self.eps}"
