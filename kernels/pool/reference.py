"""Pooling straight from the definitions: one window at a time; the gradients scatter."""

import numpy as np

Pair = tuple[int, int]


def _starts(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> range:
    """Return where each window begins, in coordinates in which the image begins at 0."""
    return range(-padding, size + padding - dilation * (kernel - 1), stride)


def max_pool2d(
    x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> tuple[np.ndarray, np.ndarray]:
    """Return (y, index); the first maximum of a window wins, but the last NaN wins over all."""
    n, c, height, width = x.shape
    rows = _starts(height, kernel[0], stride[0], padding[0], dilation[0])
    columns = _starts(width, kernel[1], stride[1], padding[1], dilation[1])
    y = np.empty((n, c, len(rows), len(columns)), x.dtype)
    index = np.empty(y.shape, np.int64)
    for place in np.ndindex(y.shape):
        image = x[place[:2]]
        best = None
        for a in range(kernel[0]):
            for b in range(kernel[1]):
                i = rows[place[2]] + a * dilation[0]
                j = columns[place[3]] + b * dilation[1]
                if not (0 <= i < height and 0 <= j < width):
                    continue
                if best is None or image[i, j] > image[best] or np.isnan(image[i, j]):
                    best = i, j
        assert best is not None
        y[place] = image[best]
        index[place] = best[0] * width + best[1]
    return y, index


def max_pool2d_grad(gy: np.ndarray, index: np.ndarray, input_hw: Pair) -> np.ndarray:
    """Add every gy to the pixel that its window chose."""
    gx = np.zeros((*gy.shape[:2], input_hw[0] * input_hw[1]), gy.dtype)
    for place in np.ndindex(gy.shape):
        gx[place[0], place[1], index[place]] += gy[place]
    return gx.reshape(*gy.shape[:2], *input_hw)


def max_pool2d_gather(x: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Read every window's chosen pixel."""
    y = np.empty(index.shape, x.dtype)
    for place in np.ndindex(index.shape):
        y[place] = x[place[0], place[1]].flat[index[place]]
    return y


def _windows(
    height: int, width: int, kernel: Pair, stride: Pair, padding: Pair, count_include_pad: bool
) -> list[tuple[int, int, slice, slice, int]]:
    """Return (u, v, rows, columns, divisor) of every window, cut to the image."""
    windows = []
    for u, top in enumerate(_starts(height, kernel[0], stride[0], padding[0])):
        for v, left in enumerate(_starts(width, kernel[1], stride[1], padding[1])):
            rows = slice(max(top, 0), min(top + kernel[0], height))
            columns = slice(max(left, 0), min(left + kernel[1], width))
            inside = (rows.stop - rows.start) * (columns.stop - columns.start)
            windows.append((u, v, rows, columns, kernel[0] * kernel[1] if count_include_pad else inside))
    return windows


def avg_pool2d(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, count_include_pad: bool) -> np.ndarray:
    """Return the mean of each window; the padding counts as zeros or not at all."""
    n, c, height, width = x.shape
    windows = _windows(height, width, kernel, stride, padding, count_include_pad)
    y = np.empty((n, c, windows[-1][0] + 1, windows[-1][1] + 1), x.dtype)
    for u, v, rows, columns, divisor in windows:
        y[:, :, u, v] = x[:, :, rows, columns].sum(axis=(2, 3)) / divisor
    return y


def avg_pool2d_grad(
    gy: np.ndarray, input_hw: Pair, kernel: Pair, stride: Pair, padding: Pair, count_include_pad: bool
) -> np.ndarray:
    """Share every gy equally among its window's pixels."""
    gx = np.zeros((*gy.shape[:2], *input_hw), gy.dtype)
    for u, v, rows, columns, divisor in _windows(*input_hw, kernel, stride, padding, count_include_pad):
        gx[:, :, rows, columns] += (gy[:, :, u, v] / divisor)[:, :, None, None]
    return gx
