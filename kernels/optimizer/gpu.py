"""Adam and the moving average on a GPU: the functions of ``cpu.py``, launched."""

from __future__ import annotations

from typing import Any

from ..launch import THREADS, Kernel, grid_for

_adam = Kernel(__file__, "adam")
_ema = Kernel(__file__, "ema")


def adam(parameter: Any, gradient: Any, mean: Any, square: Any, *scalars_and_result: Any) -> None:
    *scalars, result = scalars_and_result
    grid = grid_for(parameter.size, 4 * THREADS)
    _adam(grid, (THREADS,), parameter, gradient, mean, square, *scalars, result, parameter.size)


def ema(average: Any, parameter: Any, decay: Any, rest: Any, result: Any) -> None:
    _ema(grid_for(average.size, 4 * THREADS), (THREADS,), average, parameter, decay, rest, result, average.size)
