"""Arguments as Python text: short arrays as their numbers, longer ones packed, so that a line can be pasted."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np

from .calls import Array

#: Elements, up to which numbers are readable; and bytes of text, beyond which no one pastes a line.
_READABLE, _PASTED = 64, 4096


def written(value: Any) -> str:
    """An expression that gives the value back, bit for bit: ``np.array(...)``, or ``unpacked("...")`` for long arrays
    (from `scratchgan.gradcheck`). An array too long for either is described instead."""
    if not isinstance(value, np.ndarray):
        return repr(value)
    if value.size == 0:
        return f"np.zeros({value.shape}, np.{value.dtype})"
    if value.size <= _READABLE:
        text = f"np.array({value.tolist()!r}, np.{value.dtype})"
        return text if "nan" not in text and "inf" not in text else _packed(value)
    text = _packed(value)
    return text if len(text) <= _PASTED else f"<your {value.dtype}{list(value.shape)}>"


def _packed(array: Array) -> str:
    data = base64.b85encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 9)).decode("ascii")
    return f"unpacked({data!r}, {array.shape}, {array.dtype.str[1:]!r})"


def unpacked(text: str, shape: tuple[int, ...], dtype: str) -> Array:
    """The array that a failure's `reproduce` line holds packed."""
    return np.frombuffer(zlib.decompress(base64.b85decode(text)), dtype).reshape(shape).copy()
