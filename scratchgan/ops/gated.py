"""Smooth and learned activations, made of other operators: x times, or bent by, a function of x."""

from __future__ import annotations

import math
from typing import Any

from ..autograd import Function, constant
from ..device import Array, namespace
from ..tensor import Tensor
from .activation import sigmoid, tanh
from .arguments import FLOATING, check_alike, choice, number, operator
from .elementwise import clip, where
from .functions import erf
from .shape import reshape


class Expm1(Function):
    """exp(x) - 1 without loss of digits near 0."""

    saves_inputs, saves_output = False, True

    def forward(self, x: Array) -> Array:
        return namespace(x).expm1(x)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: Tensor, x: None) -> Any:
        return gy * (y + 1.0)


@operator(x=FLOATING)
def silu(x: Any) -> Tensor:
    """x * sigmoid(x) (Elfwing et al., 2018); also called swish."""
    return x * sigmoid(x)


@operator(x=FLOATING, approximate=choice("none", "tanh"))
def gelu(x: Any, approximate: str = "none") -> Tensor:
    """x times the normal distribution function at x (Hendrycks & Gimpel, 2016).

    ``approximate`` "tanh" takes their formula 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x**3))), which is faster and off
    by 5e-4 at most.
    """
    if approximate == "none":
        return x * (erf(x * math.sqrt(0.5)) + 1.0) * 0.5
    return x * (tanh((x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)) + 1.0) * 0.5


@operator(x=FLOATING, alpha=number())
def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where x > 0, alpha * (exp(x) - 1) elsewhere (Clevert et al., 2015)."""
    positive = constant(x.data > 0)
    return where(positive, x, Expm1()(where(positive, 0.0, x)) * alpha)


@operator(x=FLOATING, weight=FLOATING)
def prelu(x: Any, weight: Any) -> Tensor:
    """x where x > 0, weight * x elsewhere: x (N,C,...), weight (C,) or (1,) for all channels (He et al., 2015)."""
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.ndim != 1 or weight.shape[0] not in (1, channels):
        raise ValueError(f"prelu: weight must be (1,) or ({channels},) for x {x.shape}, got {weight.shape}")
    check_alike("prelu", x=x, weight=weight)
    if weight.shape[0] > 1:
        weight = reshape(weight, (1, channels) + (1,) * (x.ndim - 2))
    positive = constant(x.data > 0)
    return where(positive, x, where(positive, 0.0, x) * weight)


@operator(x=FLOATING, min_val=number(infinite=True), max_val=number(infinite=True))
def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x held between two bounds; the gradient at a bound is 1."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val {min_val} is above max_val {max_val}")
    return clip(x, min_val, max_val)
