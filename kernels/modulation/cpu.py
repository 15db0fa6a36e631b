"""Numba kernels for scaling and shifting planes: x comes as (planes, pixels), scale and shift as (planes,).

A thread takes whole planes, so no sum depends on the number of threads. Sums are float64.
"""

from numba import prange

from ..activation.cpu import leaky
from ..jit import kernel

_BLOCK = 16_384  # elements a task has at least, if there are so many


@kernel
def _planes_at_once(planes, size):
    return max(1, min(planes, _BLOCK // size))


@kernel(parallel=True)
def scale_shift(x, scale, shift, slope, y):
    planes, size = x.shape
    group = _planes_at_once(planes, size)
    for task in prange((planes + group - 1) // group):
        for p in range(task * group, min((task + 1) * group, planes)):
            plane, result = x[p], y[p]
            factor, offset = scale[p], shift[p]
            for i in range(size):
                value = plane[i] * factor + offset
                result[i] = leaky(value, value, slope)


@kernel(parallel=True)
def scale_shift_grad(gy, x, scale, shift, slope, gx, gscale, gshift):
    planes, size = x.shape
    group = _planes_at_once(planes, size)
    for task in prange((planes + group - 1) // group):
        for p in range(task * group, min((task + 1) * group, planes)):
            above, plane, result = gy[p], x[p], gx[p]
            factor, offset = scale[p], shift[p]
            total, product = 0.0, 0.0
            for i in range(size):
                g = above[i]
                g = leaky(g, plane[i] * factor + offset, slope)
                result[i] = g * factor
                total += g
                product += float(g) * plane[i]
            gscale[p], gshift[p] = product, total
