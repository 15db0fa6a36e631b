"""Looked-up pixels and their weighted sums, one term at a time."""

from collections.abc import Iterator

import numpy as np


def _terms(index: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Yield (n, k, m, pixel) of all that are inside, in that order."""
    for (n, k, m), pixel in np.ndenumerate(index):
        if pixel >= 0:
            yield n, k, m, int(pixel)


def sample_pixels(x: np.ndarray, weight: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return y (N,C,M)."""
    y = np.zeros((*x.shape[:2], index.shape[2]), x.dtype)
    for n, k, m, pixel in _terms(index):
        y[n, :, m] += weight[n, k, m] * x[n, :, pixel]
    return y


def sample_pixels_input_grad(gy: np.ndarray, weight: np.ndarray, index: np.ndarray, pixels: int) -> np.ndarray:
    """Return gx (N,C,pixels)."""
    gx = np.zeros((*gy.shape[:2], pixels), gy.dtype)
    for n, k, m, pixel in _terms(index):
        gx[n, :, pixel] += weight[n, k, m] * gy[n, :, m]
    return gx


def sample_pixels_weight_grad(x: np.ndarray, gy: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return gw (N,K,M)."""
    gw = np.zeros(index.shape, x.dtype)
    for n, k, m, pixel in _terms(index):
        gw[n, k, m] = (gy[n, :, m] * x[n, :, pixel]).sum()
    return gw


def centres(height: int, width: int, align_corners: bool = False) -> np.ndarray:
    """Return (height, width, 3): (u, v, 1) of every pixel's centre, -1 to 1 across the image."""
    result = np.ones((height, width, 3))
    for i in range(height):
        for j in range(width):
            for axis, (at, size) in enumerate(((j, width), (i, height))):
                result[i, j, axis] = 2 * at / (size - 1) - 1 if align_corners else (2 * at + 1) / size - 1
    return result


def _inside(position: float, size: int, padding_mode: str, align_corners: bool) -> float:
    """Return a position, in pixels, brought into the image."""
    first, last = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
    while padding_mode == "reflection" and not first <= position <= last:
        position = 2 * first - position if position < first else 2 * last - position
    return position if padding_mode == "zeros" else min(max(position, 0.0), size - 1.0)


def grid_sample(
    x: np.ndarray, grid: np.ndarray, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False
) -> np.ndarray:
    """Return y (N,C,outH,outW): x (N,C,H,W) at the points (u, v) of grid (N,outH,outW,2)."""
    n, c, height, width = x.shape
    y = np.zeros((n, c, *grid.shape[1:3]), x.dtype)
    for image, i, j in np.ndindex(*grid.shape[:3]):
        position = []
        for at, size in zip(grid[image, i, j][::-1], (height, width), strict=True):
            pixel = (at + 1) / 2 * (size - 1) if align_corners else ((at + 1) * size - 1) / 2
            position.append(_inside(pixel, size, padding_mode, align_corners))
        for row in range(height):
            for column in range(width):
                distance = abs(row - position[0]), abs(column - position[1])
                if mode == "nearest":
                    weight = float((row, column) == (np.rint(position[0]), np.rint(position[1])))
                else:
                    weight = max(0.0, 1 - distance[0]) * max(0.0, 1 - distance[1])
                y[image, :, i, j] += weight * x[image, :, row, column]
    return y
