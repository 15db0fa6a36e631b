"""Leaky ReLU on a GPU: the functions of ``cpu.py``, launched."""

from __future__ import annotations

from typing import Any

from ..launch import THREADS, Kernel, grid_for

_leaky_relu = Kernel(__file__, "leaky_relu")
_leaky_relu_grad = Kernel(__file__, "leaky_relu_grad")


def leaky_relu(x: Any, slope: float, y: Any) -> None:
    _leaky_relu(grid_for(y.size, 4 * THREADS), (THREADS,), x, slope, y, y.size)


def leaky_relu_grad(gy: Any, x: Any, slope: float, gx: Any) -> None:
    _leaky_relu_grad(grid_for(gx.size, 4 * THREADS), (THREADS,), gy, x, slope, gx, gx.size)
