"""Convolution as its definition reads: one window at a time. The oracle of the tests; slow, and independent of
``cpu.py`` and of the validation.

Arguments are as in the package, but stride, padding and dilation are always pairs and nothing is optional.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Pair = tuple[int, int]


def output_size(size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """How many windows of ``kernel`` fit, each way."""
    return tuple(  # type: ignore[return-value]
        (n + 2 * p - (d * (k - 1) + 1)) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )


def _padded(x: np.ndarray, padding: Pair) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))


def _windows(
    shape: tuple[int, ...], kernel: Pair, out_hw: Pair, stride: Pair, dilation: Pair, groups: int
) -> Iterator[tuple[int, int, int, tuple[slice, ...]]]:
    """Yield (o, i, j, window): output channel o at (i, j) reads ``padded[window]``, (N, C/groups, kH, kW)."""
    outputs, channels = shape
    for o in range(outputs):
        group = o // (outputs // groups)
        size = channels // groups
        for i in range(out_hw[0]):
            for j in range(out_hw[1]):
                top, left = i * stride[0], j * stride[1]
                yield (
                    o,
                    i,
                    j,
                    (
                        slice(None),
                        slice(group * size, (group + 1) * size),
                        slice(top, top + dilation[0] * (kernel[0] - 1) + 1, dilation[0]),
                        slice(left, left + dilation[1] * (kernel[1] - 1) + 1, dilation[1]),
                    ),
                )


def conv2d(x: np.ndarray, w: np.ndarray, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> np.ndarray:
    """y[n, o, i, j] = sum of window (i, j) of x times filter o."""
    kernel = w.shape[2:]
    out_hw = output_size(x.shape[2:], kernel, stride, padding, dilation)
    padded = _padded(x, padding)
    y = np.zeros((x.shape[0], w.shape[0], *out_hw), x.dtype)
    for o, i, j, window in _windows((w.shape[0], x.shape[1]), kernel, out_hw, stride, dilation, groups):
        y[:, o, i, j] = (padded[window] * w[o]).sum((1, 2, 3))
    return y


def conv2d_input_grad(
    gy: np.ndarray, w: np.ndarray, input_hw: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> np.ndarray:
    """Each output spreads its gradient over the window that it was read from, weighted by its filter."""
    channels = w.shape[1] * groups
    shape = (gy.shape[0], channels, input_hw[0] + 2 * padding[0], input_hw[1] + 2 * padding[1])
    padded = np.zeros(shape, gy.dtype)
    for o, i, j, window in _windows((w.shape[0], channels), w.shape[2:], gy.shape[2:], stride, dilation, groups):
        padded[window] += gy[:, o, i, j, None, None, None] * w[o]
    top, left = padding
    return padded[:, :, top : top + input_hw[0], left : left + input_hw[1]]


def conv2d_weight_grad(
    x: np.ndarray, gy: np.ndarray, kernel_hw: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> np.ndarray:
    """Each filter gathers the windows that it was applied to, weighted by the gradient of what came out."""
    padded = _padded(x, padding)
    gw = np.zeros((gy.shape[1], x.shape[1] // groups, *kernel_hw), x.dtype)
    for o, i, j, window in _windows((gy.shape[1], x.shape[1]), kernel_hw, gy.shape[2:], stride, dilation, groups):
        gw[o] += (gy[:, o, i, j, None, None, None] * padded[window]).sum(0)
    return gw


def conv_transpose2d(
    x: np.ndarray,
    w: np.ndarray,
    stride: Pair,
    padding: Pair,
    output_padding: Pair,
    dilation: Pair,
    groups: int,
) -> np.ndarray:
    """Each input pixel stamps its filter, scaled, on the output; w is I,O/groups,kH,kW."""
    size_in, size_out = w.shape[0] // groups, w.shape[1]
    kernel = w.shape[2:]
    full = tuple(
        (n - 1) * s + d * (k - 1) + 1 + extra
        for n, s, d, k, extra in zip(x.shape[2:], stride, dilation, kernel, output_padding, strict=True)
    )
    canvas = np.zeros((x.shape[0], size_out * groups, *full), x.dtype)
    for c in range(w.shape[0]):
        o = c // size_in * size_out
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                for u in range(kernel[0]):
                    for v in range(kernel[1]):
                        row, column = i * stride[0] + u * dilation[0], j * stride[1] + v * dilation[1]
                        canvas[:, o : o + size_out, row, column] += x[:, c, i, j, None] * w[c, :, u, v]
    height, width = full[0] - 2 * padding[0], full[1] - 2 * padding[1]
    return canvas[:, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width]
