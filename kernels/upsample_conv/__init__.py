"""Nearest-neighbour upsampling followed by a convolution, as one operator, and its two gradients.

``upsample_conv2d(x, w, scale=s, padding=p)`` equals ``conv2d(upsample_nearest2d(x, s), w, padding=p)``, but the
large image is never made. Where several kernel elements fall on copies of one pixel, their weights are added up
first: with scale 2 and a 3x3 kernel, 16 multiplications do for four outputs where 36 did (``conv/folded.py`` shows
how), and on the CPU 9, with sums of pixels too (``conv/bilinear.py``).

Adding weights first rounds differently than adding products, and an infinite weight or pixel can come out as inf
where the two-step form has inf - inf = NaN. NaN always stays NaN; in the weight gradient, a pixel that is not finite
may also reach kernel elements that it never meets.
"""

from __future__ import annotations

import numpy as np

from ..arguments import Pair, arrays, dimensions, empty, kernels_for, output, pair, precision_option, slope_option
from ..conv import filled_with_bias, prepared_bias

_X = "N,C,H,W"
_W = "O,C,kH,kW"
_GY = "N,O,outH,outW"


def _output_hw(operator: str, size: Pair, kernel: Pair, scale: Pair, padding: Pair) -> Pair:
    if min(kernel) < 1:
        raise ValueError(f"{operator}: the kernel is {kernel[0]}x{kernel[1]}; it must be at least 1x1")
    height, width = (size[a] * scale[a] + 2 * padding[a] - kernel[a] + 1 for a in range(2))
    if height < 1 or width < 1:
        raise ValueError(
            f"{operator}: the kernel {kernel[0]}x{kernel[1]} is larger than the upsampled and padded input, "
            f"{height + kernel[0] - 1}x{width + kernel[1] - 1} (input {tuple(size)}, scale {scale}, padding {padding})"
        )
    return height, width


def upsample_conv2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    scale: int | Pair = 2,
    padding: int | Pair = 1,
    slope: float = 1.0,
    precision: str | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return y, N,O,outH,outW: x enlarged ``scale`` times by repeating its pixels, then convolved with w.

    Args:
        x: N,C,H,W, float32 or float64.
        w: O,C,kH,kW, of the same dtype.
        bias: O, or None.
        scale, padding: an int, or a pair (vertical, horizontal). The padding, zeros, is counted in large pixels.
        slope, precision: as in ``conv2d``.
        out: where to write the result; of its shape and dtype, and sharing memory with no input.

    outH = scale*H + 2*padding - kH + 1, and outW likewise.

    Raises:
        TypeError: an input is no float array, or their dtypes differ, or an option has the wrong type.
        ValueError: shapes do not fit each other or the options.
    """
    name = "upsample_conv2d"
    x, w = arrays(name, x=x, w=w)
    dimensions(name, "x", x, _X)
    dimensions(name, "w", w, _W)
    scale, padding = pair(name, "scale", scale, 1), pair(name, "padding", padding, 0)
    tensor_cores = precision_option(name, precision, x)
    if w.shape[1] != x.shape[1]:
        raise ValueError(f"{name}: w.shape[1]={w.shape[1]} but x.shape[1]={x.shape[1]} (x is {_X}; w is {_W})")
    slope = slope_option(name, slope)
    bias = prepared_bias(name, bias, x, w.shape[0])
    out_hw = _output_hw(name, x.shape[2:], w.shape[2:], scale, padding)
    y = output(name, out, (x.shape[0], w.shape[0], *out_hw), (x, w, bias))
    if x.size == 0 or y.size == 0:
        return filled_with_bias(y, bias, slope)
    kernels_for(__package__, x).upsample_conv2d(x, w, bias, x.dtype.type(slope), y, scale, padding, **tensor_cores)
    return y


def upsample_conv2d_input_grad(
    gy: np.ndarray,
    w: np.ndarray,
    *,
    scale: int | Pair = 2,
    padding: int | Pair = 1,
    precision: str | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the gradient of upsample_conv2d by x, N,C,H,W, given gy, the gradient by its output.

    H = (outH - 2*padding + kH - 1) / scale, and W likewise.

    Args:
        gy: N,O,outH,outW, float32 or float64.
        w: O,C,kH,kW, of the same dtype.
        scale, padding, precision, out: as in ``upsample_conv2d``.

    Raises:
        TypeError, ValueError: as in ``upsample_conv2d``, and when no x gives an output of gy's size.
    """
    name = "upsample_conv2d_input_grad"
    gy, w = arrays(name, gy=gy, w=w)
    dimensions(name, "gy", gy, _GY)
    dimensions(name, "w", w, _W)
    scale, padding = pair(name, "scale", scale, 1), pair(name, "padding", padding, 0)
    tensor_cores = precision_option(name, precision, gy)
    if gy.shape[1] != w.shape[0]:
        raise ValueError(f"{name}: gy.shape[1]={gy.shape[1]} but w.shape[0]={w.shape[0]} (gy is {_GY}; w is {_W})")
    if min(w.shape[2:]) < 1:
        raise ValueError(f"{name}: the kernel is {w.shape[2]}x{w.shape[3]}; it must be at least 1x1")
    large = tuple(gy.shape[2 + a] - 2 * padding[a] + w.shape[2 + a] - 1 for a in range(2))
    if min(large) < 0 or large[0] % scale[0] or large[1] % scale[1]:
        raise ValueError(
            f"{name}: gy is {gy.shape[2]}x{gy.shape[3]}, so with kernel {w.shape[2:]} and padding {padding} the "
            f"upsampled input was {large[0]}x{large[1]}, which is not a multiple of scale={scale}"
        )
    gx = output(name, out, (gy.shape[0], w.shape[1], large[0] // scale[0], large[1] // scale[1]), (gy, w))
    if gy.size == 0 or gx.size == 0:
        return filled_with_bias(gx, empty((0,), gx))
    kernels_for(__package__, gy).upsample_conv2d_input_grad(gy, w, gx, scale, padding, **tensor_cores)
    return gx


def upsample_conv2d_weight_grad(
    x: np.ndarray,
    gy: np.ndarray,
    kernel_hw: Pair,
    *,
    scale: int | Pair = 2,
    padding: int | Pair = 1,
    precision: str | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the gradient of upsample_conv2d by w, O,C,kH,kW, given gy, the gradient by its output.

    Args:
        x: N,C,H,W, float32 or float64.
        gy: N,O,outH,outW, of the same dtype.
        kernel_hw: (kH, kW) of w.
        scale, padding, precision, out: as in ``upsample_conv2d``.

    Raises:
        TypeError, ValueError: as in ``upsample_conv2d``, and when gy is not the size that x and the options give.
    """
    name = "upsample_conv2d_weight_grad"
    x, gy = arrays(name, x=x, gy=gy)
    dimensions(name, "x", x, _X)
    dimensions(name, "gy", gy, _GY)
    kernel_hw = pair(name, "kernel_hw", kernel_hw, 1)
    scale, padding = pair(name, "scale", scale, 1), pair(name, "padding", padding, 0)
    tensor_cores = precision_option(name, precision, x)
    if gy.shape[0] != x.shape[0]:
        raise ValueError(f"{name}: gy.shape[0]={gy.shape[0]} but x.shape[0]={x.shape[0]} (x is {_X}; gy is {_GY})")
    out_hw = _output_hw(name, x.shape[2:], kernel_hw, scale, padding)
    if gy.shape[2:] != out_hw:
        raise ValueError(
            f"{name}: gy is {gy.shape[2]}x{gy.shape[3]}, but x {x.shape[2]}x{x.shape[3]} with scale {scale}, kernel "
            f"{kernel_hw} and padding {padding} gives an output of {out_hw[0]}x{out_hw[1]}"
        )
    gw = output(name, out, (gy.shape[1], x.shape[1], *kernel_hw), (x, gy))
    if x.size == 0 or gy.size == 0 or gw.size == 0:
        return filled_with_bias(gw, empty((0,), gw))
    kernels_for(__package__, x).upsample_conv2d_weight_grad(x, gy, gw, scale, padding, **tensor_cores)
    return gw
