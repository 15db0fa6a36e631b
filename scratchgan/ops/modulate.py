"""Planes scaled and shifted by numbers of their own: what makes a normalisation conditional."""

from __future__ import annotations

from typing import Any

from .. import kernels
from ..autograd import Function
from ..device import Array
from ..recording import is_grad_enabled
from ..tensor import Tensor
from .activation import LeakyReluGrad
from .arguments import NETWORK, SLOPE, operator
from .reduce import sum
from .shape import reshape


class ScaleShift(Function):
    """(x, scale, shift) -> x * scale + shift for each plane, and a leaky ReLU of ``slope`` in the same pass.

    One pass over memory each way, where the four operators need seven: that is why it is a Function.
    """

    saves_output = False

    def __init__(self, slope: float):
        self.slope = slope

    def forward(self, x: Array, scale: Array, shift: Array) -> Array:
        return kernels.scale_shift(x, scale, shift, self.slope)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor, scale: Tensor, shift: Tensor) -> Any:
        if not is_grad_enabled():
            arrays = (gy.data, x.data, scale.data, shift.data)
            return tuple(Tensor(g) for g in kernels.scale_shift_grad(*arrays, self.slope))
        # To be differentiated again: the same in operators.
        planes = (*scale.shape, *[1] * (x.ndim - 2))
        pixels = tuple(range(2, x.ndim))
        factor = reshape(scale, planes)
        if self.slope != 1:
            sign = x.detach() * factor.detach() + reshape(shift.detach(), planes)
            gy = LeakyReluGrad(self.slope)(gy, sign)
        if not pixels:
            return gy * factor, gy * x, gy
        return gy * factor, sum(gy * x, pixels), sum(gy, pixels)


@operator(x=NETWORK, scale=NETWORK, shift=NETWORK, slope=SLOPE)
def scale_shift(x: Any, scale: Any, shift: Any, slope: float = 1.0) -> Tensor:
    """Scale and shift each plane by numbers of its own: x (N,C,...) * scale (N,C) + shift (N,C).

    A ``slope`` other than 1 means ``leaky_relu(scale_shift(...), slope)``, in the same pass over memory (0: a ReLU).
    """
    if x.ndim < 2 or scale.shape != x.shape[:2] or shift.shape != x.shape[:2]:
        raise ValueError(
            f"scale_shift: x (N,C,...) is {x.shape}, so scale and shift must be {x.shape[:2]}, "
            f"got {scale.shape} and {shift.shape}"
        )
    return ScaleShift(slope)(x, scale, shift)
