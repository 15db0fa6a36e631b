"""Layers with an equalised learning rate.

Adam moves every weight by about its learning rate in a step, however large the weight is. So weights that start small,
because many inputs are added up, change relatively fast, and those of a layer with few inputs slowly. Here all start as
N(0, 1), and the forward pass multiplies them by the constant that other layers put into their initial values:

    y = x @ (weight * c).T + bias      c = lr_multiplier / sqrt(fan_in)

A ``lr_multiplier`` below 1 makes a layer learn slower than the others: weights start as N(0, 1/lr_multiplier^2), so the
output is the same, and a step is a smaller part of them. A leaky ReLU is followed by sqrt(2), which keeps the size of
what passes through; being positive, the factor goes through the activation, into weights and bias.

Sources: T. Karras et al., "Progressive growing of GANs", 2018, section 4.1; T. Karras et al., "A style-based generator
architecture for generative adversarial networks", 2019, appendix C (the multiplier).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..ops.arguments import FLAG, GENERATOR, PAIR_1, SLOPE, integer, layer, number
from ..ops.conv import PADDING
from ..tensor import Tensor
from . import init
from .conv import Conv2d, Pair
from .linear import Linear
from .module import Parameter


def gain_after(negative_slope: float) -> float:
    """Return the factor after an activation: sqrt(2) of a leaky ReLU, 1 if there is none (slope 1)."""
    return 1.0 if negative_slope == 1 else math.sqrt(2)


class EqualizedLinear(Linear):
    """A linear layer with an equalised learning rate: (..., in_features) -> (..., out_features).

    ``initial_bias`` is what the bias adds at first. With a ``negative_slope`` a leaky ReLU follows, and sqrt(2).
    ``weight`` is (out_features, in_features), drawn from ``generator``, and ``bias`` (out_features,); what is added is
    ``bias * lr_multiplier``.
    """

    bias: Parameter  # never None here

    @layer(
        in_features=integer(1),
        out_features=integer(1),
        lr_multiplier=number(above=0),
        initial_bias=number(),
        negative_slope=SLOPE,
        generator=GENERATOR,
    )
    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        lr_multiplier: float = 1.0,
        initial_bias: float = 0.0,
        negative_slope: float = 1.0,
        generator: np.random.Generator,
    ):
        super().__init__(in_features, out_features, generator=generator)
        self.lr_multiplier, self.negative_slope = lr_multiplier, negative_slope
        init.normal_(self.weight, std=1 / lr_multiplier, generator=generator)
        init.constant_(self.bias, initial_bias / lr_multiplier)

    def forward(self, x: Any) -> Tensor:
        gain = self.lr_multiplier * gain_after(self.negative_slope)
        bias = self.bias if gain == 1 else self.bias * gain
        y = ops.linear(x, self.weight * (gain / math.sqrt(self.in_features)), bias)
        return y if self.negative_slope == 1 else ops.leaky_relu(y, self.negative_slope)

    def extra_repr(self) -> str:
        text = f"in_features={self.in_features}, out_features={self.out_features}"
        if self.lr_multiplier != 1:
            text += f", lr_multiplier={self.lr_multiplier}"
        return text if self.negative_slope == 1 else f"{text}, negative_slope={self.negative_slope}"


class EqualizedConv2d(Conv2d):
    """A convolution with an equalised learning rate: (N,in,H,W) -> (N,out,H',W'), as `Conv2d`.

    With a ``negative_slope`` a leaky ReLU follows, and sqrt(2). ``gain`` is one more constant factor of the output.
    ``weight`` starts as N(0, 1), ``bias`` as 0.
    """

    @layer(
        in_channels=integer(1),
        out_channels=integer(1),
        kernel_size=PAIR_1,
        stride=PAIR_1,
        padding=PADDING,
        bias=FLAG,
        gain=number(above=0),
        negative_slope=SLOPE,
        generator=GENERATOR,
    )
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = (1, 1),
        padding: Pair | str = (0, 0),
        bias: bool = True,
        *,
        gain: float = 1.0,
        negative_slope: float = 1.0,
        generator: np.random.Generator,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, bias=bias, negative_slope=negative_slope,
            generator=generator,
        )  # fmt: skip
        self.gain = gain * gain_after(negative_slope)
        init.normal_(self.weight, generator=generator)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: Any) -> Tensor:
        return ops.conv2d(
            x,
            self.weight * (self.gain / math.sqrt(init.fans(self.weight)[0])),
            self.bias if self.bias is None or self.gain == 1 else self.bias * self.gain,
            self.stride,
            self.padding,
            precision=self.precision,
            slope=self.negative_slope,
        )
