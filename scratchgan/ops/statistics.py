"""Further reductions, and running sums."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..autograd import Function
from ..device import Array, namespace
from ..tensor import Tensor
from .arguments import AXES, AXIS, FLAG, FLOATING, TENSOR, integer, number, operator
from .elementwise import abs, power, sqrt
from .reduce import max, sum, var
from .shape import concatenate, normalized_axes, one_axis, reshape, transpose


class CumSum(Function):
    """Running sums along an axis; the gradient is the running sum from the other end."""

    saves_inputs = saves_output = False

    def __init__(self, axis: int, backwards: bool = False):
        self.axis, self.backwards = axis, backwards

    def forward(self, x: Array) -> Array:
        xp = namespace(x)
        if self.backwards:
            return xp.flip(xp.cumsum(xp.flip(x, self.axis), self.axis), self.axis)
        return xp.cumsum(x, self.axis)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return CumSum(self.axis, not self.backwards)(gy)


@operator(x=TENSOR, axis=AXIS)
def cumsum(x: Any, axis: int = 0) -> Tensor:
    """Element i along ``axis`` becomes the sum of elements 0 to i."""
    return CumSum(one_axis("cumsum", axis, x))(x)


@operator(x=FLOATING, axis=AXES, keepdims=FLAG, correction=integer(0))
def std(x: Any, axis: Any = None, keepdims: bool = False, *, correction: int = 0) -> Tensor:
    """The standard deviation over ``axis``, the root of `var`; where it is 0 its gradient is not defined."""
    return sqrt(var(x, axis, keepdims, correction=correction))


@operator(x=FLOATING, ord=number(above=0, infinite=True), axis=AXES, keepdims=FLAG)
def norm(x: Any, ord: float = 2.0, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The length over ``axis``: (sum of |x|**ord) ** (1/ord), or for infinity the largest |x|; ord must be positive.

    At 0 the gradient is 0.
    """
    axes = normalized_axes("norm", axis, x.ndim)
    if ord == math.inf:
        return max(abs(x), axes, keepdims)
    if ord == 1:
        return sum(abs(x), axes, keepdims)
    total = sum(x * x if ord == 2 else power(abs(x), ord), axes, keepdims)
    # A root's slope at 0 is infinite. Where the sum is 0 so are all elements: 1 in its place, less 1, has slope 0.
    zero = Tensor((total.data == 0).astype(x.dtype))
    shifted = total * (1.0 - zero) + zero
    return (sqrt(shifted) if ord == 2 else power(shifted, 1.0 / ord)) - zero


@operator(x=TENSOR, axis=AXES, keepdims=FLAG)
def prod(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The product over ``axis``, of nothing 1; of masks, 1 where all hold.

    Halves are multiplied with each other until one element is left: log2 of the count operators, none of which divides,
    so the gradient is right where elements are 0.
    """
    axes = normalized_axes("prod", axis, x.ndim)
    if x.data.dtype == bool:
        x = Tensor(x.data.astype(np.int64))
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    rest = [i for i in range(x.ndim) if i not in axes]
    y = transpose(x, (*axes, *rest))
    shape = tuple(x.shape[i] for i in rest)
    y = reshape(y, (math.prod(x.shape[i] for i in axes), *shape))
    if y.shape[0] == 0:
        y = Tensor(x.namespace.ones((1, *shape), x.dtype))
    while y.shape[0] > 1:
        half, odd = divmod(y.shape[0], 2)
        product = y[:half] * y[half : 2 * half]
        if odd:
            last = product[-1:] * y[2 * half :]
            product = last if half == 1 else concatenate([product[:-1], last])
        y = product
    return reshape(y, kept if keepdims else shape)
