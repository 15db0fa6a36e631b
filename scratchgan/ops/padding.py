"""Margins around a Tensor: constant, mirrored, repeated or wrapped; and negative ones, which cut off."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernels.resampling import Table
from ..tensor import Tensor
from .arguments import ANYTHING, TENSOR, beside, choice, integer, number, operator
from .interpolate import ResampleAxis
from .shape import Pad

_WIDTH = integer()
_MODE = choice("constant", "reflect", "replicate", "circular")


@operator(x=TENSOR, widths=ANYTHING, value=number(infinite=True), mode=_MODE)
def pad(x: Any, widths: Sequence[tuple[int, int]], value: float = 0.0, mode: str = "constant") -> Tensor:
    """x with (before, after) elements added along each axis; a negative number cuts as many off, before any are added.

    ``mode`` "constant" adds ``value``; "reflect" mirrors at the outermost element, which is not repeated; "replicate"
    repeats it; "circular" goes on at the other end. A mirror image must be narrower than the axis, and a wrapped one
    no wider.
    """
    try:
        pairs = tuple([(_WIDTH.check("pad", "widths", a), _WIDTH.check("pad", "widths", b)) for a, b in widths])
    except (TypeError, ValueError):
        pairs = ()
    if len(pairs) != x.ndim:
        raise ValueError(
            f"pad: widths must be {x.ndim} pairs (before, after) of ints, one for each axis of {x.shape}, "
            f"got {widths!r:.80}"
        )
    if mode == "constant" and x.data.dtype.kind != "f" and isinstance(value, float):
        _, x = beside("pad", value, x)
    given = x
    for axis, ((before, after), n) in enumerate(zip(pairs, x.shape, strict=True)):
        left = n + min(before, 0) + min(after, 0)
        if left < 0:
            raise ValueError(f"pad: axis {axis} of {x.shape} has too few elements to cut {(before, after)} off")
        most = {"constant": None, "reflect": max(left - 1, 0), "circular": left, "replicate": None if left else 0}[mode]
        if most is not None and max(before, after) > most:
            raise ValueError(
                f"pad: mode {mode!r} can add at most {most} elements to axis {axis} of {x.shape}, got {(before, after)}"
            )
    if any(min(pair) < 0 for pair in pairs):
        x = x[tuple(slice(max(0, -a), n - max(0, -b)) for (a, b), n in zip(pairs, x.shape, strict=True))]
    added = tuple((max(0, a), max(0, b)) for a, b in pairs)
    if mode == "constant":
        return Pad(added, value)(x) if any(map(any, added)) or x is given else x
    for axis, (before, after) in enumerate(added):
        if before or after:
            x = ResampleAxis(_margins(mode, x.shape[axis], before, after), axis)(x)
    return x


@functools.lru_cache(maxsize=256)
def _margins(mode: str, n: int, before: int, after: int) -> Table:
    position = np.arange(-before, n + after)
    if mode == "circular":
        index = position % max(n, 1)
    elif mode == "replicate":
        index = np.clip(position, 0, max(n - 1, 0))
    else:
        period = max(2 * (n - 1), 1)
        index = np.abs((position + n - 1) % period - (n - 1)) if n > 1 else np.zeros_like(position)
    return Table.from_index(n, index)
