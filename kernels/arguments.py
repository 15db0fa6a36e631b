"""Validation and dispatch shared by every public kernel: what is wrong is said here, before any memory is touched.

Arrays are NumPy's, and then a Numba kernel runs, or CuPy's, and then a CUDA kernel of the same name and arguments.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import math
from typing import Any

import numpy as np

from . import memory
from .launch import current_runner, is_gpu_array

Pair = tuple[int, int]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

SIZES = 2**31 - 1  # no stride, width or count is larger: a C int
_BYTES = 2**62  # no array is larger: NumPy counts bytes in 63 bits


def namespace(array: Any) -> Any:
    """Return the module whose ``empty`` and other functions make arrays where ``array`` is: NumPy or CuPy."""
    return current_runner().namespace() if is_gpu_array(array) else np


def empty(shape: tuple[int, ...], like: Any, dtype: Any = None) -> Any:
    """Return a new array where ``like`` is, of its dtype unless another is given; what it holds is undefined."""
    dtype = like.dtype if dtype is None else dtype
    if max(shape, default=0) > SIZES and math.prod(shape) * np.dtype(dtype).itemsize > _BYTES:
        raise ValueError(f"the result would have shape {shape}, and no array is as large")
    return current_runner().namespace().empty(shape, dtype) if is_gpu_array(like) else memory.empty(shape, dtype)


def kernels_for(family: str, array: Any) -> Any:
    """Return the module with a family's kernels for ``array``, its ``gpu`` or ``cpu``; ``family`` is __package__."""
    return _import(family, "gpu" if is_gpu_array(array) else "cpu")


@functools.cache
def _import(family: str, kind: str) -> Any:
    return importlib.import_module(f"{family}.{kind}")


def run(family: str, name: str, elements: int, array: Any, *arguments: Any) -> Any:
    """Call the kernel ``name`` of a family with ``array`` and ``arguments``, on the GPU if that is where they are.

    On the CPU, a kernel of few ``elements`` runs on one thread.
    """
    function = getattr(kernels_for(family, array), name)
    if is_gpu_array(array):
        return function(array, *arguments)
    from .jit import launch

    return launch(function, elements, array, *arguments)


def place(array: Any) -> str:
    """Say where an array is, for messages."""
    if is_gpu_array(array):
        # the emulator's arrays have no device, or NumPy's, which is the word "cpu"
        index = getattr(getattr(array, "device", None), "id", None)
        return "a GPU array" if index is None else f"a GPU array on cuda:{index}"
    return (
        "a NumPy array on the CPU"
        if isinstance(array, np.ndarray)
        else f"{type(array).__module__}.{type(array).__name__}"
    )


def pair(operator: str, name: str, value: int | tuple[int, int] | list[int], minimum: int) -> Pair:
    """Return ``value`` as (vertical, horizontal); an int counts for both.

    Raises TypeError for anything but an int or a pair of ints, ValueError below ``minimum``.
    """
    if type(value) is int and minimum <= value <= SIZES:  # what nearly all calls give
        return value, value
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(values) != 2 or not all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in values):
        raise TypeError(f"{operator}: {name} must be an int or a pair of ints (height, width), got {value!r}")
    if min(values) < minimum:
        raise ValueError(f"{operator}: {name} must be at least {minimum}, got {value!r}")
    if max(values) > SIZES:
        raise ValueError(f"{operator}: {name} must be at most {SIZES}, got {value!r}")
    return int(values[0]), int(values[1])


def precision_option(operator: str, precision: str | None, array: Any) -> dict[str, str]:
    """Return what a kernel is given for ``precision``, which lets it be less exact than ``array``'s dtype."""
    if precision is None:
        return {}
    if precision != "tf32":
        raise ValueError(f'{operator}: precision must be None or "tf32", got {precision!r}')
    if not is_gpu_array(array) or array.dtype != np.float32:
        raise ValueError(
            f'{operator}: precision="tf32" is for float32 arrays on a GPU; this is {place(array)}, {array.dtype}. '
            "Leave it out"
        )
    cuda = getattr(namespace(array), "cuda", None)  # the emulator's arrays are NumPy's
    if cuda is not None and int(cuda.Device().compute_capability) < 80:
        raise ValueError(
            f'{operator}: precision="tf32" needs a GPU of compute capability 8.0 or newer, this one has '
            f"{cuda.Device().compute_capability}; leave it out"
        )
    return {"precision": precision}


def arrays(operator: str, **named: Any) -> tuple[Any, ...]:
    """Return the arrays in C order and ready for a kernel, in the order given.

    All must be NumPy arrays, or all CuPy arrays, of one floating dtype, float32 or float64; TypeError names the one
    that is not.
    """
    first, first_array, first_on_gpu = "", None, False
    prepared: list[Any] = []
    for name, array in named.items():
        on_gpu = is_gpu_array(array)
        if not on_gpu and not isinstance(array, np.ndarray):
            raise TypeError(f"{operator}: {name} must be a NumPy or CuPy array, got {place(array)}")
        if array.dtype not in _FLOATS:
            raise TypeError(
                f"{operator}: {name} must be float32 or float64, got {array.dtype}; convert it with .astype"
            )
        if first_array is None:
            first, first_array, first_on_gpu = name, array, on_gpu
        elif on_gpu != first_on_gpu:
            raise TypeError(
                f"{operator}: {name} is {place(array)} but {first} is {place(first_array)}; move one of them: "
                "Tensor.to and Module.to take a device, cupy.asarray and .get() copy arrays"
            )
        elif array.dtype != first_array.dtype:
            raise TypeError(
                f"{operator}: {name} is {array.dtype} but {first} is {first_array.dtype}; "
                "nothing is promoted silently, convert one with .astype"
            )
        prepared.append(in_c_order(array))
    return tuple(prepared)


def in_c_order(array: Any) -> Any:
    """Return an array in C order, and of a type that Numba has compiled its kernels for; a copy only if it must be."""
    if array.ndim and not array.flags.c_contiguous:
        array = namespace(array).ascontiguousarray(array)
    return writable_alias(array) if isinstance(array, np.ndarray) else array


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
    xp = namespace(inputs[0])
    if out is None:
        return empty(shape, inputs[0])
    if is_gpu_array(out) != is_gpu_array(inputs[0]) or not isinstance(out, xp.ndarray):
        raise TypeError(f"{operator}: out must be {place(inputs[0])}, as the inputs are, got {place(out)}")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(f"{operator}: out must be {dtype} {shape}, got {out.dtype} {out.shape}")
    if not out.flags.c_contiguous or not writable(out):
        raise ValueError(f"{operator}: out must be writable and in C order")
    if any(xp.may_share_memory(out, array) for array in inputs):
        raise ValueError(f"{operator}: out shares memory with an input; give it memory of its own")
    return out


def writable(array: Any) -> bool:
    """Whether an array can be written to; CuPy has no read-only arrays."""
    return not isinstance(array, np.ndarray) or array.flags.writeable


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
        if not array.flags.c_contiguous or not writable(array):
            raise ValueError(f"{operator}: {name} is changed in place, so it must be writable and in C order")
    for (name, array), (other, second) in itertools.combinations(named.items(), 2):
        if namespace(array).may_share_memory(array, second):
            raise ValueError(f"{operator}: {name} and {other} share memory; each needs its own")
    return tuple(named.values())


def number(operator: str, name: str, value: float) -> float:
    """Return ``value`` as a float; TypeError unless it is a real number, ValueError unless it is finite."""
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        raise TypeError(f"{operator}: {name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{operator}: {name} must be finite, got {value!r}")
    return float(value)


def slope_option(operator: str, slope: float) -> float:
    """Return the slope of a leaky ReLU in an operator's last pass, as a float; ValueError if it is negative.

    Of a result times a negative slope one could not tell the sign that it had, which the gradient goes by.
    """
    slope = number(operator, "slope", slope)
    if slope < 0:
        raise ValueError(f"{operator}: slope must be at least 0, got {slope}")
    return slope


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
    if array.flags.writeable:
        return array
    if array.flags.owndata:  # it may be made writable, and a view taken meanwhile stays so: a tenth of the time below
        array.setflags(write=True)
        alias = array.view()
        array.setflags(write=False)
        if alias.flags.writeable:  # no other thread was in between
            return alias
    return np.asarray(_Alias(array))
