"""Numba kernels for batch normalisation and the bias gradient. Arrays come as (N, C, S), S all spatial axes.

A thread takes whole channels, so no sum depends on the number of threads. All sums are float64.
"""

import math

from numba import prange

from ..jit import kernel


@kernel
def _leaky(value, sign, slope):
    """value where ``sign`` is positive, slope * value elsewhere; for slope 0 that is 0 even if value is infinite."""
    if slope == 0:
        return slope if sign <= 0 else value
    return value if sign > 0 else slope * value


@kernel(parallel=True)
def batch_norm(x, weight, bias, eps, slope, y, mean, invstd):
    batch, channels, size = x.shape
    for c in prange(channels):
        # Both sums in one pass, of the differences from the channel's first value. It is one of the values, so its
        # distance from the mean is at most sqrt(count - 1) standard deviations (P. Samuelson, "How deviant can you
        # be?", 1968): the subtraction below costs a fraction count * 1e-16 of the variance, whatever the mean is.
        pivot = float(x[0, c, 0])
        total, squares = 0.0, 0.0
        for n in range(batch):
            plane = x[n, c]
            for i in range(size):
                d = plane[i] - pivot
                total += d
                squares += d * d
        count = batch * size
        centre = total / count
        inverse = 1 / math.sqrt(max(squares / count - centre * centre, 0.0) + eps)
        mean[c] = pivot + centre
        invstd[c] = inverse
        # x - mean first: the difference is exact where x is near the mean, and nothing cancels afterwards. What
        # rounding the mean to x's dtype takes away goes into the shift.
        middle = mean[c]
        factor = weight[c] * inverse
        scale = x.dtype.type(factor)
        shift = x.dtype.type(bias[c] - (pivot - middle + centre) * factor)
        for n in range(batch):
            plane, result = x[n, c], y[n, c]
            for i in range(size):
                value = (plane[i] - middle) * scale + shift
                result[i] = _leaky(value, value, slope)


@kernel(parallel=True)
def batch_norm_grad(gy, x, weight, bias, mean, invstd, slope, gx, gweight, gbias):
    batch, channels, size = x.shape
    for c in prange(channels):
        middle = mean[c]
        inverse = float(invstd[c])
        scale = x.dtype.type(weight[c] * inverse)
        shift = bias[c]
        sum_gy, sum_product = 0.0, 0.0
        for n in range(batch):
            plane, above = x[n, c], gy[n, c]
            for i in range(size):
                d = plane[i] - middle
                g = above[i]
                g = _leaky(g, d * scale + shift, slope)
                sum_gy += g
                sum_product += float(g) * d
        gweight[c] = sum_product * inverse
        gbias[c] = sum_gy
        # gx = weight * invstd * (gy - mean(gy) - xhat * mean(gy * xhat)), with xhat = (x - mean) * invstd
        count = batch * size
        factor = x.dtype.type(-weight[c] * inverse * inverse * inverse * sum_product / count)
        average = x.dtype.type(sum_gy / count)
        for n in range(batch):
            plane, above, result = x[n, c], gy[n, c], gx[n, c]
            for i in range(size):
                d = plane[i] - middle
                g = above[i]
                g = _leaky(g, d * scale + shift, slope)
                result[i] = scale * (g - average) + factor * d


@kernel(parallel=True)
def channel_sum(gy, result):
    batch, channels, size = gy.shape
    for c in prange(channels):
        total = 0.0
        for n in range(batch):
            plane = 0.0
            for i in range(size):
                plane += gy[n, c, i]
            total += plane
        result[c] = total
