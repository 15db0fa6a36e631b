"""Two-dimensional convolution, its two gradients and its transpose.

Convolution is linear in the image and in the weights, so one trilinear sum defines all of it:

    sum over n, o, i, j, c, u, v of
        gy[n, o, i, j] * w[o, c, u, v] * x[n, c, i*stride + u*dilation - padding, j*stride + v*dilation - padding]

``conv2d`` is its gradient by gy, ``conv2d_input_grad`` by x and ``conv2d_weight_grad`` by w. So each one's
gradients are the other two, to any order. ``conv_transpose2d`` is ``conv2d_input_grad`` under its usual name.
With groups, the channels of x and the filters are split into that many independent convolutions.

The meanings are PyTorch's. Sources of the algorithms are in docs/kernels.md.
"""

from __future__ import annotations

import numpy as np

from ..activation import leaky_relu
from ..arguments import Pair, arrays, dimensions, empty, kernels_for, output, pair, precision_option, slope_option

_X = "N,C,H,W"
_W = "O,C/groups,kH,kW"
_GY = "N,O,outH,outW"


def _options(operator: str, stride: int | Pair, padding: int | Pair, dilation: int | Pair) -> tuple[Pair, Pair, Pair]:
    """Return what all four operators take, as checked pairs."""
    return (
        pair(operator, "stride", stride, 1),
        pair(operator, "padding", padding, 0),
        pair(operator, "dilation", dilation, 1),
    )


def _groups(operator: str, groups: int, **channels: int) -> int:
    if not isinstance(groups, (int, np.integer)) or isinstance(groups, bool):
        raise TypeError(f"{operator}: groups must be an int, got {groups!r}")
    if groups < 1:
        raise ValueError(f"{operator}: groups must be at least 1, got {groups}")
    for name, count in channels.items():
        if count % groups:
            raise ValueError(f"{operator}: {name.replace('_', ' ')} = {count} does not divide by groups={groups}")
    return int(groups)


def prepared_bias(operator: str, bias: np.ndarray | None, like: np.ndarray, channels: int) -> np.ndarray:
    """Return the bias ready for a kernel; no bias is an array of length 0."""
    if bias is None:
        return empty((0,), like)
    if getattr(bias, "shape", (channels,)) != (channels,):
        raise ValueError(
            f"{operator}: bias.shape={bias.shape}, but there is one bias for each of the {channels} output "
            f"channels: ({channels},)"
        )
    return arrays(operator, input=like, bias=bias)[1]


def _windows(operator: str, size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """Return how many windows fit, each way: the size of the output."""
    span = (dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1)
    padded = (size[0] + 2 * padding[0], size[1] + 2 * padding[1])
    if min(kernel) < 1:
        raise ValueError(f"{operator}: the kernel is {kernel[0]}x{kernel[1]}; it must be at least 1x1")
    if span[0] > padded[0] or span[1] > padded[1]:
        raise ValueError(
            f"{operator}: the kernel covers {span[0]}x{span[1]} pixels (kernel {kernel}, dilation {dilation}) but "
            f"the padded input has {padded[0]}x{padded[1]} (input {size}, padding {padding}); pad more or use a "
            "smaller kernel"
        )
    return (padded[0] - span[0]) // stride[0] + 1, (padded[1] - span[1]) // stride[1] + 1


def _channels_match(operator: str, x_name: str, x: np.ndarray, w: np.ndarray, groups: int) -> None:
    if w.shape[1] * groups != x.shape[1]:
        by_groups = f" with groups={groups}" if groups > 1 else ""
        raise ValueError(
            f"{operator}: w.shape[1]={w.shape[1]}{by_groups} but {x_name}.shape[1]={x.shape[1]} "
            f"({x_name} is {_X}; w is {_W})"
        )


def filled_with_bias(y: np.ndarray, bias: np.ndarray, slope: float = 1.0) -> np.ndarray:
    """The result when there is nothing to sum over."""
    y[...] = leaky_relu(bias, slope)[:, None, None] if bias.size else 0
    return y


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    slope: float = 1.0,
    precision: str | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return y, N,O,outH,outW: the correlation of x with each filter, plus the filter's bias.

    Where that is not positive it is multiplied by ``slope``: a leaky ReLU in the same pass, for 0 a ReLU, for 1 none.

    Args:
        x: N,C,H,W, float32 or float64.
        w: O,C/groups,kH,kW, of the same dtype.
        bias: O, or None.
        stride, padding, dilation: an int, or a pair (vertical, horizontal). The padding is zeros, on both sides.
        groups: C and O are split into this many independent convolutions.
        slope: what a result that is not positive is multiplied by, at least 0.
        precision: None for the arrays' own, or "tf32": float32 on a GPU's tensor cores, with inputs rounded to 10
            bits of mantissa (relative error up to 2**-11 each) and sums in float32.
        out: where to write the result; of its shape and dtype, and sharing memory with no input.

    outH = (H + 2*padding - dilation*(kH - 1) - 1) // stride + 1, and outW likewise.

    Raises:
        TypeError: an input is no float array, or their dtypes differ, or an option has the wrong type.
        ValueError: shapes do not fit each other or the options.
    """
    name = "conv2d"
    x, w = arrays(name, x=x, w=w)
    dimensions(name, "x", x, _X)
    dimensions(name, "w", w, _W)
    stride, padding, dilation = _options(name, stride, padding, dilation)
    tensor_cores = precision_option(name, precision, x)
    groups = _groups(name, groups, input_channels=x.shape[1], output_channels=w.shape[0])
    _channels_match(name, "x", x, w, groups)
    slope = slope_option(name, slope)
    bias = prepared_bias(name, bias, x, w.shape[0])
    out_hw = _windows(name, x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = output(name, out, (x.shape[0], w.shape[0], *out_hw), (x, w, bias))
    if x.size == 0 or y.size == 0:
        return filled_with_bias(y, bias, slope)
    kernels_for(__package__, x).conv2d(
        x, w, bias, x.dtype.type(slope), y, stride, padding, dilation, groups, **tensor_cores
    )
    return y


def conv2d_input_grad(
    gy: np.ndarray,
    w: np.ndarray,
    input_hw: Pair,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    precision: str | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the gradient of conv2d by x, N,C,H,W, given gy, the gradient by its output.

    Args:
        gy: N,O,outH,outW, float32 or float64.
        w: O,C/groups,kH,kW, of the same dtype.
        input_hw: (H, W) of x. With a stride above 1 several sizes give the same output, so it must be said.
        stride, padding, dilation, groups, precision, out: as in ``conv2d``.

    Raises:
        TypeError, ValueError: as in ``conv2d``, and when gy is not the size that ``input_hw`` gives.
    """
    name = "conv2d_input_grad"
    gy, w = arrays(name, gy=gy, w=w)
    dimensions(name, "gy", gy, _GY)
    dimensions(name, "w", w, _W)
    input_hw = pair(name, "input_hw", input_hw, 0)
    stride, padding, dilation = _options(name, stride, padding, dilation)
    tensor_cores = precision_option(name, precision, gy)
    groups = _groups(name, groups, output_channels=w.shape[0])
    if gy.shape[1] != w.shape[0]:
        raise ValueError(f"{name}: gy.shape[1]={gy.shape[1]} but w.shape[0]={w.shape[0]} (gy is {_GY}; w is {_W})")
    out_hw = _windows(name, input_hw, w.shape[2:], stride, padding, dilation)
    _gradient_fits(name, gy, out_hw, "input_hw", input_hw)
    gx = output(name, out, (gy.shape[0], w.shape[1] * groups, *input_hw), (gy, w))
    if gy.size == 0 or gx.size == 0:
        return filled_with_bias(gx, empty((0,), gx))
    bias = empty((0,), gy)
    kernels_for(__package__, gy).conv2d_input_grad(gy, w, bias, gx, stride, padding, dilation, groups, **tensor_cores)
    return gx


def _gradient_fits(operator: str, gy: np.ndarray, out_hw: Pair, size_name: str, size: Pair) -> None:
    if gy.shape[2:] != out_hw:
        raise ValueError(
            f"{operator}: gy is {gy.shape[2]}x{gy.shape[3]}, but {size_name}={tuple(size)} with this kernel, stride, "
            f"padding and dilation gives an output of {out_hw[0]}x{out_hw[1]}"
        )


def conv2d_weight_grad(
    x: np.ndarray,
    gy: np.ndarray,
    kernel_hw: Pair,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    precision: str | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the gradient of conv2d by w, O,C/groups,kH,kW, given gy, the gradient by its output.

    Args:
        x: N,C,H,W, float32 or float64.
        gy: N,O,outH,outW, of the same dtype.
        kernel_hw: (kH, kW) of w.
        stride, padding, dilation, groups, precision, out: as in ``conv2d``.

    Raises:
        TypeError, ValueError: as in ``conv2d``, and when gy is not the size that x and ``kernel_hw`` give.
    """
    name = "conv2d_weight_grad"
    x, gy = arrays(name, x=x, gy=gy)
    dimensions(name, "x", x, _X)
    dimensions(name, "gy", gy, _GY)
    kernel_hw = pair(name, "kernel_hw", kernel_hw, 1)
    stride, padding, dilation = _options(name, stride, padding, dilation)
    tensor_cores = precision_option(name, precision, x)
    groups = _groups(name, groups, input_channels=x.shape[1], output_channels=gy.shape[1])
    if gy.shape[0] != x.shape[0]:
        raise ValueError(f"{name}: gy.shape[0]={gy.shape[0]} but x.shape[0]={x.shape[0]} (x is {_X}; gy is {_GY})")
    out_hw = _windows(name, x.shape[2:], kernel_hw, stride, padding, dilation)
    _gradient_fits(name, gy, out_hw, "the input", x.shape[2:])
    gw = output(name, out, (gy.shape[1], x.shape[1] // groups, *kernel_hw), (x, gy))
    if gy.size == 0 or gw.size == 0 or x.size == 0:
        return filled_with_bias(gw, empty((0,), gw))
    kernels_for(__package__, x).conv2d_weight_grad(x, gy, gw, stride, padding, dilation, groups, **tensor_cores)
    return gw


def conv_transpose2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    output_padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    precision: str | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return y, N,O,outH,outW: every input pixel stamps its filters, scaled, ``stride`` apart on the output.

    It is ``conv2d_input_grad`` of the convolution that would take y to the size of x.

    Args:
        x: N,I,H,W, float32 or float64.
        w: I,O/groups,kH,kW, of the same dtype: the axes of channels are in the other order than in ``conv2d``.
        bias: O, or None.
        stride, dilation, groups, precision, out: as in ``conv2d``.
        padding: rows and columns cut from each side of the result.
        output_padding: rows and columns added at the bottom and the right, where several output sizes belong to
            the same input size. Less than the stride or the dilation.

    outH = (H - 1)*stride - 2*padding + dilation*(kH - 1) + output_padding + 1, and outW likewise.

    Raises:
        TypeError, ValueError: as in ``conv2d``.
    """
    name = "conv_transpose2d"
    x, w = arrays(name, x=x, w=w)
    dimensions(name, "x", x, "N,I,H,W")
    dimensions(name, "w", w, "I,O/groups,kH,kW")
    stride, padding, dilation = _options(name, stride, padding, dilation)
    output_padding = pair(name, "output_padding", output_padding, 0)
    tensor_cores = precision_option(name, precision, x)
    groups = _groups(name, groups, input_channels=x.shape[1])
    if w.shape[0] != x.shape[1]:
        raise ValueError(
            f"{name}: w.shape[0]={w.shape[0]} but x.shape[1]={x.shape[1]} (x is N,I,H,W; w is I,O/groups,kH,kW)"
        )
    if min(w.shape[2:]) < 1:
        raise ValueError(f"{name}: the kernel is {w.shape[2]}x{w.shape[3]}; it must be at least 1x1")
    for axis in range(2):
        if output_padding[axis] >= max(stride[axis], dilation[axis]):
            raise ValueError(
                f"{name}: output_padding={output_padding} must be less than stride={stride} or dilation={dilation}"
            )
    channels = w.shape[1] * groups
    bias = prepared_bias(name, bias, x, channels)
    out_hw = tuple(
        (x.shape[2 + a] - 1) * stride[a] - 2 * padding[a] + dilation[a] * (w.shape[2 + a] - 1) + output_padding[a] + 1
        for a in range(2)
    )
    if min(out_hw) < 1:
        raise ValueError(
            f"{name}: the output would be {out_hw[0]}x{out_hw[1]} (input {x.shape[2:]}, kernel {w.shape[2:]}, "
            f"stride {stride}, padding {padding}); pad less"
        )
    y = output(name, out, (x.shape[0], channels, *out_hw), (x, w, bias))
    if x.size == 0 or y.size == 0:
        return filled_with_bias(y, bias)
    kernels_for(__package__, x).conv2d_input_grad(x, w, bias, y, stride, padding, dilation, groups, **tensor_cores)
    return y
