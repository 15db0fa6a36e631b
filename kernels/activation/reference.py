"""Leaky ReLU, one element at a time."""

import numpy as np


def leaky_relu(x: np.ndarray, slope: float) -> np.ndarray:
    """Return x where it is positive, slope*x where it is not; a slope of 0 sends every x <= 0 to 0."""
    y = np.empty_like(x)
    for i in np.ndindex(x.shape):
        if x[i] > 0 or np.isnan(x[i]):
            y[i] = x[i]
        else:
            y[i] = 0 if slope == 0 else x.dtype.type(slope) * x[i]
    return y


def leaky_relu_grad(gy: np.ndarray, x: np.ndarray, slope: float) -> np.ndarray:
    """Return gy where x is positive, slope*gy where it is not; a slope of 0 gives 0 wherever x <= 0."""
    gx = np.empty_like(gy)
    for i in np.ndindex(x.shape):
        if x[i] > 0:
            gx[i] = gy[i]
        elif slope == 0:
            gx[i] = gy[i] if np.isnan(x[i]) else 0
        else:
            gx[i] = x.dtype.type(slope) * gy[i]
    return gx
