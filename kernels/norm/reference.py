"""Batch normalisation and the bias gradient, one channel at a time in float64."""

import math

import numpy as np


def batch_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float, slope: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (y, mean, invstd) with the statistics of each channel over all other axes, biased variance.

    A y that is not positive is multiplied by ``slope``.
    """
    y = np.empty_like(x)
    mean, invstd = np.empty_like(weight), np.empty_like(weight)
    for c in range(x.shape[1]):
        values = x[:, c].astype(np.float64)
        if values.size == 0:
            mean[c] = invstd[c] = math.nan
            continue
        centre = math.fsum(values.flat) / values.size if np.isfinite(values).all() else values.mean()
        variance = ((values - centre) ** 2).sum() / values.size
        mean[c] = centre
        invstd[c] = 1 / np.sqrt(variance + eps)
        normalised = (values - centre) / np.sqrt(variance + eps) * float(weight[c]) + float(bias[c])
        y[:, c] = np.where(normalised > 0, normalised, slope * normalised)
    return y, mean, invstd


def batch_norm_grad(
    gy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    mean: np.ndarray,
    invstd: np.ndarray,
    slope: float = 1.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (gx, gweight, gbias) by the chain rule: through the activation, the variance and the mean, in turn.

    The intermediate gradients are those of S. Ioffe and C. Szegedy, "Batch normalization", 2015, section 3.
    """
    gx = np.empty_like(x)
    gweight, gbias = np.zeros_like(weight), np.zeros_like(weight)
    for c in range(x.shape[1]):
        g, centred = gy[:, c].astype(np.float64), x[:, c].astype(np.float64) - float(mean[c])
        inverse, count = float(invstd[c]), max(g.size, 1)
        g = np.where(centred * inverse * float(weight[c]) + float(bias[c]) > 0, g, slope * g)
        gweight[c] = (g * centred * inverse).sum()
        gbias[c] = g.sum()
        g_hat = g * float(weight[c])
        g_variance = (g_hat * centred).sum() * -0.5 * inverse * inverse * inverse
        g_mean = -(g_hat.sum()) * inverse
        gx[:, c] = g_hat * inverse + g_variance * 2 * centred / count + g_mean / count
    return gx, gweight, gbias


def channel_sum(gy: np.ndarray) -> np.ndarray:
    """Return the correctly rounded sum over every axis but 1."""
    result = np.empty(gy.shape[1], gy.dtype)
    for c in range(gy.shape[1]):
        values = gy[:, c].astype(np.float64)
        result[c] = math.fsum(values.flat) if np.isfinite(values).all() else values.sum()
    return result
