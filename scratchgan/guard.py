"""What a graph saved must not change before it is used: two ways to make sure, one for each kind of array.

A gradient that is computed from an array which changed in the meantime is wrong, and nothing else would tell. The
results of operators are ours: they are made read-only, which costs nothing, and NumPy itself refuses to write to them.
Any other array is its maker's, who may write to it: it gets a checksum when it is saved, and again when it is used.
What a Function keeps in itself (an index, a mask) has no checksum, so there `kept` makes it ours.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from .device import Array
from .kernels.memory import is_ours


def frozen(y: Any, inputs: Sequence[Array]) -> Array:
    """Return an operator's result as a read-only array. ``inputs`` are the arrays it was computed from."""
    if type(y) is np.ndarray:
        for x in inputs:
            if y is x:
                y = y.view()  # the caller's own array stays as it was
    elif isinstance(y, np.generic):
        y = np.asarray(y)  # NumPy's functions return scalars for 0-d results
    else:
        return y  # a CuPy array cannot be made read-only
    y.setflags(False)  # write=False; by name it takes twice as long, and every operator passes here
    return y


def fingerprint(array: Array, given: bool = True) -> int | bytes | None:
    """Return a checksum of an array that someone may still write to, None for one that cannot change.

    A few bytes are their own checksum. ``given``: the array came from the user, who may hold it under another name;
    otherwise an operator made it.

    That an array is read-only says nothing by itself: it may be a view of a writable one, of memory that is no array
    (a bytearray, a file, another library's), or its owner may unlock it. What counts is who owns the memory.
    """
    owner = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return _checksum(array)
        owner = owner.base
    if isinstance(array, np.ndarray) and (given if owner is None else type(owner) is not bytes and not is_ours(owner)):
        return _checksum(array)
    return None


def _checksum(array: np.ndarray) -> int | bytes:
    return array.tobytes() if array.nbytes <= 64 else zlib.crc32(np.ascontiguousarray(array).data)


def kept(value: Any) -> Any:
    """Return what a Function may keep for its backward: arrays, and lists of numbers, as a copy that no one changes.

    A Tensor that an operator made gives its array as it is.
    """
    if isinstance(value, tuple):
        return tuple([kept(part) for part in value])
    if hasattr(value, "_given"):
        if not value._given:
            return value.data
        value = value.data
    if isinstance(value, list):
        value = np.array(value, np.intp) if not value else np.array(value)
    elif isinstance(value, np.ndarray):
        value = value.copy()
    else:
        return value
    value.setflags(False)
    return value
