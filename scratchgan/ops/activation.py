"""Activations: the functions between the layers of a network, each on every element alone.

A gradient that is worth a pass of its own over the array is a Function of its own (`TanhGrad`, `LeakyReluGrad`), which
has a gradient like any other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Function
from ..device import Array, namespace
from ..tensor import Tensor
from .arguments import FLOATING, SLOPE, number, operator, optional, unary
from .elementwise import where


class Tanh(Function):
    saves_output = False

    def forward(self, x: Array) -> Array:
        return namespace(x).tanh(x)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor) -> Any:
        return TanhGrad()(gy, x)


class TanhGrad(Function):
    """gy / cosh(x)**2.

    That is gy * (1 - tanh(x)**2), which is 0 as soon as tanh(x) rounds to 1; this form is right to the last bits.
    """

    saves_output = False

    def forward(self, gy: Array, x: Array) -> Array:
        xp = namespace(x)
        c = xp.cosh(xp.minimum(xp.abs(x), 88.0 if x.itemsize == 4 else 709.0))  # beyond, cosh would overflow
        return gy / c / c  # and so would its square

    def backward(self, needs: tuple[bool, ...], ggx: Tensor, _: None, gy: Tensor, x: Tensor) -> Any:
        return (
            TanhGrad()(ggx, x) if needs[0] else None,
            TanhGrad()(ggx * gy, x) * tanh(x) * -2.0 if needs[1] else None,
        )


class Sigmoid(Function):
    saves_output = False

    def forward(self, x: Array) -> Array:
        e, xp = _exp_of_minus_abs(x), namespace(x)
        return (xp.where(x < 0, e, 1) / (1 + e)).astype(x.dtype)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor) -> Any:
        return SigmoidGrad()(gy, x)


class SigmoidGrad(Function):
    """gy * s * (1 - s), s being the sigmoid, with 1 - s = sigmoid(-x)."""

    saves_output = False

    def forward(self, gy: Array, x: Array) -> Array:
        return gy * _logistic_slope(x)

    def backward(self, needs: tuple[bool, ...], ggx: Tensor, _: None, gy: Tensor, x: Tensor) -> Any:
        return (
            SigmoidGrad()(ggx, x) if needs[0] else None,
            SigmoidGrad()(ggx * gy, x) * -tanh(x * 0.5) if needs[1] else None,  # 1 - 2s = -tanh(x/2)
        )


def _exp_of_minus_abs(x: Array) -> Array:
    """exp(-|x|), in float64 on the CPU: NumPy's float32 exp is off by up to 2.3 units in the last place."""
    xp = namespace(x)
    e = -xp.abs(x)
    return np.exp(e, dtype=np.float64) if xp is np else xp.exp(e)


def _logistic_slope(x: Array) -> Array:
    """sigmoid(x) * sigmoid(-x) = e / (1 + e)**2 with e = exp(-|x|): small numbers come from no difference."""
    e = _exp_of_minus_abs(x)
    return (e / ((1 + e) * (1 + e))).astype(x.dtype)


class Softplus(Function):
    saves_output = False

    def forward(self, x: Array) -> Array:
        return namespace(x).logaddexp(x, x.dtype.type(0))

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor) -> Any:
        return gy * sigmoid(x)


class LeakyRelu(Function):
    """Saves its output, whose sign is the input's: the next layer keeps that array anyway."""

    saves_inputs, saves_output = False, True

    def __init__(self, slope: float):
        self.slope = slope

    def forward(self, x: Array) -> Array:
        return kernels.leaky_relu(x, self.slope)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: Tensor, x: None) -> Any:
        return LeakyReluGrad(self.slope)(gy, y)


class LeakyReluGrad(Function):
    """gy where y > 0, slope * gy elsewhere: linear in gy, and flat in y."""

    saves_inputs = (False, True)
    saves_output = False

    def __init__(self, slope: float):
        self.slope = slope

    def forward(self, gy: Array, y: Array) -> Array:
        return kernels.leaky_relu_grad(gy, y, self.slope)

    def backward(self, needs: tuple[bool, ...], ggx: Tensor, _: None, gy: None, y: Tensor) -> Any:
        return (LeakyReluGrad(self.slope)(ggx, y) if needs[0] else None), None


@unary(Tanh)
def tanh(x: Any) -> Tensor:  # type: ignore[empty-body]
    """The hyperbolic tangent."""


@unary(Sigmoid)
def sigmoid(x: Any) -> Tensor:  # type: ignore[empty-body]
    """1 / (1 + exp(-x)), without overflow, and right to the last bits however small it is."""


@operator(x=FLOATING, beta=number(above=0), threshold=optional(number(0)))
def softplus(x: Any, beta: float = 1.0, threshold: float | None = None) -> Tensor:
    """log(1 + exp(beta*x)) / beta, without overflow.

    Where beta*x is above ``threshold`` it is x itself; by default nowhere, since no rounding calls for it (PyTorch's
    default is 20).
    """
    y = Softplus()(x) if beta == 1 else Softplus()(x * beta) * (1 / beta)
    if threshold is None:
        return y
    return where(x.detach() * beta > threshold, x, y)


@operator(x=FLOATING, slope=SLOPE)
def leaky_relu(x: Any, slope: float = 0.01) -> Tensor:
    """x where x > 0, slope * x elsewhere (slope >= 0); the gradient at 0 is ``slope``."""
    return LeakyRelu(slope)(x)


@operator(x=FLOATING)
def relu(x: Any) -> Tensor:
    """max(x, 0); the gradient at 0 is 0."""
    return LeakyRelu(0.0)(x)
