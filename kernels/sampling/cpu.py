"""Weighted sums of looked-up pixels on the CPU.

A thread has whole planes, one channel of one image: what is looked up is then in its cache, and what is added up has
one writer. The gradient by the weights sums over channels, so there a thread has a block of points.
"""

from numba import prange

from ..jit import kernel, unowned

_BLOCK = 256  # points


@kernel(parallel=True)
def sample(x, weight, index, y):
    n, c, points = y.shape
    for plane in prange(n * c):
        image, channel = plane // c, plane % c
        source, result = unowned(x)[image, channel], unowned(y)[image, channel]
        for m in range(points):
            result[m] = 0
        for k in range(index.shape[1]):
            at, w = unowned(index)[image, k], unowned(weight)[image, k]
            for m in range(points):
                if at[m] >= 0:
                    result[m] += w[m] * source[at[m]]


@kernel(parallel=True)
def sample_input_grad(gy, weight, index, gx):
    n, c, points = gy.shape
    for plane in prange(n * c):
        image, channel = plane // c, plane % c
        source, result = unowned(gy)[image, channel], unowned(gx)[image, channel]
        for pixel in range(result.size):
            result[pixel] = 0
        for k in range(index.shape[1]):
            at, w = unowned(index)[image, k], unowned(weight)[image, k]
            for m in range(points):
                if at[m] >= 0:
                    result[at[m]] += w[m] * source[m]


@kernel(parallel=True)
def sample_weight_grad(x, gy, index, gw):
    n, c, points = gy.shape
    blocks = (points + _BLOCK - 1) // _BLOCK
    for task in prange(n * blocks):
        image, first = task // blocks, task % blocks * _BLOCK
        end = min(first + _BLOCK, points)
        pixels, gradient = unowned(x)[image], unowned(gy)[image]
        for k in range(index.shape[1]):
            at, result = unowned(index)[image, k], unowned(gw)[image, k]
            for m in range(first, end):
                result[m] = 0
            for channel in range(c):
                for m in range(first, end):
                    if at[m] >= 0:
                        result[m] += gradient[channel, m] * pixels[channel, at[m]]
