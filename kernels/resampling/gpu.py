"""A linear map along one axis on a GPU: the function of ``cpu.py``, launched."""

from __future__ import annotations

from typing import Any

from ..launch import THREADS, Kernel, grid_for

_resample = Kernel(__file__, "resample")


def resample(x: Any, y: Any, starts: Any, index: Any, weight: Any) -> None:
    outer, inputs, inner = x.shape
    _resample(grid_for(y.size), (THREADS,), x, y, starts, index, weight, outer, inputs, y.shape[1], inner)
