"""Scaling and shifting planes on a GPU: the functions of ``cpu.py``, launched."""

from __future__ import annotations

from typing import Any

from ..launch import THREADS, Kernel, grid_for, plane_grid

_scale_shift = Kernel(__file__, "scale_shift")
_scale_shift_grad = Kernel(__file__, "scale_shift_grad")


def scale_shift(x: Any, scale: Any, shift: Any, slope: Any, y: Any) -> None:
    grid, block = plane_grid(*x.shape)
    _scale_shift(grid, block, x, scale, shift, slope, y, *x.shape)


def scale_shift_grad(gy: Any, x: Any, scale: Any, shift: Any, slope: Any, gx: Any, gscale: Any, gshift: Any) -> None:
    planes, pixels = x.shape
    threads = min(THREADS, -(-pixels // 32) * 32)  # whole warps
    _scale_shift_grad(
        grid_for(planes, 1), (threads,), gy, x, scale, shift, slope, gx, gscale, gshift, planes, pixels
    )  # fmt: skip
