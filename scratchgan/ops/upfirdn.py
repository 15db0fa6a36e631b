"""Resampling of images with a filter, as style-based generators do it: upsample, filter, downsample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Function
from ..device import Array
from ..kernels.upfirdn import Padding, Sides, settings, sides
from ..tensor import Tensor
from .arguments import NETWORK, PAIR_1, Rule, number, operator

Pair = tuple[int, int]


class UpFirDn2d(Function):
    """Linear in x; its gradient, `UpFirDn2dGrad`, is the same operator with up and down exchanged."""

    saves_inputs = saves_output = False

    def __init__(self, f: np.ndarray, up: Pair, down: Pair, padding: Sides):
        self.f, self.options = f, (up, down, padding)

    def forward(self, x: Array) -> Array:
        self.input_hw = x.shape[2:]
        return kernels.upfirdn2d(x, self.f, *self.options)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return UpFirDn2dGrad(self.f, self.input_hw, *self.options)(gy)


class UpFirDn2dGrad(Function):
    saves_inputs = saves_output = False

    def __init__(self, f: np.ndarray, input_hw: Pair, up: Pair, down: Pair, padding: Sides):
        self.f, self.input_hw, self.options = f, input_hw, (up, down, padding)

    def forward(self, gy: Array) -> Array:
        return kernels.upfirdn2d_grad(gy, self.f, self.input_hw, *self.options)

    def backward(self, needs: tuple[bool, ...], ggx: Tensor, _: None, gy: None) -> Any:
        return UpFirDn2d(self.f, *self.options)(ggx)


def _filter(operator: str, argument: str, value: Any) -> np.ndarray:
    try:
        f = np.asarray(value) if isinstance(value, (list, tuple)) else value
    except ValueError:
        raise ValueError(f"{operator}: {argument} has rows of different lengths: {value!r:.60}") from None
    return settings(operator, f, 1, 1, 0)[3]


_FILTER = Rule(
    "a NumPy array or a list of numbers, (taps,) or (rows, columns)",
    _filter,
    ("a", None, 1.0, [], ["a"], [[1.0], [1.0, 2.0]], [np.nan], np.ones((1, 1, 1))),
)
_PADDING = Rule(
    "an int, (vertical, horizontal) or ((top, bottom), (left, right))",
    lambda operator, argument, value: sides(operator, value),
    ("a", None, 1.5, (1, 2, 3), ((1, 2), 3), ((1, 2, 3), (1, 2)), 2**70, True),
)


@operator(x=NETWORK, filter=_FILTER, up=PAIR_1, down=PAIR_1, padding=_PADDING, gain=number(0))
def upfirdn2d(
    x: Any, filter: Any, up: int | Pair = 1, down: int | Pair = 1, padding: Padding = 0, gain: float = 1.0
) -> Tensor:
    """Upsample with zeros, pad, filter and downsample each channel: (N,C,H,W) -> (N,C,outH,outW).

    Along each axis out = (in * up + padding on both sides - taps) // down + 1 (Karras et al., StyleGAN, 2019, and
    StyleGAN2, 2020). ``filter`` is a constant: an array (taps,), used along both axes, or (rows, columns). It is
    turned, as a convolution does, and multiplied by ``gain`` as a whole. ``up`` and ``down`` are an int or (vertical,
    horizontal); up - 1 zeros come after every pixel. ``padding`` is an int, (vertical, horizontal) or ((top, bottom),
    (left, right)) of zeros, counted after the upsampling; negative padding cuts off.
    """
    ups, downs, margins, f = settings("upfirdn2d", filter, up, down, padding)
    f = f * gain ** (f.ndim / 2)  # a separable filter is applied twice
    return UpFirDn2d(f, ups, downs, margins)(x)


def _normalized(operator: str, filter: Any) -> np.ndarray:
    """Return a filter that leaves a constant image as it is: its sum is 1."""
    f = np.asarray(filter, np.float64)
    if f.sum() == 0:
        raise ValueError(f"{operator}: the filter sums to 0, so it cannot be scaled to a sum of 1; use upfirdn2d")
    return f / f.sum()


def _taps(f: np.ndarray) -> tuple[int, int]:
    return f.shape[0], f.shape[-1]


@operator(x=NETWORK, filter=_FILTER, scale=PAIR_1)
def upsample_fir2d(x: Any, filter: Sequence[float] | np.ndarray = (1, 3, 3, 1), scale: Any = (2, 2)) -> Tensor:
    """Enlarge by an integer factor and smooth with a filter, scaled to keep constants: (N,C,H,W) -> (N,C,H*sH,W*sW).

    The default is StyleGAN2's; it is the same as `upsample_bilinear2d` but at the edges, where zeros are outside.
    """
    f = _normalized("upsample_fir2d", filter)
    (top, bottom), (left, right) = (((n + s - 1) // 2, (n - s) // 2) for n, s in zip(_taps(f), scale, strict=True))
    gain = scale[0] * scale[1]  # of s outputs only one has a pixel to start from
    return upfirdn2d(x, f, up=scale, padding=((top, bottom), (left, right)), gain=gain)


@operator(x=NETWORK, filter=_FILTER, scale=PAIR_1)
def downsample_fir2d(x: Any, filter: Sequence[float] | np.ndarray = (1, 3, 3, 1), scale: Any = (2, 2)) -> Tensor:
    """Smooth with a filter, scaled to keep constants, and keep every scale-th pixel: (N,C,H*sH,W*sW) -> (N,C,H,W)."""
    f = _normalized("downsample_fir2d", filter)
    (top, bottom), (left, right) = (((n - s + 1) // 2, (n - s) // 2) for n, s in zip(_taps(f), scale, strict=True))
    return upfirdn2d(x, f, down=scale, padding=((top, bottom), (left, right)))
