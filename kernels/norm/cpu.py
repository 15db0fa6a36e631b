"""Numba kernels for batch normalisation and the bias gradient. Arrays come as (N, C, S), S all spatial axes.

A thread takes whole channels, so no sum depends on the number of threads. All sums are float64.
"""

import math

from numba import prange

from ..jit import kernel


@kernel(parallel=True)
def batch_norm(x, weight, bias, eps, y, mean, invstd):
    batch, channels, size = x.shape
    for c in prange(channels):
        # Each plane has its mean subtracted before it is squared, while it is still in the cache; planes are
        # joined by T. Chan, G. Golub and R. LeVeque, "Updating formulae and a pairwise algorithm for computing
        # sample variances", 1979, equation 2.1. All means are relative to the channel's first value, so that
        # rounding them costs nothing where the mean is large and the spread small.
        pivot = float(x[0, c, 0])
        count, centre, squares = 0.0, 0.0, 0.0
        for n in range(batch):
            total = 0.0
            for i in range(size):
                total += x[n, c, i] - pivot
            plane = total / size
            total = 0.0
            for i in range(size):
                d = (x[n, c, i] - pivot) - plane
                total += d * d
            d = plane - centre
            centre += d * size / (count + size)
            squares += total + d * d * count * size / (count + size)
            count += size
        inverse = 1 / math.sqrt(squares / count + eps)
        mean[c] = pivot + centre
        invstd[c] = inverse
        # x - mean first: the difference is exact where x is near the mean, and nothing cancels afterwards. What
        # rounding the mean to x's dtype takes away goes into the shift.
        middle = mean[c]
        factor = weight[c] * inverse
        scale = x.dtype.type(factor)
        shift = x.dtype.type(bias[c] - (pivot - middle + centre) * factor)
        for n in range(batch):
            for i in range(size):
                y[n, c, i] = (x[n, c, i] - middle) * scale + shift


@kernel(parallel=True)
def batch_norm_grad(gy, x, weight, mean, invstd, gx, gweight, gbias):
    batch, channels, size = x.shape
    for c in prange(channels):
        middle = mean[c]
        sum_gy, sum_product = 0.0, 0.0
        for n in range(batch):
            plane_gy, plane_product = 0.0, 0.0
            for i in range(size):
                g = float(gy[n, c, i])
                plane_gy += g
                plane_product += g * (x[n, c, i] - middle)
            sum_gy += plane_gy
            sum_product += plane_product
        inverse = float(invstd[c])
        gweight[c] = sum_product * inverse
        gbias[c] = sum_gy
        # gx = weight * invstd * (gy - mean(gy) - xhat * mean(gy * xhat)), with xhat = (x - mean) * invstd
        count = batch * size
        scale = x.dtype.type(weight[c] * inverse)
        slope = x.dtype.type(-weight[c] * inverse * inverse * inverse * sum_product / count)
        average = x.dtype.type(sum_gy / count)
        for n in range(batch):
            for i in range(size):
                gx[n, c, i] = scale * (gy[n, c, i] - average) + slope * (x[n, c, i] - middle)


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
