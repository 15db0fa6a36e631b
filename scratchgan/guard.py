"""What a graph saved must not change before it is used: two ways to make sure, one for each kind of array.

A gradient that is computed from an array which changed in the meantime is wrong, and nothing else would tell. The
results of operators are ours: they are made read-only, which costs nothing, and NumPy itself refuses to write to them.
A leaf's array is its maker's, who may write to it: it gets a checksum when it is saved, and again when it is used.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from .device import Array


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


def fingerprint(array: Array) -> int | bytes | None:
    """Return a checksum of an array that someone may still write to, None for one that cannot change.

    A few bytes are their own checksum.

    A read-only view of a writable array can change, so what counts is the array that owns the memory.
    """
    owner = array
    while type(owner) is np.ndarray:
        if owner.flags.writeable:
            return array.tobytes() if array.nbytes <= 64 else zlib.crc32(np.ascontiguousarray(array).data)
        owner = owner.base
    return None
