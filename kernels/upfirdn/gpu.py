"""upfirdn2d on a GPU: the function of ``cpu.py``, launched, as one pass or as two."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..arguments import Pair, empty, namespace
from ..launch import Kernel, plane_grid

_upfirdn = Kernel(__file__, "upfirdn")

# A separable filter that meets more pixels than this at a time is applied as two passes: the result in between costs a
# write and a read, and both passes together read fewer pixels.
_MOST_AT_ONCE = 16


@functools.lru_cache(maxsize=64)
def _on_device(values: bytes, shape: tuple[int, ...], dtype: str, xp: Any, device: int) -> Any:
    """Return the filter on the device; it is a constant, and is copied there once."""
    return xp.asarray(np.frombuffer(values, dtype).reshape(shape).copy())


def _pass(x: Any, y: Any, f: np.ndarray, up: Pair, down: Pair, before: Pair) -> None:
    xp = namespace(x)
    device = getattr(getattr(x, "device", None), "id", 0)
    f = _on_device(f.tobytes(), f.shape, f.dtype.str, xp, device)
    planes, tall, wide = y.shape
    grid = plane_grid(planes, tall * wide)
    _upfirdn(*grid, x, f, y, planes, *x.shape[1:], tall, wide, *f.shape, *up, *down, *before)


def upfirdn(x: Any, y: Any, column: np.ndarray, rows: np.ndarray, up: Pair, down: Pair, before: Pair) -> None:
    met = -(-column.size // up[0]) * -(-rows.shape[1] // up[1])
    if rows.shape[0] > 1 or met <= _MOST_AT_ONCE:
        _pass(x, y, column[:, None] * rows, up, down, before)
        return
    between = empty((x.shape[0], y.shape[1], x.shape[2]), x)
    _pass(x, between, column[:, None], (up[0], 1), (down[0], 1), (before[0], 0))
    _pass(between, y, rows, (1, up[1]), (1, down[1]), (0, before[1]))
