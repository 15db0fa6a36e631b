"""Matrix products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..autograd import Function
from ..device import Array, DeviceError
from ..kernels import matmul as product
from ..tensor import Tensor
from .arguments import NETWORK, TENSOR, operator, optional
from .reduce import sum
from .shape import reshape, sum_to, transpose


class Matmul(Function):
    """Products of the last two axes; the axes before them are broadcast. Each gradient is a product again."""

    saves_output = False

    def forward(self, a: Array, b: Array) -> Array:
        return product(a, b)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, a: Tensor, b: Tensor) -> Any:
        return (
            sum_to(Matmul()(gy, _swapped(b)), a.shape) if needs[0] else None,
            sum_to(Matmul()(_swapped(a), gy), b.shape) if needs[1] else None,
        )


class Linear(Function):
    """(x, weight) or (x, weight, bias) -> x @ weight.T + bias, for x (N,in).

    As products of `Matmul` the weight's gradient would come out transposed, and the optimiser would have to turn it.
    """

    saves_inputs, saves_output = (True, True, False), False

    def forward(self, x: Array, weight: Array, bias: Array | None = None) -> Array:
        y = product(x, weight.T)
        if bias is not None:
            y += bias
        return y

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor, weight: Tensor, *bias: None) -> Any:
        gx = Matmul()(gy, weight) if needs[0] else None
        gw = Matmul()(_swapped(gy), x) if needs[1] else None
        return (gx, gw, sum(gy, 0) if needs[2] else None) if bias else (gx, gw)


def _swapped(x: Tensor) -> Tensor:
    return transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@operator(a=TENSOR, b=TENSOR)
def matmul(a: Any, b: Any) -> Tensor:
    """a @ b: (..., M, K) and (..., K, N) give (..., M, N).

    A vector counts as one row on the left and as one column on the right.
    """
    if a.dtype != b.dtype:
        raise TypeError(f"matmul: the operands are {a.dtype} and {b.dtype}; convert one with .astype")
    if type(a.data) is not type(b.data):
        raise DeviceError(f"matmul: the operands are on {a.device} and {b.device}; move one with .to")
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul: the operands need at least one axis, got {a.shape} and {b.shape}; use * for numbers")
    rows, columns = (a.shape if a.ndim > 1 else (1, *a.shape)), (b.shape if b.ndim > 1 else (*b.shape, 1))
    if rows[-1] != columns[-2]:
        raise ValueError(
            f"matmul: a is {a.shape} and b is {b.shape}, so a's last axis ({rows[-1]}) "
            f"does not match b's rows ({columns[-2]})"
        )
    try:
        np.broadcast_shapes(rows[:-2], columns[:-2])
    except ValueError:
        raise ValueError(f"matmul: the leading axes of {a.shape} and {b.shape} cannot be broadcast") from None
    y = Matmul()(reshape(a, rows) if a.ndim == 1 else a, reshape(b, columns) if b.ndim == 1 else b)
    if a.ndim == 1:
        y = reshape(y, (*y.shape[:-2], y.shape[-1]))
    if b.ndim == 1:
        y = reshape(y, y.shape[:-1])
    return y


@operator(x=NETWORK, weight=NETWORK, bias=optional(NETWORK))
def linear(x: Any, weight: Any, bias: Any = None) -> Tensor:
    """x @ weight.T + bias: x is (..., in), weight (out, in), bias (out,)."""
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"linear: x is {x.shape} and weight is {weight.shape}; x's last axis must be weight's (out, in)[1]"
        )
    operands = [x if x.ndim == 2 else reshape(x, (math.prod(x.shape[:-1]), x.shape[-1])), weight]
    if bias is not None:
        if bias.shape != weight.shape[:1]:
            raise ValueError(f"linear: bias is {bias.shape}, but weight {weight.shape} has {weight.shape[0]} outputs")
        operands.append(bias)
    if len({(t.dtype, type(t.data)) for t in operands}) > 1:
        kinds = ", ".join(f"{t.dtype} on {t.device}" for t in operands)
        raise TypeError(f"linear: x, weight and bias must agree in dtype and device, got {kinds}")
    y = Linear()(*operands)
    return y if x.ndim == 2 else reshape(y, (*x.shape[:-1], weight.shape[0]))
