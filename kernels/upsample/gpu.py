"""Upsampling on a GPU: the functions of ``cpu.py``, launched. The bilinear weights are computed in the kernels."""

from __future__ import annotations

from typing import Any

from ..launch import Kernel, aligned, plane_grid

_nearest = Kernel(__file__, "nearest")
_nearest_twice = Kernel(__file__, "nearest_twice")
_nearest_grad = Kernel(__file__, "nearest_grad")
_nearest_twice_grad = Kernel(__file__, "nearest_twice_grad")
_bilinear = Kernel(__file__, "bilinear")
_bilinear_twice = Kernel(__file__, "bilinear_twice")
_bilinear_grad = Kernel(__file__, "bilinear_grad")
_bilinear_twice_grad = Kernel(__file__, "bilinear_twice_grad")


def _in_packs(small: Any, large: Any, sh: int, sw: int, size: int = 8) -> int:
    """How many values (``size`` bytes) of the small image a thread takes when both factors are 2.

    0 where rows or memory do not fit.
    """
    count = size // small.dtype.itemsize
    return count if sh == sw == 2 and small.shape[2] % count == 0 and aligned(small, large) else 0


def nearest(x: Any, y: Any, sh: int, sw: int) -> None:
    planes, height, width = x.shape
    half = _in_packs(x, y, sh, sw)
    if half:
        _nearest_twice(*plane_grid(planes, height * width // half), x, y, planes, height, width)
    else:
        _nearest(*plane_grid(planes, height * width * sh * sw), x, y, planes, height, width, sh, sw)


def nearest_grad(gy: Any, gx: Any, sh: int, sw: int) -> None:
    planes, height, width = gx.shape
    half = _in_packs(gx, gy, sh, sw)
    if half:
        _nearest_twice_grad(*plane_grid(planes, height * width // half), gy, gx, planes, height, width)
    else:
        _nearest_grad(*plane_grid(planes, height * width), gy, gx, planes, height, width, sh, sw)


def bilinear(x: Any, y: Any, step_h: Any, own_h: Any, other_h: Any, step_w: Any, own_w: Any, other_w: Any) -> None:
    planes, height, width = x.shape
    sh, sw = step_h.size, step_w.size
    half = _in_packs(x, y, sh, sw)
    if half:
        _bilinear_twice(*plane_grid(planes, height * width // half), x, y, planes, height, width)
        return
    _bilinear(*plane_grid(planes, height * width * sh * sw), x, y, planes, height, width, sh, sw)


def bilinear_grad(gy: Any, gx: Any, taps_h: Any, taps_w: Any, sh: int, sw: int) -> None:
    planes, height, width = gx.shape
    pack = _in_packs(gx, gy, sh, sw, 16)
    if pack:
        _bilinear_twice_grad(*plane_grid(planes, height * width // pack), gy, gx, planes, height, width)
        return
    _bilinear_grad(*plane_grid(planes, height * width), gy, gx, planes, height, width, sh, sw)
