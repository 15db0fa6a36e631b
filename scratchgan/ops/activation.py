"""Activations: the functions between the layers of a network, each on every element alone.

A gradient that is worth a pass of its own over the array is a Function of its own (`TanhGrad`, `LeakyReluGrad`), which
has a gradient like any other.
"""

from __future__ import annotations

from typing import Any

from .. import kernels
from ..autograd import Function
from ..device import Array, namespace
from ..tensor import Tensor


class Tanh(Function):
    saves_inputs, saves_output = False, True

    def forward(self, x: Array) -> Array:
        return namespace(x).tanh(x)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: Tensor, x: None) -> Any:
        return TanhGrad()(gy, y)


class TanhGrad(Function):
    """gy * (1 - y**2), y being the tanh."""

    saves_output = False

    def forward(self, gy: Array, y: Array) -> Array:
        return gy * (1 - y * y)

    def backward(self, needs: tuple[bool, ...], ggx: Tensor, _: None, gy: Tensor, y: Tensor) -> Any:
        return (
            TanhGrad()(ggx, y) if needs[0] else None,
            ggx * gy * y * -2.0 if needs[1] else None,
        )


class Sigmoid(Function):
    saves_inputs, saves_output = False, True

    def forward(self, x: Array) -> Array:
        # 1 / (1 + exp(-x)) overflows for large negative x; this form never does.
        return 0.5 * (namespace(x).tanh(0.5 * x) + 1.0)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: Tensor, x: None) -> Any:
        return gy * (y * (1.0 - y))


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


def tanh(x: Any) -> Tensor:
    """The hyperbolic tangent."""
    return Tanh()(x)


def sigmoid(x: Any) -> Tensor:
    """1 / (1 + exp(-x)), without overflow."""
    return Sigmoid()(x)


def softplus(x: Any) -> Tensor:
    """log(1 + exp(x)), without overflow."""
    return Softplus()(x)


def leaky_relu(x: Any, slope: float = 0.01) -> Tensor:
    """x where x > 0, slope * x elsewhere (slope >= 0); the gradient at 0 is ``slope``."""
    if not slope >= 0:
        raise ValueError(f"leaky_relu: slope must be at least 0, got {slope}")
    return LeakyRelu(slope)(x)


def relu(x: Any) -> Tensor:
    """max(x, 0); the gradient at 0 is 0."""
    return LeakyRelu(0.0)(x)
