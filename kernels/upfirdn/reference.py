"""upfirdn2d step by step, as its name says: zeros in between, a margin, a filter, and every ``down``-th result."""

import numpy as np

Pair = tuple[int, int]
Sides = tuple[Pair, Pair]


def _filter2d(f: np.ndarray) -> np.ndarray:
    return np.outer(f, f) if f.ndim == 1 else f


def upfirdn2d(x: np.ndarray, f: np.ndarray, up: Pair, down: Pair, padding: Sides) -> np.ndarray:
    """Return y; ``padding`` is ((top, bottom), (left, right)), and a negative number cuts pixels off."""
    f = _filter2d(f)
    n, c, height, width = x.shape
    spread = np.zeros((n, c, height * up[0], width * up[1]), x.dtype)
    spread[:, :, :: up[0], :: up[1]] = x
    margins = [(max(a, 0), max(b, 0)) for a, b in padding]
    framed = np.pad(spread, ((0, 0), (0, 0), *margins))
    (top, bottom), (left, right) = ((max(-a, 0), max(-b, 0)) for a, b in padding)
    framed = framed[:, :, top : framed.shape[2] - bottom, left : framed.shape[3] - right]
    tall, wide = ((size - taps) // step + 1 for size, taps, step in zip(framed.shape[2:], f.shape, down, strict=True))
    y = np.zeros((n, c, tall, wide), x.dtype)
    turned = f[::-1, ::-1]  # a convolution turns its filter
    for i in range(tall):
        for j in range(wide):
            window = framed[:, :, i * down[0] : i * down[0] + f.shape[0], j * down[1] : j * down[1] + f.shape[1]]
            y[:, :, i, j] = (window * turned).sum((2, 3))
    return y


def upfirdn2d_grad(gy: np.ndarray, f: np.ndarray, input_hw: Pair, up: Pair, down: Pair, padding: Sides) -> np.ndarray:
    """Return the transpose: every output's gradient goes back, weighted, to the inputs that it read."""
    f = _filter2d(f)
    n, c, tall, wide = gy.shape
    gx = np.zeros((n, c, *input_hw), gy.dtype)
    for i in range(tall):
        for j in range(wide):
            for a in range(f.shape[0]):
                for b in range(f.shape[1]):
                    row, skipped = divmod(i * down[0] + a - padding[0][0], up[0])
                    column, missed = divmod(j * down[1] + b - padding[1][0], up[1])
                    if not skipped and not missed and 0 <= row < input_hw[0] and 0 <= column < input_hw[1]:
                        gx[:, :, row, column] += f[-1 - a, -1 - b] * gy[:, :, i, j]
    return gx
