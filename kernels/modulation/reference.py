"""Scaling and shifting each plane of each image, one plane at a time in float64."""

import numpy as np


def scale_shift(x: np.ndarray, scale: np.ndarray, shift: np.ndarray, slope: float = 1.0) -> np.ndarray:
    """Return x * scale + shift, multiplied by ``slope`` where it is not positive; scale and shift (N,C)."""
    y = np.empty_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            value = x[n, c].astype(np.float64) * float(scale[n, c]) + float(shift[n, c])
            y[n, c] = np.where(value > 0, value, slope * value)
    return y


def scale_shift_grad(
    gy: np.ndarray, x: np.ndarray, scale: np.ndarray, shift: np.ndarray, slope: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (gx, gscale, gshift)."""
    gx, gscale, gshift = np.empty_like(x), np.empty_like(scale), np.empty_like(shift)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            plane = x[n, c].astype(np.float64)
            positive = plane * float(scale[n, c]) + float(shift[n, c]) > 0
            g = np.where(positive, 1.0, slope) * gy[n, c]
            gx[n, c] = g * float(scale[n, c])
            gscale[n, c] = (g * plane).sum()
            gshift[n, c] = g.sum()
    return gx, gscale, gshift
