"""Upsampling straight from the definitions: one output pixel at a time, and transposes that scatter."""

import math

import numpy as np


def upsample_nearest2d(x: np.ndarray, scale: tuple[int, int]) -> np.ndarray:
    """Return y with y[..., u, v] = x[..., u // sh, v // sw]."""
    n, c, height, width = x.shape
    sh, sw = scale
    y = np.empty((n, c, height * sh, width * sw), x.dtype)
    for u in range(height * sh):
        for v in range(width * sw):
            y[:, :, u, v] = x[:, :, u // sh, v // sw]
    return y


def upsample_nearest2d_grad(gy: np.ndarray, scale: tuple[int, int]) -> np.ndarray:
    """Return the transpose: every output's gradient is added to the input that it copied."""
    n, c, height, width = gy.shape
    sh, sw = scale
    gx = np.zeros((n, c, height // sh, width // sw), gy.dtype)
    for u in range(height):
        for v in range(width):
            gx[:, :, u // sh, v // sw] += gy[:, :, u, v]
    return gx


def _sources(size: int, scale: int) -> list[list[tuple[int, float]]]:
    """Return, for each output of one axis, the (input, weight) pairs of linear interpolation.

    Output o has its centre at (o + 1/2) / scale - 1/2 on the input's axis, and is kept between the first and the
    last input's centre (align_corners=False).
    """
    pairs = []
    for o in range(size * scale):
        position = min(max((o + 0.5) / scale - 0.5, 0.0), size - 1.0)
        below = math.floor(position)
        fraction = position - below
        near = [(below, 1 - fraction)]
        if fraction > 0:
            near.append((below + 1, fraction))
        pairs.append(near)
    return pairs


def upsample_bilinear2d(x: np.ndarray, scale: tuple[int, int]) -> np.ndarray:
    """Return the linear interpolation along both axes."""
    n, c, height, width = x.shape
    sh, sw = scale
    y = np.zeros((n, c, height * sh, width * sw), x.dtype)
    for u, rows in enumerate(_sources(height, sh)):
        for v, columns in enumerate(_sources(width, sw)):
            for i, a in rows:
                for j, b in columns:
                    y[:, :, u, v] += a * b * x[:, :, i, j]
    return y


def upsample_bilinear2d_grad(gy: np.ndarray, scale: tuple[int, int]) -> np.ndarray:
    """Return the transpose: every output's gradient is added, weighted, to the inputs that it read."""
    n, c, tall, wide = gy.shape
    sh, sw = scale
    gx = np.zeros((n, c, tall // sh, wide // sw), gy.dtype)
    for u, rows in enumerate(_sources(tall // sh, sh)):
        for v, columns in enumerate(_sources(wide // sw, sw)):
            for i, a in rows:
                for j, b in columns:
                    gx[:, :, i, j] += a * b * gy[:, :, u, v]
    return gx
