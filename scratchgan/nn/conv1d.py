"""Convolution of sequences (N,C,L), as an image of one row."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..ops.arguments import FLAG, GENERATOR, TENSOR, integer, layer
from ..tensor import Tensor
from . import init
from .module import Module, Parameter


class Conv1d(Module):
    """1-D convolution: (N,in,L) -> (N,out,L'), L' = (L + 2*padding - dilation*(kernel_size-1) - 1)//stride + 1.

    ``weight`` is (out_channels, in_channels/groups, kernel_size) and ``bias`` (out_channels,), or None.
    """

    @layer(
        in_channels=integer(1),
        out_channels=integer(1),
        kernel_size=integer(1),
        stride=integer(1),
        padding=integer(0),
        dilation=integer(1),
        groups=integer(1),
        bias=FLAG,
        generator=GENERATOR,
    )
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        generator: np.random.Generator,
    ):
        for side, channels in [("in", in_channels), ("out", out_channels)]:
            if channels % groups:
                raise ValueError(f"Conv1d: {side}_channels={channels} is not a multiple of groups={groups}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.weight = Parameter(np.empty((out_channels, in_channels // groups, kernel_size), np.float32))
        self.bias = Parameter(np.empty(out_channels, np.float32)) if bias else None
        init.default_(self.weight, self.bias, generator=generator)

    def forward(self, x: Any) -> Tensor:
        x = TENSOR.check("Conv1d", "x", x)
        if x.ndim != 3 or x.shape[1] != self.in_channels:
            raise ValueError(f"Conv1d: x must be (N,C,L) with C={self.in_channels}, got {x.shape}")
        row, weight = (ops.reshape(t, (*t.shape[:2], 1, t.shape[2])) for t in (x, self.weight))
        stride, padding, dilation = (1, self.stride), (0, self.padding), (1, self.dilation)
        y = ops.conv2d(row, weight, self.bias, stride, padding, dilation, self.groups)
        return ops.reshape(y, (*y.shape[:2], y.shape[3]))

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for name, usual in [("padding", 0), ("dilation", 1), ("groups", 1)]:
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        return text + ("" if self.bias is not None else ", bias=False")
