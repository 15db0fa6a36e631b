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
            inverse = 1 / math.sqrt(max(sums[c - first, 1] / count - centre * centre, 0.0) + eps)
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
        for n in range(batch):
            for c in range(first, last):
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
