"""Operators out of C functions over raw pointers, with guard words around everything they may write."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .calls import Array
from .recipe import Recipe

#: Elements of NaN before and after each output; a kernel that writes past its end changes one.
_GUARD = 64


def from_ctypes(
    forward: Any,
    backward: Any,
    *,
    output_shape: Callable[..., tuple[int, ...]],
    arguments: Sequence[str],
    scalars: Callable[..., Sequence[Any]] | None = None,
    dtype: Any = np.float32,
    **claims: Any,
) -> Recipe:
    """An operator made of two C functions, called as

        forward(const T* arg_0, ..., const T* arg_n, T* y, scalars...)
        backward(const T* gy, const T* arg_0, ..., const T* arg_n, T* grad_0, ..., T* grad_n, scalars...)

    output_shape: ``(*arrays, **params) -> shape`` of y.
    arguments: the names of the array arguments.
    scalars: ``(*arrays, **params) -> values`` passed after the pointers; Python ints go as C int, floats as double,
        ctypes objects as they are. By default the sizes of the arrays' axes, in order, as C ints.
    dtype: T; arrays of another dtype are refused.
    claims: what `Op` takes besides the two callables.

    A C kernel knows no strides, so arrays are made contiguous for it; outputs start as NaN, and NaN guards around
    them turn a write past the end into an error in place of a crash later.
    """
    dtype = np.dtype(dtype)
    sizes = scalars or (lambda *arrays, **params: [n for a in arrays for n in a.shape])

    def values(arrays: Sequence[Array], params: dict[str, Any]) -> list[Any]:
        return [ctypes.c_double(v) if isinstance(v, float) else v for v in sizes(*arrays, **params)]

    def prepared(arrays: Sequence[Array]) -> list[Array]:
        for name, a in zip(arguments, arrays, strict=True):
            if a.dtype != dtype:
                raise TypeError(f"{name} is {a.dtype}, but the C function takes {dtype}")
        return [np.require(a, requirements="C") for a in arrays]

    def fwd(*arrays: Array, **params: Any) -> Array:
        inputs = prepared(arrays)
        y = _Guarded("y", output_shape(*arrays, **params), dtype)
        forward(*(_pointer(a) for a in inputs), y.pointer, *values(arrays, params))
        return y.checked()

    def vjp(gy: Array, *arrays: Array, **params: Any) -> tuple[Array, ...]:
        inputs = prepared(arrays)
        gradients = [_Guarded(f"the gradient of {n}", a.shape, dtype) for n, a in zip(arguments, arrays, strict=True)]
        cotangent = np.require(gy, dtype, "C")
        pointers = [_pointer(cotangent), *map(_pointer, inputs), *(g.pointer for g in gradients)]
        backward(*pointers, *values(arrays, params))
        return tuple(g.checked() for g in gradients)

    name = getattr(forward, "__name__", "C function")
    return Recipe(fwd, vjp, claims={"name": name, "arguments": tuple(arguments), "dtypes": (dtype.str[1:],), **claims})


def _pointer(a: Array) -> ctypes.c_void_p:
    return a.ctypes.data_as(ctypes.c_void_p)


class _Guarded:
    """An output buffer full of NaN between two guards of NaN."""

    def __init__(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        size = int(np.prod(shape, dtype=np.int64))
        self.name, self.shape = name, shape
        self.memory = np.full(size + 2 * _GUARD, np.nan, dtype)
        self.inside = self.memory[_GUARD : _GUARD + size]

    @property
    def pointer(self) -> ctypes.c_void_p:
        return _pointer(self.inside)

    def checked(self) -> Array:
        """The values, once the guards are seen to be whole."""
        if not (np.isnan(self.memory[:_GUARD]).all() and np.isnan(self.memory[-_GUARD:]).all()):
            raise ValueError(f"the C function wrote outside of {self.name} {self.shape}")
        return self.inside.reshape(self.shape).copy()
