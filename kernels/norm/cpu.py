"""Numba kernels for batch normalisation and the bias gradient. Arrays come as (N, C, S), S all spatial axes.

A thread takes whole channels, so no sum depends on the number of threads. All sums are float64. Channels whose planes
are small are walked through several at once, image by image: planes of 196 numbers, one from each image, are too short
for the processor to see that they are read in order.
"""

import math

import numpy as np
from numba import prange

from ..activation.cpu import leaky
from ..jit import kernel

_TASKS = 32  # for the threads, at least, if there are so many channels
_RUN = 2048  # numbers that are read in order, if channels of that many can be walked through at once
_GROUP = 65_536  # numbers of all images in such channels at most: they stay in the second cache for the second pass


@kernel
def _channels_at_once(batch, channels, size):
    return max(1, min(channels // _TASKS, _RUN // size, _GROUP // (batch * size)))


# Between these the squares of a channel's deviations, and what the gradient makes of them, are normal numbers even in
# float32. What lies outside is rare, and gets a walk of its own with numbers that are near 1.
_LEAST, _MOST = 1e-20, 1e20


@kernel
def scaled_moments(x, eps):
    """Return the mean less the first value, and 1 / sqrt(var + eps), of values whose squares over- or underflow."""
    unit = 0.0
    for n in range(x.shape[0]):
        for value in x[n]:
            unit = max(unit, abs(np.float64(value) / 2 - np.float64(x[0, 0]) / 2))
            if not math.isfinite(value):
                return np.nan, np.nan
    if unit == 0:
        return 0.0, 1 / math.sqrt(eps) if eps > 0 else np.inf
    pivot = np.float64(x[0, 0]) / unit
    total = squares = 0.0
    for n in range(x.shape[0]):
        for value in x[n]:
            d = np.float64(value) / unit - pivot
            total += d
            squares += d * d
    count = x.size
    centre = total / count
    variance = max(squares / count - centre * centre, 0.0)
    return centre * unit, 1 / math.sqrt(variance + eps / unit / unit) / unit


@kernel
def scaled_gradient(gy, x, weight, bias, mean, invstd, slope, gx):
    """Fill ``gx`` of a channel from normalised values alone, and return the gradients of its weight and bias."""
    middle, inverse, count = np.float64(mean), np.float64(invstd), x.size
    sum_gy = sum_product = 0.0
    for n in range(x.shape[0]):
        for i in range(x.shape[1]):
            hat = (x[n, i] - middle) * inverse
            g = np.float64(leaky(gy[n, i], x.dtype.type(hat * weight + bias), slope))
            sum_gy += g
            sum_product += g * hat
    scale, average, along = weight * inverse, sum_gy / count, sum_product / count
    for n in range(x.shape[0]):
        for i in range(x.shape[1]):
            hat = (x[n, i] - middle) * inverse
            g = np.float64(leaky(gy[n, i], x.dtype.type(hat * weight + bias), slope))
            gx[n, i] = scale * (g - average - hat * along)
    return sum_product, sum_gy


@kernel(parallel=True)
def batch_norm(x, weight, bias, eps, slope, y, mean, invstd):
    batch, channels, size = x.shape
    group = _channels_at_once(batch, channels, size)
    for task in prange((channels + group - 1) // group):
        first = task * group
        last = min(first + group, channels)
        # Both sums in one pass, of the differences from the channel's first value. It is one of the values, so its
        # distance from the mean is at most sqrt(count - 1) standard deviations (P. Samuelson, "How deviant can you
        # be?", 1968): the subtraction below costs a fraction count * 1e-16 of the variance, whatever the mean is.
        sums = np.zeros((last - first, 2))
        for n in range(batch):
            for c in range(first, last):
                pivot = float(x[0, c, 0])
                plane = x[n, c]
                total, squares = sums[c - first]
                for i in range(size):
                    d = plane[i] - pivot
                    total += d
                    squares += d * d
                sums[c - first, 0], sums[c - first, 1] = total, squares
        count = batch * size
        scales, shifts = np.empty(last - first, x.dtype), np.empty(last - first, x.dtype)
        for c in range(first, last):
            pivot = float(x[0, c, 0])
            centre = sums[c - first, 0] / count
            variance = max(sums[c - first, 1] / count - centre * centre, 0.0)
            inverse = 1 / math.sqrt(variance + eps)
            if not _LEAST < variance + eps < _MOST:
                centre, inverse = scaled_moments(x[:, c], eps)
            mean[c] = pivot + centre
            invstd[c] = inverse
            # x - mean first: the difference is exact where x is near the mean, and nothing cancels afterwards. What
            # rounding the mean to x's dtype takes away goes into the shift.
            factor = weight[c] * inverse
            scales[c - first] = factor
            shifts[c - first] = bias[c] - (pivot - mean[c] + centre) * factor
        for n in range(batch):
            for c in range(first, last):
                plane, result = x[n, c], y[n, c]
                middle, scale, shift = mean[c], scales[c - first], shifts[c - first]
                for i in range(size):
                    value = (plane[i] - middle) * scale + shift
                    result[i] = leaky(value, value, slope)


@kernel(parallel=True)
def batch_norm_grad(gy, x, weight, bias, mean, invstd, slope, gx, gweight, gbias):
    batch, channels, size = x.shape
    group = _channels_at_once(batch, channels, size)
    for task in prange((channels + group - 1) // group):
        first = task * group
        last = min(first + group, channels)
        sums = np.zeros((last - first, 2))
        for n in range(batch):
            for c in range(first, last):
                plane, above = x[n, c], gy[n, c]
                middle, shift = mean[c], bias[c]
                scale = x.dtype.type(weight[c] * float(invstd[c]))
                sum_gy, sum_product = sums[c - first]
                for i in range(size):
                    d = plane[i] - middle
                    g = above[i]
                    g = leaky(g, d * scale + shift, slope)
                    sum_gy += g
                    sum_product += float(g) * d
                sums[c - first, 0], sums[c - first, 1] = sum_gy, sum_product
        # gx = weight * invstd * (gy - mean(gy) - xhat * mean(gy * xhat)), with xhat = (x - mean) * invstd
        count = batch * size
        averages, factors = np.empty(last - first, x.dtype), np.empty(last - first, x.dtype)
        for c in range(first, last):
            inverse = float(invstd[c])
            gbias[c] = sums[c - first, 0]
            gweight[c] = sums[c - first, 1] * inverse
            averages[c - first] = sums[c - first, 0] / count
            factors[c - first] = -weight[c] * inverse * inverse * inverse * sums[c - first, 1] / count
        for c in range(first, last):
            if not _LEAST < np.float64(invstd[c]) ** 2 < _MOST:
                gweight[c], gbias[c] = scaled_gradient(
                    gy[:, c], x[:, c], weight[c], bias[c], mean[c], invstd[c], slope, gx[:, c]
                )
        for n in range(batch):
            for c in range(first, last):
                if not _LEAST < np.float64(invstd[c]) ** 2 < _MOST:
                    continue
                plane, above, result = x[n, c], gy[n, c], gx[n, c]
                middle, shift = mean[c], bias[c]
                scale = x.dtype.type(weight[c] * float(invstd[c]))
                average, factor = averages[c - first], factors[c - first]
                for i in range(size):
                    d = plane[i] - middle
                    g = above[i]
                    g = leaky(g, d * scale + shift, slope)
                    result[i] = scale * (g - average) + factor * d


@kernel(parallel=True)
def channel_sum(gy, result):
    batch, channels, size = gy.shape
    group = _channels_at_once(batch, channels, size)
    for task in prange((channels + group - 1) // group):
        first = task * group
        last = min(first + group, channels)
        totals = np.zeros(last - first)
        for n in range(batch):
            for c in range(first, last):
                plane = 0.0
                for i in range(size):
                    plane += gy[n, c, i]
                totals[c - first] += plane
        for c in range(first, last):
            result[c] = totals[c - first]
