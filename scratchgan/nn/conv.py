"""Convolutions. Images are (N,C,H,W); sizes are an int, or a (vertical, horizontal) pair.

Weights and biases start uniform within +-1/sqrt(fan_in), PyTorch's default, drawn from ``generator``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..ops.arguments import FLAG, GENERATOR, PAIR_0, PAIR_1, SLOPE, integer, layer
from ..ops.conv import PADDING
from ..tensor import Tensor
from . import init
from .module import Module, Parameter

Pair = int | tuple[int, int]


class _Convolution(Module):
    """What the three kinds have in common: channels, weights and bias, and how they read as text.

    Sizes have become pairs here: a default is a pair, and the rules of `layer` make one of what is given.
    """

    precision: str | None = None  # see set_precision

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        transposed: bool,
        generator: np.random.Generator,
        negative_slope: float = 1.0,
    ):
        for side, channels in [("in", in_channels), ("out", out_channels)]:
            if channels % groups:
                raise ValueError(
                    f"{type(self).__name__}: {side}_channels={channels} is not a multiple of groups={groups}"
                )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.negative_slope, self.dilation = negative_slope, dilation
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        first, second = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        self.weight = Parameter(np.empty((first, second // groups, *self.kernel_size), np.float32))
        self.bias = Parameter(np.empty(out_channels, np.float32)) if bias else None
        init.default_(self.weight, self.bias, generator=generator)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0, 0):
            text += f", padding={self.padding!r}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.negative_slope != 1:
            text += f", negative_slope={self.negative_slope}"
        return text + ("" if self.bias is not None else ", bias=False")


def set_precision(module: Module, precision: str | None) -> None:
    """Make all convolutions of a tree compute in "tf32" on a GPU's tensor cores, or with None as their arrays are.

    "tf32" is for float32 on GPUs of compute capability 8.0 or newer: what is multiplied is rounded to 10 bits of
    mantissa, sums are float32. Their gradients are computed in the same way. Anywhere else a convolution then raises
    ValueError.
    """
    if precision not in (None, "tf32"):
        raise ValueError(f'set_precision: precision must be None or "tf32", got {precision!r}')
    for part in module.modules():
        if isinstance(part, _Convolution):
            part.precision = precision


class Conv2d(_Convolution):
    """2-D convolution: (N,in,H,W) -> (N,out,H',W'), H' = (H + 2*padding - dilation*(kH-1) - 1)//stride + 1.

    ``weight`` is (out_channels, in_channels/groups, kH, kW) and ``bias`` (out_channels,), or None. With a
    ``negative_slope`` a leaky ReLU follows in the same pass over the output (0.0: a ReLU); in a Sequential, `Identity`
    can hold its place.
    """

    @layer(
        in_channels=integer(1),
        out_channels=integer(1),
        kernel_size=PAIR_1,
        stride=PAIR_1,
        padding=PADDING,
        dilation=PAIR_1,
        groups=integer(1),
        bias=FLAG,
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
        dilation: Pair = (1, 1),
        groups: int = 1,
        bias: bool = True,
        *,
        negative_slope: float = 1.0,
        generator: np.random.Generator,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, False, generator,
            negative_slope,
        )  # fmt: skip

    def forward(self, x: Any) -> Tensor:
        return ops.conv2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.precision,
            self.negative_slope,
        )


class ConvTranspose2d(_Convolution):
    """Transposed 2-D convolution: (N,in,H,W) -> (N,out,H',W').

    H' = (H-1)*stride - 2*padding + dilation*(kH-1) + output_padding + 1. ``weight`` is
    (in_channels, out_channels/groups, kH, kW) and ``bias`` (out_channels,), or None.
    """

    @layer(
        in_channels=integer(1),
        out_channels=integer(1),
        kernel_size=PAIR_1,
        stride=PAIR_1,
        padding=PAIR_0,
        output_padding=PAIR_0,
        groups=integer(1),
        bias=FLAG,
        dilation=PAIR_1,
        generator=GENERATOR,
    )
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = (1, 1),
        padding: Pair = (0, 0),
        output_padding: Pair = (0, 0),
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = (1, 1),
        *,
        generator: np.random.Generator,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, True, generator
        )
        self.output_padding = output_padding

    def forward(self, x: Any) -> Tensor:
        return ops.conv_transpose2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
            self.precision,
        )

    def extra_repr(self) -> str:
        text = super().extra_repr()
        return text if self.output_padding == (0, 0) else f"{text}, output_padding={self.output_padding}"


class UpsampleConv2d(_Convolution):
    """Nearest upsampling, then a convolution with stride 1, in one: (N,in,H,W) -> (N,out,H',W').

    H' = H*scale_factor + 2*padding - kH + 1. It computes what ``Upsample(scale_factor)`` followed by ``Conv2d`` does,
    at less than half the cost, and its ``weight`` and ``bias`` are those of that Conv2d. In a Sequential,
    ``Identity(), UpsampleConv2d(...)`` has the state-dict names of PyTorch's ``Upsample(...), Conv2d(...)``.
    ``negative_slope`` as in `Conv2d`.
    """

    @layer(
        in_channels=integer(1),
        out_channels=integer(1),
        kernel_size=PAIR_1,
        scale_factor=PAIR_1,
        padding=PAIR_0,
        bias=FLAG,
        negative_slope=SLOPE,
        generator=GENERATOR,
    )
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        scale_factor: Pair = (2, 2),
        padding: Pair = (0, 0),
        bias: bool = True,
        *,
        negative_slope: float = 1.0,
        generator: np.random.Generator,
    ):
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            (1, 1),
            padding,
            (1, 1),
            1,
            bias,
            False,
            generator,
            negative_slope,
        )
        self.scale_factor = scale_factor

    def forward(self, x: Any) -> Tensor:
        return ops.upsample_conv2d(
            x, self.weight, self.bias, self.scale_factor, self.padding, self.precision, self.negative_slope
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scale_factor={self.scale_factor}"
