"""Layers that pad, rearrange and average pixels. Images are (N,C,H,W); none of the layers has parameters."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..ops.arguments import PAIR_1, TENSOR, Rule, integer, layer
from ..tensor import Tensor
from .module import Module

Pair = int | tuple[int, int]


class PixelShuffle(Module):
    """Channels to pixels: (N,C*r*r,H,W) -> (N,C,H*r,W*r)."""

    @layer(upscale_factor=integer(1))
    def __init__(self, upscale_factor: int):
        self.upscale_factor = upscale_factor

    def forward(self, x: Any) -> Tensor:
        return ops.pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"{self.upscale_factor}"


class PixelUnshuffle(Module):
    """Pixels to channels: (N,C,H*r,W*r) -> (N,C*r*r,H,W)."""

    @layer(downscale_factor=integer(1))
    def __init__(self, downscale_factor: int):
        self.downscale_factor = downscale_factor

    def forward(self, x: Any) -> Tensor:
        return ops.pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"{self.downscale_factor}"


def _sides(operator: str, argument: str, value: Any) -> tuple[int, ...]:
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,) * 4
    try:
        sides = tuple([_WIDTH.check(operator, argument, n) for n in given])
    except TypeError:
        sides = ()
    if len(sides) != 4:
        raise TypeError(f"{operator}: {argument} must be an int or (left, right, top, bottom), got {value!r:.80}")
    return sides


_WIDTH = integer()
_SIDES = Rule(
    "an int or (left, right, top, bottom)", _sides, ("a", None, 1.5, True, (1, 2), (1, 2, 3, 1.5), 2**70, (2**70,) * 4)
)


class _Padding(Module):
    """Padding of images by an int on all sides, or (left, right, top, bottom); negative numbers cut off."""

    mode = "constant"
    value = 0.0

    @layer(padding=_SIDES)
    def __init__(self, padding: Any):
        self.padding = padding

    def forward(self, x: Any) -> Tensor:
        left, right, top, bottom = self.padding
        x = TENSOR.check(type(self).__name__, "x", x)
        if x.ndim != 4:
            raise ValueError(f"{type(self).__name__}: x must be (N,C,H,W), got {x.shape}")
        return ops.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)], self.value, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(_Padding):
    """Zeros around images; ``padding`` is an int or (left, right, top, bottom)."""


class ReflectionPad2d(_Padding):
    """Images mirrored at their outermost pixels; ``padding`` is an int or (left, right, top, bottom)."""

    mode = "reflect"


class ReplicationPad2d(_Padding):
    """The outermost pixels repeated; ``padding`` is an int or (left, right, top, bottom)."""

    mode = "replicate"


class AdaptiveAvgPool2d(Module):
    """The mean over a grid of windows that cover the image: (N,C,H,W) -> (N,C,outH,outW)."""

    @layer(output_size=PAIR_1)
    def __init__(self, output_size: Pair):
        self.output_size = output_size

    def forward(self, x: Any) -> Tensor:
        return ops.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"{self.output_size}"
