"""A convolution with average pooling after it, as one convolution with stride 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..ops.arguments import FLAG, GENERATOR, PAIR_0, PAIR_1, integer, layer
from ..tensor import Tensor
from .conv import Conv2d, Pair


class ConvAvgPool2d(Conv2d):
    """A convolution with stride 1, then 2x2 average pooling: (N,in,H,W) -> (N,out,H'//2,W'//2).

    H' = H + 2*padding - kH + 1.

    The mean of four neighbouring outputs of a convolution is one output of a larger kernel, which is the mean of the
    kernel's four shifts by a pixel (I. Gulrajani et al.'s ConvMeanPool of 2017, folded):

        1D, kernel (a, b, c)        a b c .       at output 2q
                                    . a b c       at output 2q + 1
                                  (a, a+b, b+c, c) / 2, with stride 2

    A 3x3 kernel becomes 4x4 with stride 2: 16 products for an output in place of 36, and the large output is never
    written. ``weight`` and ``bias`` are those of the Conv2d alone, so the state dict is that of ``Conv2d, AvgPool2d``.
    """

    @layer(
        in_channels=integer(1),
        out_channels=integer(1),
        kernel_size=PAIR_1,
        padding=PAIR_0,
        bias=FLAG,
        generator=GENERATOR,
    )
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        padding: Pair = (0, 0),
        bias: bool = True,
        *,
        generator: np.random.Generator,
    ):
        super().__init__(in_channels, out_channels, kernel_size, padding=padding, bias=bias, generator=generator)
        self._shifts = _mean_of_shifts(*self.kernel_size)

    def forward(self, x: Any) -> Tensor:
        weight, (height, width) = self.weight, self.kernel_size
        if self._shifts.dtype != weight.dtype or not isinstance(self._shifts, type(weight.data)):
            self._shifts = weight.namespace.asarray(_mean_of_shifts(height, width), weight.dtype)
        pooled = ops.matmul(weight.reshape(-1, height * width), Tensor(self._shifts))
        pooled = pooled.reshape(*weight.shape[:2], height + 1, width + 1)
        return ops.conv2d(x, pooled, self.bias, 2, self.padding, precision=self.precision)


def _mean_of_shifts(height: int, width: int) -> np.ndarray:
    """Return the matrix (height*width, (height+1)*(width+1)) that takes a kernel to the mean of its four shifts."""
    shifts = np.zeros((height, width, height + 1, width + 1), np.float32)
    for i in range(height):
        for j in range(width):
            shifts[i, j, i : i + 2, j : j + 2] = 0.25
    return shifts.reshape(height * width, -1)
