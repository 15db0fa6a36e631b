"""Upsampling and convolution on a GPU: the functions of ``cpu.py``, as transposed convolutions with folded filters."""

from __future__ import annotations

from typing import Any

from ..arguments import Pair, empty
from ..conv.gpu_tiles import Geometry, activate, convolve, correlate, packed_like, plan
from ..launch import THREADS, Kernel, grid_for

_fold = Kernel(__file__, "fold")
_unfold = Kernel(__file__, "unfold")


def _geometry(transposed: bool, kernel: Pair, scale: Pair, padding: Pair) -> Geometry:
    folded = (kernel[0] + scale[0] - 1, kernel[1] + scale[1] - 1)
    cut = (kernel[0] - 1 - padding[0], kernel[1] - 1 - padding[1])  # negative if the result gains zeros
    return Geometry(transposed, folded, scale, cut, (1, 1))


def _convolved(
    transposed: bool, x: Any, w: Any, rows: int, row_stride: int, channel_stride: int, bias: Any, y: Any, scale: Pair,
    padding: Pair, precision: str,
) -> None:  # fmt: skip
    kernel = w.shape[2:]
    geometry = _geometry(transposed, kernel, scale, padding)
    chosen = plan(geometry, x, y, 1, precision)
    packed = packed_like(chosen, geometry, w, 1)
    _fold(
        grid_for(chosen.channels * chosen.rows), (THREADS,), w, packed, x.shape[1], chosen.channels, rows, chosen.rows,
        *kernel, *scale, row_stride, channel_stride, chosen.tf32,
    )  # fmt: skip
    convolve(geometry, chosen, x, packed, bias, y, 1)


def upsample_conv2d(
    x: Any, w: Any, bias: Any, slope: float, y: Any, scale: Pair, padding: Pair, precision: str = "float32"
) -> None:
    """Fill y. The arguments are checked, in C order and not empty."""
    outputs, channels, *kernel = w.shape
    area = kernel[0] * kernel[1]
    _convolved(True, x, w, outputs, channels * area, area, bias, y, scale, padding, precision)
    activate(y, slope)


def upsample_conv2d_input_grad(
    gy: Any, w: Any, gx: Any, scale: Pair, padding: Pair, precision: str = "float32"
) -> None:
    """Fill gx, as above."""
    channels, area = w.shape[1], w.shape[2] * w.shape[3]
    _convolved(False, gy, w, channels, area, channels * area, empty((0,), gy), gx, scale, padding, precision)


def upsample_conv2d_weight_grad(
    x: Any, gy: Any, gw: Any, scale: Pair, padding: Pair, precision: str = "float32"
) -> None:
    """Fill gw, as above: the folded filter's gradient, with x as the small and gy as the large image, unfolded."""
    kernel = gw.shape[2:]
    geometry = _geometry(False, kernel, scale, padding)
    folded = empty((x.shape[1], gy.shape[1], *geometry.kernel), gw)
    correlate(geometry, gy, x, folded, 1, precision)
    _unfold(grid_for(gw.size), (THREADS,), folded, gw, x.shape[1], gy.shape[1], *kernel, *scale)
