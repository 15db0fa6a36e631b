"""Upsampling and pooling. Every one is linear (max pooling is, once its winners are known), so its gradient is its
transpose, and the transpose's gradient is the operator itself again."""

from __future__ import annotations

from typing import Any

from .. import kernels
from ..autograd import Function
from ..device import Array
from ..tensor import Tensor
from .arguments import FLAG, NETWORK, PAIR_0, PAIR_1, operator, optional
from .shape import reshape

Pair = int | tuple[int, int]


class UpsampleNearest2d(Function):
    """Repeats each pixel; its gradient, `UpsampleNearest2dGrad`, sums the copies."""

    saves_inputs = saves_output = False

    def __init__(self, scale: Pair):
        self.scale = scale

    def forward(self, x: Array) -> Array:
        return kernels.upsample_nearest2d(x, self.scale)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return UpsampleNearest2dGrad(self.scale)(gy)


class UpsampleNearest2dGrad(Function):
    saves_inputs = saves_output = False

    def __init__(self, scale: Pair):
        self.scale = scale

    def forward(self, gy: Array) -> Array:
        return kernels.upsample_nearest2d_grad(gy, self.scale)

    def backward(self, needs: tuple[bool, ...], ggx: Tensor, _: None, gy: None) -> Any:
        return UpsampleNearest2d(self.scale)(ggx)


class UpsampleBilinear2d(Function):
    """Interpolates between pixel centres; its gradient is the transpose of that."""

    saves_inputs = saves_output = False

    def __init__(self, scale: Pair):
        self.scale = scale

    def forward(self, x: Array) -> Array:
        return kernels.upsample_bilinear2d(x, self.scale)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return UpsampleBilinear2dGrad(self.scale)(gy)


class UpsampleBilinear2dGrad(Function):
    saves_inputs = saves_output = False

    def __init__(self, scale: Pair):
        self.scale = scale

    def forward(self, gy: Array) -> Array:
        return kernels.upsample_bilinear2d_grad(gy, self.scale)

    def backward(self, needs: tuple[bool, ...], ggx: Tensor, _: None, gy: None) -> Any:
        return UpsampleBilinear2d(self.scale)(ggx)


class MaxPool2d(Function):
    """Takes the winner of each window; ``index`` remembers where it was."""

    saves_inputs = saves_output = False

    def __init__(self, kernel: Pair, stride: Pair | None, padding: Pair, dilation: Pair):
        self.settings: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
        self.kernel = kernel

    def forward(self, x: Array) -> Array:
        self.input_hw = x.shape[2:]
        y, self.index = kernels.max_pool2d(x, self.kernel, **self.settings)
        return y

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return MaxPool2dGrad(self.index, self.input_hw)(gy)


class MaxPool2dGrad(Function):
    """Sends each gradient to its window's winner."""

    saves_inputs = saves_output = False

    def __init__(self, index: Array, input_hw: tuple[int, int]):
        self.index, self.input_hw = index, input_hw

    def forward(self, gy: Array) -> Array:
        return kernels.max_pool2d_grad(gy, self.index, self.input_hw)

    def backward(self, needs: tuple[bool, ...], ggx: Tensor, _: None, gy: None) -> Any:
        return MaxPool2dGather(self.index)(ggx)


class MaxPool2dGather(Function):
    """Takes each window's element from where the winner was."""

    saves_inputs = saves_output = False

    def __init__(self, index: Array):
        self.index = index

    def forward(self, x: Array) -> Array:
        self.input_hw = x.shape[2:]
        return kernels.max_pool2d_gather(x, self.index)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return MaxPool2dGrad(self.index, self.input_hw)(gy)


class AvgPool2d(Function):
    saves_inputs = saves_output = False

    def __init__(self, kernel: Pair, stride: Pair | None, padding: Pair, count_include_pad: bool):
        self.settings: dict[str, Any] = {
            "stride": stride,
            "padding": padding,
            "count_include_pad": count_include_pad,
        }
        self.kernel = kernel

    def forward(self, x: Array) -> Array:
        self.input_hw = x.shape[2:]
        return kernels.avg_pool2d(x, self.kernel, **self.settings)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return AvgPool2dGrad(self.input_hw, self.kernel, **self.settings)(gy)


class AvgPool2dGrad(Function):
    saves_inputs = saves_output = False

    def __init__(self, input_hw: tuple[int, int], kernel: Pair, **settings: Any):
        self.input_hw, self.kernel, self.settings = input_hw, kernel, settings

    def forward(self, gy: Array) -> Array:
        return kernels.avg_pool2d_grad(gy, self.input_hw, self.kernel, **self.settings)

    def backward(self, needs: tuple[bool, ...], ggx: Tensor, _: None, gy: None) -> Any:
        return AvgPool2d(self.kernel, **self.settings)(ggx)


def images(function: Function, x: Tensor, operator: str) -> Tensor:
    """Apply an operator of images (N,C,H,W) to them, or to one image (C,H,W)."""
    if x.data.ndim == 3:
        y = function(reshape(x, (1, *x.shape)))
        return reshape(y, y.shape[1:])
    if x.data.ndim != 4:
        raise ValueError(f"{operator}: x must be images (N,C,H,W), or one (C,H,W), got {x.shape}")
    return function(x)


@operator(x=NETWORK, scale=PAIR_1)
def upsample_nearest2d(x: Any, scale: Pair = 2) -> Tensor:
    """Each pixel repeated ``scale`` times (an int or a (vertical, horizontal) pair): (N,C,H,W) -> (N,C,H*sH,W*sW)."""
    return images(UpsampleNearest2d(scale), x, "upsample_nearest2d")


@operator(x=NETWORK, scale=PAIR_1)
def upsample_bilinear2d(x: Any, scale: Pair = 2) -> Tensor:
    """Bilinear interpolation by an integer factor: (N,C,H,W) -> (N,C,H*sH,W*sW); PyTorch's align_corners=False."""
    return images(UpsampleBilinear2d(scale), x, "upsample_bilinear2d")


@operator(x=NETWORK, kernel=PAIR_1, stride=optional(PAIR_1), padding=PAIR_0, dilation=PAIR_1)
def max_pool2d(x: Any, kernel: Pair, stride: Pair | None = None, padding: Pair = 0, dilation: Pair = 1) -> Tensor:
    """The largest pixel of each window, whose stride is the kernel's size unless given; the first of equals wins."""
    return images(MaxPool2d(kernel, stride, padding, dilation), x, "max_pool2d")


@operator(x=NETWORK, kernel=PAIR_1, stride=optional(PAIR_1), padding=PAIR_0, count_include_pad=FLAG)
def avg_pool2d(
    x: Any, kernel: Pair, stride: Pair | None = None, padding: Pair = 0, count_include_pad: bool = True
) -> Tensor:
    """The mean of each window, whose stride is the kernel's size unless given.

    ``count_include_pad`` says whether padding counts as zeros in the mean, or not at all.
    """
    return images(AvgPool2d(kernel, stride, padding, count_include_pad), x, "avg_pool2d")
