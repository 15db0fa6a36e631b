"""Numba kernels for pooling. Images come as (planes, H, W), one plane per batch entry and channel.

Window position o along an axis covers inputs o*stride - padding + k*dilation, k = 0 .. kernel-1. For a fixed k the
outputs whose input lies inside the image are a range, so the padding needs no test in the innermost loop.
"""

import numpy as np
from numba import prange

from ..jit import kernel


@kernel
def _inside(k, size, count, stride, padding, dilation):
    """The range of outputs o < count with 0 <= o*stride - padding + k*dilation < size."""
    offset = padding - k * dilation
    first = max(0, -(-offset // stride))
    last = min(count, (size - 1 + offset) // stride + 1)
    return first, last


@kernel(parallel=True)
def max_pool(x, y, index, kh, kw, sh, sw, ph, pw, dh, dw):
    planes, height, width = x.shape
    tall, wide = y.shape[1:]
    for p in prange(planes):
        for u in range(tall):
            for v in range(wide):
                y[p, u, v] = -np.inf
                index[p, u, v] = -1
            for a in range(kh):
                row = u * sh - ph + a * dh
                if row < 0 or row >= height:
                    continue
                for b in range(kw):
                    first, last = _inside(b, width, wide, sw, pw, dw)
                    start = b * dw - pw
                    for v in range(first, last):
                        column = v * sw + start
                        value = x[p, row, column]
                        # Not >, which a NaN or a window of -inf would never pass.
                        if not value <= y[p, u, v] or index[p, u, v] < 0:
                            y[p, u, v] = value
                            index[p, u, v] = row * width + column


@kernel(parallel=True)
def max_pool_grad(gy, index, gx):
    """Add gy into the planes of gx at index; return how many indices lie outside and were skipped."""
    outside = 0
    for p in prange(gy.shape[0]):
        for k in range(gx.shape[1]):
            gx[p, k] = 0
        for k in range(gy.shape[1]):
            i = index[p, k]
            if 0 <= i < gx.shape[1]:
                gx[p, i] += gy[p, k]
            else:
                outside += 1
    return outside


@kernel(parallel=True)
def max_pool_gather(x, index, y):
    """Read the planes of x at index; return how many indices lie outside and were skipped."""
    outside = 0
    for p in prange(y.shape[0]):
        for k in range(y.shape[1]):
            i = index[p, k]
            if 0 <= i < x.shape[1]:
                y[p, k] = x[p, i]
            else:
                outside += 1
    return outside


@kernel(parallel=True)
def avg_pool(x, y, count_h, count_w, kh, kw, sh, sw, ph, pw):
    planes, height, width = x.shape
    tall, wide = y.shape[1:]
    for p in prange(planes):
        for u in range(tall):
            for v in range(wide):
                y[p, u, v] = 0
            for row in range(max(u * sh - ph, 0), min(u * sh - ph + kh, height)):
                for b in range(kw):
                    first, last = _inside(b, width, wide, sw, pw, 1)
                    for v in range(first, last):
                        y[p, u, v] += x[p, row, v * sw + b - pw]
            for v in range(wide):
                y[p, u, v] /= count_h[u] * count_w[v]


@kernel(parallel=True)
def avg_pool_grad(gy, gx, count_h, count_w, kh, kw, sh, sw, ph, pw):
    planes, height, width = gx.shape
    tall, wide = gy.shape[1:]
    for p in prange(planes):
        share = np.empty(wide, gy.dtype)
        for i in range(height):
            for j in range(width):
                gx[p, i, j] = 0
        for u in range(tall):
            for v in range(wide):
                share[v] = gy[p, u, v] / (count_h[u] * count_w[v])
            for row in range(max(u * sh - ph, 0), min(u * sh - ph + kh, height)):
                for b in range(kw):
                    first, last = _inside(b, width, wide, sw, pw, 1)
                    for v in range(first, last):
                        gx[p, row, v * sw + b - pw] += share[v]
