"""Validation shared by every public kernel: what is wrong is said here, before any memory is touched."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from .memory import empty

Pair = tuple[int, int]


def pair(operator: str, name: str, value: int | tuple[int, int] | list[int], minimum: int) -> Pair:
    """Return ``value`` as (vertical, horizontal); an int counts for both.

    Raises TypeError for anything but an int or a pair of ints, ValueError below ``minimum``.
    """
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(values) != 2 or not all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in values):
        raise TypeError(f"{operator}: {name} must be an int or a pair of ints (height, width), got {value!r}")
    if min(values) < minimum:
        raise ValueError(f"{operator}: {name} must be at least {minimum}, got {value!r}")
    return int(values[0]), int(values[1])


def arrays(operator: str, **named: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the arrays in C order and ready for a Numba kernel, in the order given.

    All must be NumPy arrays of one floating dtype, float32 or float64; TypeError names the one that is not.
    """
    dtype: np.dtype[Any] | None = None
    first = ""
    prepared = []
    for name, array in named.items():
        if not isinstance(array, np.ndarray):
            raise TypeError(
                f"{operator}: {name} must be a NumPy array, got {type(array).__module__}.{type(array).__name__}"
            )
        if array.dtype != np.float32 and array.dtype != np.float64:
            raise TypeError(
                f"{operator}: {name} must be float32 or float64, got {array.dtype}; convert it with .astype"
            )
        if dtype is None:
            dtype, first = array.dtype, name
        elif array.dtype != dtype:
            raise TypeError(
                f"{operator}: {name} is {array.dtype} but {first} is {dtype}; "
                "nothing is promoted silently, convert one with .astype"
            )
        prepared.append(writable_alias(np.ascontiguousarray(array) if array.ndim else array))
    return tuple(prepared)


def dimensions(operator: str, name: str, array: np.ndarray, layout: str) -> None:
    """Raise ValueError unless ``array`` has one axis per letter group of ``layout``, such as "N,C,H,W"."""
    if array.ndim != layout.count(",") + 1:
        raise ValueError(
            f"{operator}: {name} must have {layout.count(',') + 1} axes ({layout}), got shape {array.shape}"
        )


def output(operator: str, out: np.ndarray | None, shape: tuple[int, ...], inputs: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return the array that a kernel writes into: ``out`` if it is given and fits, else a new one.

    ``out`` must have exactly ``shape``, the inputs' dtype, C order, be writable and share no memory with an
    input: a kernel reads its inputs after it has begun to write.
    """
    dtype = inputs[0].dtype
    if out is None:
        return empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{operator}: out must be a NumPy array, got {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(f"{operator}: out must be {dtype} {shape}, got {out.dtype} {out.shape}")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(f"{operator}: out must be writable and in C order")
    if any(np.may_share_memory(out, array) for array in inputs):
        raise ValueError(f"{operator}: out shares memory with an input; give it memory of its own")
    return out


def in_place(operator: str, **named: np.ndarray) -> tuple[np.ndarray, ...]:
    """Check arrays that a kernel changes in place, and return them.

    They must be writable, in C order, of one floating dtype and shape, and share no memory with each other. A
    copy would silently leave the caller's array as it was, so none is made here.
    """
    arrays(operator, **named)
    first, leader = next(iter(named.items()))
    for name, array in named.items():
        if array.shape != leader.shape:
            raise ValueError(f"{operator}: {name}.shape={array.shape} but {first}.shape={leader.shape}")
        if not array.flags.c_contiguous or not array.flags.writeable:
            raise ValueError(f"{operator}: {name} is changed in place, so it must be writable and in C order")
    for (name, array), (other, second) in itertools.combinations(named.items(), 2):
        if np.may_share_memory(array, second):
            raise ValueError(f"{operator}: {name} and {other} share memory; each needs its own")
    return tuple(named.values())


def number(operator: str, name: str, value: float) -> float:
    """Return ``value`` as a float; TypeError unless it is a real number, ValueError unless it is finite."""
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        raise TypeError(f"{operator}: {name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{operator}: {name} must be finite, got {value!r}")
    return float(value)


class _Alias:
    """The same memory, declared writable, for NumPy's array interface."""

    __slots__ = ("__array_interface__", "owner")

    def __init__(self, owner: np.ndarray):
        self.owner = owner
        interface = dict(owner.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface


def writable_alias(array: np.ndarray) -> np.ndarray:
    """Return ``array``, or the same memory typed as writable if it is read-only.

    The autograd marks the arrays that it saves as read-only. To Numba that is another type, and it would compile
    every kernel again for each combination; a kernel never writes to its inputs, so the alias is safe.
    """
    return array if array.flags.writeable else np.asarray(_Alias(array))
