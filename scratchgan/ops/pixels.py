"""Blocks of pixels as channels and channels as blocks of pixels; windows as columns and columns as windows."""

from __future__ import annotations

import math
from typing import Any

from ..autograd import Function
from ..device import Array, namespace
from ..tensor import Tensor
from .arguments import PAIR_0, PAIR_1, TENSOR, integer, operator
from .shape import reshape, transpose

Pair = int | tuple[int, int]


@operator(x=TENSOR, upscale_factor=integer(1))
def pixel_shuffle(x: Any, upscale_factor: int) -> Tensor:
    """Channels to pixels (Shi et al., 2016): (N,C*r*r,H,W) -> (N,C,H*r,W*r).

    Channel c*r*r + i*r + j of the input is pixel (i, j) of every r x r block of channel c.
    """
    r = upscale_factor
    if x.ndim != 4 or x.shape[1] % (r * r):
        raise ValueError(f"pixel_shuffle: x must be (N,C*r*r,H,W) with r={r}, got {x.shape}")
    n, c, height, width = x.shape
    blocks = transpose(reshape(x, (n, c // (r * r), r, r, height, width)), (0, 1, 4, 2, 5, 3))
    return reshape(blocks, (n, c // (r * r), height * r, width * r))


@operator(x=TENSOR, downscale_factor=integer(1))
def pixel_unshuffle(x: Any, downscale_factor: int) -> Tensor:
    """Pixels to channels, the inverse of `pixel_shuffle`: (N,C,H*r,W*r) -> (N,C*r*r,H,W)."""
    r = downscale_factor
    if x.ndim != 4 or x.shape[2] % r or x.shape[3] % r:
        raise ValueError(f"pixel_unshuffle: x must be (N,C,H*r,W*r) with r={r}, got {x.shape}")
    n, c, height, width = x.shape
    blocks = transpose(reshape(x, (n, c, height // r, r, width // r, r)), (0, 1, 3, 5, 2, 4))
    return reshape(blocks, (n, c * r * r, height // r, width // r))


class Windows:
    """Where windows lie in an image of ``hw`` pixels: what `Unfold` and `Fold` share."""

    def __init__(self, operator: str, hw: Any, kernel: Any, stride: Any, padding: Any, dilation: Any):
        self.hw, self.kernel, self.stride, self.padding, self.dilation = hw, kernel, stride, padding, dilation
        reach = [d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        padded = [n + 2 * p for n, p in zip(hw, self.padding, strict=True)]
        if any(r > n for r, n in zip(reach, padded, strict=True)):
            raise ValueError(
                f"{operator}: the window reaches over {reach[0]}x{reach[1]} pixels, more than the padded image's "
                f"{padded[0]}x{padded[1]}"
            )
        self.count = tuple((n - r) // s + 1 for n, r, s in zip(padded, reach, self.stride, strict=True))

    def views(self, padded: Array) -> list[Array]:
        """Return, for each element of the window, that pixel of all windows: views (N,C,outH,outW)."""
        found = []
        for a in range(self.kernel[0]):
            for b in range(self.kernel[1]):
                rows, columns = (
                    slice(k * d, k * d + (n - 1) * s + 1, s)
                    for k, d, n, s in zip((a, b), self.dilation, self.count, self.stride, strict=True)
                )
                found.append(padded[:, :, rows, columns])
        return found


class Unfold(Function):
    """Copies windows to columns; its gradient, `Fold`, adds them up where they came from."""

    saves_inputs = saves_output = False

    def __init__(self, windows: Windows):
        self.windows = windows

    def forward(self, x: Array) -> Array:
        (ph, pw), xp = self.windows.padding, namespace(x)
        padded = xp.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
        columns = xp.stack(self.windows.views(padded), 2)
        return columns.reshape(x.shape[0], x.shape[1] * columns.shape[2], math.prod(self.windows.count))

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return Fold(self.windows)(gy)


class Fold(Function):
    saves_inputs = saves_output = False

    def __init__(self, windows: Windows):
        self.windows = windows

    def forward(self, x: Array) -> Array:
        w, (ph, pw) = self.windows, self.windows.padding
        taps = w.kernel[0] * w.kernel[1]
        n, c = x.shape[0], x.shape[1] // taps
        columns = x.reshape(n, c, taps, *w.count)
        padded = namespace(x).zeros((n, c, w.hw[0] + 2 * ph, w.hw[1] + 2 * pw), x.dtype)
        for tap, view in enumerate(w.views(padded)):
            view += columns[:, :, tap]
        return padded[:, :, ph : ph + w.hw[0], pw : pw + w.hw[1]]

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return Unfold(self.windows)(gy)


@operator(x=TENSOR, kernel=PAIR_1, dilation=PAIR_1, padding=PAIR_0, stride=PAIR_1)
def unfold(x: Any, kernel: Pair, dilation: Pair = (1, 1), padding: Pair = (0, 0), stride: Pair = (1, 1)) -> Tensor:
    """Every window as a column (im2col): (N,C,H,W) -> (N,C*kH*kW,outH*outW), rows in the order (c, a, b)."""
    if x.ndim != 4:
        raise ValueError(f"unfold: x must be (N,C,H,W), got {x.shape}")
    return Unfold(Windows("unfold", (x.shape[2], x.shape[3]), kernel, stride, padding, dilation))(x)


@operator(x=TENSOR, output_size=PAIR_1, kernel=PAIR_1, dilation=PAIR_1, padding=PAIR_0, stride=PAIR_1)
def fold(
    x: Any,
    output_size: Pair,
    kernel: Pair,
    dilation: Pair = (1, 1),
    padding: Pair = (0, 0),
    stride: Pair = (1, 1),
) -> Tensor:
    """Columns added up where `unfold` takes them from: (N,C*kH*kW,outH*outW) -> (N,C,*output_size)."""
    windows = Windows("fold", output_size, kernel, stride, padding, dilation)
    taps, count = math.prod(windows.kernel), math.prod(windows.count)
    if x.ndim != 3 or x.shape[1] % taps or x.shape[2] != count:
        raise ValueError(
            f"fold: x must be (N,C*{taps},{count}) for {windows.count[0]}x{windows.count[1]} windows of "
            f"{windows.kernel[0]}x{windows.kernel[1]}, got {x.shape}"
        )
    if x.data.dtype == bool:
        raise TypeError("fold: x is bool; it needs numbers")
    return Fold(windows)(x)
