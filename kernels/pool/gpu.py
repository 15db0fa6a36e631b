"""Pooling on a GPU: the functions of ``cpu.py``, launched.

``max_pool_grad`` and ``max_pool_gather`` return 0 for the number of indices outside the image: to count them would
mean to wait for the GPU. There the gradient skips them, and the gather gives NaN.
"""

from __future__ import annotations

from typing import Any

from ..launch import THREADS, Kernel, grid_for, plane_grid

_max_pool = Kernel(__file__, "max_pool")
_max_pool_grad = Kernel(__file__, "max_pool_grad")
_max_pool_gather = Kernel(__file__, "max_pool_gather")
_avg_pool = Kernel(__file__, "avg_pool")
_avg_pool_grad = Kernel(__file__, "avg_pool_grad")


def max_pool(x: Any, y: Any, index: Any, first_row: Any, first_column: Any, *window: int) -> None:
    planes, tall, wide = y.shape
    _max_pool(*plane_grid(planes, tall * wide), x, y, index, planes, *x.shape[1:], tall, wide, *window)


def max_pool_grad(gy: Any, index: Any, gx: Any) -> int:
    planes, pixels = gx.shape
    _max_pool_grad(grid_for(planes, 1), (THREADS,), gy, index, gx, planes, gy.shape[1], pixels)
    return 0


def max_pool_gather(x: Any, index: Any, y: Any) -> int:
    planes, count = y.shape
    _max_pool_gather(*plane_grid(planes, count), x, index, y, planes, count, x.shape[1])
    return 0


def _includes_padding(count_h: Any, count_w: Any, kh: int, kw: int) -> bool:
    return bool((count_h == kh).all() and (count_w == kw).all())


def avg_pool(x: Any, y: Any, count_h: Any, count_w: Any, kh: int, kw: int, *rest: int) -> None:
    planes, tall, wide = y.shape
    include = _includes_padding(count_h, count_w, kh, kw)
    _avg_pool(*plane_grid(planes, tall * wide), x, y, planes, *x.shape[1:], tall, wide, kh, kw, *rest, include)


def avg_pool_grad(gy: Any, gx: Any, count_h: Any, count_w: Any, kh: int, kw: int, *rest: int) -> None:
    planes, height, width = gx.shape
    include = _includes_padding(count_h, count_w, kh, kw)
    _avg_pool_grad(
        *plane_grid(planes, height * width), gy, gx, planes, height, width, *gy.shape[1:], kh, kw, *rest, include
    )
