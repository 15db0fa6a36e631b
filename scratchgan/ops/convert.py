"""The same numbers in another dtype or on another device; the gradient comes back in the first one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Function
from ..device import Array, device_of
from ..device import to_device as move
from ..tensor import Tensor
from .arguments import TENSOR, Rule, operator


class AsType(Function):
    saves_inputs = saves_output = False

    def __init__(self, dtype: Any):
        self.dtype = dtype

    def forward(self, x: Array) -> Array:
        self.source = x.dtype
        return x.astype(self.dtype)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return AsType(self.source)(gy)


class ToDevice(Function):
    saves_inputs = saves_output = False

    def __init__(self, device: str):
        self.device = device

    def forward(self, x: Array) -> Array:
        self.source = device_of(x)
        return move(x, self.device)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return ToDevice(self.source)(gy)


def _float_dtype(operator: str, argument: str, value: Any) -> Any:
    try:
        dtype = np.dtype(value)
    except TypeError:
        dtype = None
    if value is None or dtype not in (np.float32, np.float64):
        raise TypeError(f"{operator}: {argument} must be float32 or float64, got {dtype or repr(value)}")
    return dtype


def _device(operator: str, argument: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f'{operator}: {argument} must be a word, "cpu" or "cuda:<index>", got {value!r}')
    return value


DTYPE = Rule("float32 or float64", _float_dtype, (int, "word", None, 1.5, bool))


@operator(x=TENSOR, dtype=DTYPE)
def astype(x: Any, dtype: Any) -> Tensor:
    """x in another floating dtype."""
    return AsType(dtype)(x)


@operator(x=TENSOR, device=Rule('"cpu" or "cuda:<index>"', _device, (None, 0, "tpu")))
def to_device(x: Any, device: str) -> Tensor:
    """x on "cpu" or "cuda:<index>"; x itself if it is there already."""
    return x if x.device == device or (device == "cuda" and x.device == "cuda:0") else ToDevice(device)(x)
