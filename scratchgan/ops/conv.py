"""Convolutions: three Functions that are each other's gradients.

A convolution is linear in its input x and in its weights w, and so the number <conv(x, w), gy> is linear in each of
x, w and gy. Three arrays, three kernels, each of which takes two of the arrays and gives the shape of the third:

                     y = forward(x, w)
        gx = input_grad(gy, w)      gw = weight_grad(x, gy)

The gradient of any one of them is made of the other two, so these three serve every order of derivative. The
transposed convolution is ``input_grad`` used forwards. A `Geometry` names the three kernels of one kind of
convolution; the fused upsampling + convolution is a second kind, under the same three Functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .. import kernels
from ..autograd import Function
from ..device import Array
from ..tensor import Tensor
from .activation import LeakyReluGrad
from .arguments import NETWORK, PAIR_0, PAIR_1, PRECISION, SLOPE, choice, either, integer, operator, optional
from .padding import pad
from .reduce import sum
from .shape import reshape

Pair = int | tuple[int, int]


class Geometry(Protocol):
    """The three kernels of one kind of convolution, with everything but the arrays and sizes fixed."""

    def forward(self, x: Array, w: Array, bias: Array | None = None, slope: float = 1.0) -> Array: ...

    def input_grad(self, gy: Array, w: Array, input_hw: Any) -> Array: ...

    def weight_grad(self, x: Array, gy: Array, kernel_hw: Any) -> Array: ...


@dataclass(frozen=True)
class PlainGeometry:
    """A convolution with stride, padding, dilation and groups."""

    stride: Pair = 1
    padding: Pair = 0
    dilation: Pair = 1
    groups: int = 1
    precision: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that all the kernels share."""
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
            "precision": self.precision,
        }

    def forward(self, x: Array, w: Array, bias: Array | None = None, slope: float = 1.0) -> Array:
        return kernels.conv2d(x, w, bias, slope=slope, **self.settings)

    def input_grad(self, gy: Array, w: Array, input_hw: Any) -> Array:
        return kernels.conv2d_input_grad(gy, w, input_hw, **self.settings)

    def weight_grad(self, x: Array, gy: Array, kernel_hw: Any) -> Array:
        return kernels.conv2d_weight_grad(x, gy, kernel_hw, **self.settings)


@dataclass(frozen=True)
class UpsampledGeometry:
    """Nearest upsampling by ``scale``, then a convolution with stride 1, without the large image in between."""

    scale: Pair = 2
    padding: Pair = 1
    precision: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        return {"scale": self.scale, "padding": self.padding, "precision": self.precision}

    def forward(self, x: Array, w: Array, bias: Array | None = None, slope: float = 1.0) -> Array:
        return kernels.upsample_conv2d(x, w, bias, slope=slope, **self.settings)

    def input_grad(self, gy: Array, w: Array, input_hw: Any) -> Array:
        return kernels.upsample_conv2d_input_grad(gy, w, **self.settings)

    def weight_grad(self, x: Array, gy: Array, kernel_hw: Any) -> Array:
        return kernels.upsample_conv2d_weight_grad(x, gy, kernel_hw, **self.settings)


class Convolve(Function):
    """(x, w) or (x, w, bias) -> y, and a leaky ReLU of ``slope`` in the same pass: 0 is a ReLU, 1 is none.

    As for the activation alone, the sign of its output is its input's.
    """

    def __init__(self, geometry: Geometry, slope: float = 1.0):
        self.geometry, self.slope = geometry, slope
        self.saves_output = slope != 1

    def forward(self, x: Array, w: Array, bias: Array | None = None) -> Array:
        return self.geometry.forward(x, w, bias, self.slope)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: Tensor, x: Tensor, w: Tensor, *bias: Tensor) -> Any:
        if self.slope != 1:
            gy = LeakyReluGrad(self.slope)(gy, y)
        gx = ConvolveInputGrad(self.geometry, x.shape[2:])(gy, w) if needs[0] else None
        gw = ConvolveWeightGrad(self.geometry, w.shape[2:])(x, gy) if needs[1] else None
        return (gx, gw, sum(gy, (0, 2, 3)) if needs[2] else None) if bias else (gx, gw)


class ConvolveInputGrad(Function):
    """(gy, w) -> gx, for an input of height and width ``input_hw``, which a stride leaves open."""

    saves_output = False

    def __init__(self, geometry: Geometry, input_hw: Any):
        self.geometry = geometry
        self.input_hw = input_hw

    def forward(self, gy: Array, w: Array) -> Array:
        return self.geometry.input_grad(gy, w, self.input_hw)

    def backward(self, needs: tuple[bool, ...], ggx: Tensor, _: None, gy: Tensor, w: Tensor) -> Any:
        return (
            Convolve(self.geometry)(ggx, w) if needs[0] else None,
            ConvolveWeightGrad(self.geometry, w.shape[2:])(ggx, gy) if needs[1] else None,
        )


class ConvolveWeightGrad(Function):
    """(x, gy) -> gw, for weights of height and width ``kernel_hw``."""

    saves_output = False

    def __init__(self, geometry: Geometry, kernel_hw: Any):
        self.geometry = geometry
        self.kernel_hw = kernel_hw

    def forward(self, x: Array, gy: Array) -> Array:
        return self.geometry.weight_grad(x, gy, self.kernel_hw)

    def backward(self, needs: tuple[bool, ...], ggw: Tensor, _: None, x: Tensor, gy: Tensor) -> Any:
        return (
            ConvolveInputGrad(self.geometry, x.shape[2:])(gy, ggw) if needs[0] else None,
            Convolve(self.geometry)(x, ggw) if needs[1] else None,
        )


class ConvTranspose2d(Function):
    """(x, w) or (x, w, bias) -> y: `ConvolveInputGrad` used forwards, with a bias and its own way to name the size."""

    saves_output = False

    def __init__(self, geometry: PlainGeometry, output_padding: Pair):
        self.geometry = geometry
        self.output_padding = output_padding

    def forward(self, x: Array, w: Array, bias: Array | None = None) -> Array:
        return kernels.conv_transpose2d(x, w, bias, output_padding=self.output_padding, **self.geometry.settings)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor, w: Tensor, *bias: Tensor) -> Any:
        # An output_padding of a stride or more (a dilation above it allows that) leaves room at the end of y for
        # windows that belong to no pixel of x: their gradient is dropped, and for the weights they are zeros.
        beyond = np.broadcast_to(self.output_padding, 2) // np.broadcast_to(self.geometry.stride, 2)
        gx = gw = None
        if needs[0]:
            gx = Convolve(self.geometry)(gy, w)
            if beyond.any():
                gx = gx[:, :, : x.shape[2], : x.shape[3]]
        if needs[1]:
            if beyond.any():
                x = pad(x, [(0, 0), (0, 0), (0, int(beyond[0])), (0, int(beyond[1]))])
            gw = ConvolveWeightGrad(self.geometry, w.shape[2:])(gy, x)
        return (gx, gw, sum(gy, (0, 2, 3)) if needs[2] else None) if bias else (gx, gw)


PADDING = either(choice("same", "valid"), PAIR_0, lambda value: isinstance(value, str))


@operator(
    x=NETWORK,
    weight=NETWORK,
    bias=optional(NETWORK),
    stride=PAIR_1,
    padding=PADDING,
    dilation=PAIR_1,
    groups=integer(1),
    precision=PRECISION,
    slope=SLOPE,
)
def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
    precision: str | None = None,
    slope: float = 1.0,
) -> Tensor:
    """2-D convolution (cross-correlation, as in every deep learning library).

    x (N,C,H,W), weight (O,C/groups,kH,kW), bias (O,) or None -> (N,O,H',W'). stride, padding and dilation are an int
    or a (vertical, horizontal) pair; padding "valid" is none, and "same" keeps the size for a stride of 1, with the
    odd pixel at the end. One image (C,H,W) comes back as (O,H',W'). A ``slope`` other than 1 means
    ``leaky_relu(conv2d(...), slope)``, in one pass over the output. ``precision="tf32"`` lets float32 run on a GPU's
    tensor cores, both ways.
    """
    if isinstance(padding, str):
        x, numbers = _named_padding(x, weight, padding, stride, dilation)
    else:
        numbers = padding
    function = Convolve(PlainGeometry(stride, numbers, dilation, groups, precision), slope)
    return _convolved(function, x, weight, bias)


def _convolved(function: Function, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if x.data.ndim == 3:  # one image
        y = _convolved(function, reshape(x, (1, *x.shape)), weight, bias)
        return reshape(y, y.shape[1:])
    return function(x, weight) if bias is None else function(x, weight, bias)


def _named_padding(x: Tensor, weight: Tensor, padding: str, stride: Any, dilation: Any) -> tuple[Tensor, Any]:
    """Return x and the padding in numbers; what is wider at the end than at the beginning is added to x itself."""
    if padding == "valid":
        return x, 0
    if tuple(np.broadcast_to(stride, 2)) != (1, 1):
        raise ValueError(f'conv2d: padding="same" keeps the size for a stride of 1, and stride is {stride}')
    if weight.ndim != 4:
        raise ValueError(f"conv2d: weight must have 4 axes (O,C/groups,kH,kW), got {weight.shape}")
    total = [int(d) * (k - 1) for d, k in zip(np.broadcast_to(dilation, 2), weight.shape[2:], strict=True)]
    odd = [n % 2 for n in total]
    if any(odd):
        x = pad(x, [(0, 0)] * (x.ndim - 2) + [(0, n) for n in odd])
    return x, (total[0] // 2, total[1] // 2)


@operator(
    x=NETWORK,
    weight=NETWORK,
    bias=optional(NETWORK),
    stride=PAIR_1,
    padding=PAIR_0,
    output_padding=PAIR_0,
    groups=integer(1),
    dilation=PAIR_1,
    precision=PRECISION,
)
def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
    precision: str | None = None,
) -> Tensor:
    """Transposed 2-D convolution: the gradient of `conv2d` with respect to its input, used forwards.

    x (N,I,H,W), weight (I,O/groups,kH,kW), bias (O,) or None -> (N,O,H',W') with
    H' = (H-1)*stride - 2*padding + dilation*(kH-1) + output_padding + 1. The argument order is PyTorch's.
    """
    function = ConvTranspose2d(PlainGeometry(stride, padding, dilation, groups, precision), output_padding)
    return _convolved(function, x, weight, bias)


@operator(
    x=NETWORK,
    weight=NETWORK,
    bias=optional(NETWORK),
    scale=PAIR_1,
    padding=PAIR_0,
    precision=PRECISION,
    slope=SLOPE,
)
def upsample_conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    scale: Pair = 2,
    padding: Pair = 1,
    precision: str | None = None,
    slope: float = 1.0,
) -> Tensor:
    """``conv2d(upsample_nearest2d(x, scale), weight, bias, padding=padding)``, without the upsampled image.

    x (N,C,H,W), weight (O,C,kH,kW), bias (O,) or None -> (N,O,H*scale+2*padding-kH+1,W*...). At scale 2 a 3x3
    convolution costs 16 multiplications where the two steps take 36; see docs/kernels.md. ``slope`` as in `conv2d`.
    """
    return _convolved(Convolve(UpsampledGeometry(scale, padding, precision), slope), x, weight, bias)
