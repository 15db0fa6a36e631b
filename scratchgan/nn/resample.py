"""Layers that make images larger or smaller. Images are (N,C,H,W); none of the layers has parameters."""

from __future__ import annotations

from typing import Any, Literal

from .. import ops
from ..ops.arguments import FLAG, PAIR_0, PAIR_1, choice, layer, optional
from ..tensor import Tensor
from .module import Module

Pair = int | tuple[int, int]


class Upsample(Module):
    """Makes images larger by an integer factor: (N,C,H,W) -> (N,C,H*sH,W*sW).

    ``mode``: "nearest" repeats pixels, "bilinear" interpolates between their centres (align_corners=False).
    """

    @layer(scale_factor=PAIR_1, mode=choice("nearest", "bilinear"))
    def __init__(self, *, scale_factor: Pair, mode: Literal["nearest", "bilinear"] = "nearest"):
        self.scale_factor, self.mode = scale_factor, mode

    def forward(self, x: Any) -> Tensor:
        upsample = ops.upsample_nearest2d if self.mode == "nearest" else ops.upsample_bilinear2d
        return upsample(x, self.scale_factor)

    def extra_repr(self) -> str:
        return f"scale_factor={self.scale_factor}, mode={self.mode!r}"


class MaxPool2d(Module):
    """The largest pixel of each window; the stride is the window's size unless given."""

    @layer(kernel_size=PAIR_1, stride=optional(PAIR_1), padding=PAIR_0, dilation=PAIR_1)
    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0, dilation: Pair = 1):
        self.kernel_size, self.padding, self.dilation = kernel_size, padding, dilation
        self.stride = kernel_size if stride is None else stride

    def forward(self, x: Any) -> Tensor:
        return ops.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}"


class AvgPool2d(Module):
    """The mean of each window; the stride is the window's size unless given.

    ``count_include_pad`` says whether padding counts as zeros in the mean, or not at all.
    """

    @layer(kernel_size=PAIR_1, stride=optional(PAIR_1), padding=PAIR_0, count_include_pad=FLAG)
    def __init__(
        self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0, *, count_include_pad: bool = True
    ):
        self.kernel_size, self.padding, self.count_include_pad = kernel_size, padding, count_include_pad
        self.stride = kernel_size if stride is None else stride

    def forward(self, x: Any) -> Tensor:
        return ops.avg_pool2d(x, self.kernel_size, self.stride, self.padding, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
