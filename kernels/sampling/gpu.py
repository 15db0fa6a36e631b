"""Weighted sums of looked-up pixels on a GPU: the functions of ``cpu.py``, launched."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import namespace
from ..launch import Kernel, plane_grid

_sample = Kernel(__file__, "sample")
_sample_input_grad = Kernel(__file__, "sample_input_grad")
_sample_weight_grad = Kernel(__file__, "sample_weight_grad")


def sample(x: Any, weight: Any, index: Any, y: Any) -> None:
    n, c, points = y.shape
    _sample(*plane_grid(n * c, points), x, weight, index, y, n * c, c, x.shape[2], index.shape[1], points)


def sample_input_grad(gy: Any, weight: Any, index: Any, gx: Any) -> None:
    """Sort the entries by pixel first, so that no two threads add to one place: the sum's order is fixed."""
    xp = namespace(gy)
    n, c, pixels = gx.shape
    flat = index.reshape(n, -1)
    # Which pixel of all images an entry looks at; those that are outside come last
    keys = xp.where(flat < 0, n * pixels, flat + pixels * xp.arange(n)[:, None]).reshape(-1)
    order = xp.argsort(keys, kind="stable")  # CuPy's is a radix sort
    starts = xp.searchsorted(keys[order], xp.arange(n * pixels + 1))
    order, starts = (xp.ascontiguousarray(array.astype(np.int64)) for array in (order, starts))
    grid = plane_grid(n * c, pixels)
    _sample_input_grad(*grid, gy, weight, order, starts, gx, n * c, c, pixels, gy.shape[2])


def sample_weight_grad(x: Any, gy: Any, index: Any, gw: Any) -> None:
    n, taps, points = gw.shape
    grid = plane_grid(n * taps, points)
    _sample_weight_grad(*grid, x, gy, index, gw, n, x.shape[1], x.shape[2], taps, points)
