"""Convolution on a GPU: the functions of ``cpu.py``, through the kernels of ``gpu.cu``.

``precision="tf32"`` lets float32 run on tensor cores, with inputs rounded to 10 bits of mantissa.
"""

from __future__ import annotations

from typing import Any

from ..arguments import Pair
from .gpu_tiles import Geometry, activate, convolve, correlate, pack, packed_like, plan


def conv2d(
    x: Any,
    w: Any,
    bias: Any,
    slope: float,
    y: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    precision: str = "float32",
) -> None:
    """Fill y. The arguments are checked, in C order and not empty."""
    outputs, channels, *kernel = w.shape
    rows, area = outputs // groups, kernel[0] * kernel[1]
    geometry = Geometry(False, tuple(kernel), stride, padding, dilation)
    chosen = plan(geometry, x, y, groups, precision)
    packed = packed_like(chosen, geometry, w, groups)
    pack(w, packed, channels, rows, rows * channels * area, channels * area, area, chosen.tf32)
    convolve(geometry, chosen, x, packed, bias, y, groups)
    activate(y, slope)


def conv2d_input_grad(
    gy: Any,
    w: Any,
    bias: Any,
    gx: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    precision: str = "float32",
) -> None:
    """Fill gx, as above. With a bias it is the transposed convolution."""
    outputs, rows, *kernel = w.shape
    channels, area = outputs // groups, kernel[0] * kernel[1]
    geometry = Geometry(True, tuple(kernel), stride, padding, dilation)
    chosen = plan(geometry, gy, gx, groups, precision)
    packed = packed_like(chosen, geometry, w, groups)
    pack(w, packed, channels, rows, channels * rows * area, area, rows * area, chosen.tf32)
    convolve(geometry, chosen, gy, packed, bias, gx, groups)


def conv2d_weight_grad(
    x: Any,
    gy: Any,
    gw: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    precision: str = "float32",
) -> None:
    """Fill gw, as above."""
    geometry = Geometry(False, gw.shape[2:], stride, padding, dilation)
    correlate(geometry, x, gy, gw, groups, precision)
