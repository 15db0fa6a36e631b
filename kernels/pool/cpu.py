"""Numba kernels for pooling. Images come as (planes, H, W), one plane per batch entry and channel.

Window o along an axis covers inputs o*stride - padding + k*dilation, k = 0 .. kernel-1. For a fixed k the windows
whose input lies inside the image are a range, so no innermost loop tests for padding; each walks along one row of
windows, and those of strides 1 and 2 are written out so that the compiler vectorises them.
"""

import numpy as np
from numba import prange

from ..jit import kernel


@kernel
def _inside(k, size, count, stride, padding, dilation):
    """The range of windows o < count with 0 <= o*stride - padding + k*dilation < size."""
    offset = padding - k * dilation
    first = max(0, -(-offset // stride))
    last = min(count, (size - 1 + offset) // stride + 1)
    return first, max(first, last)


@kernel
def _keep_larger(best, index, line, stride, position):
    """Where line[stride * v] beats best[v], take it, and its position + stride * v as the index."""
    if stride == 1:
        for v in range(best.size):
            value = line[v]
            larger = (value > best[v]) | (value != value)
            best[v] = value if larger else best[v]
            index[v] = position + v if larger else index[v]
    elif stride == 2:
        for v in range(best.size):
            value = line[2 * v]
            larger = (value > best[v]) | (value != value)
            best[v] = value if larger else best[v]
            index[v] = position + 2 * v if larger else index[v]
    else:
        for v in range(best.size):
            value = line[stride * v]
            larger = (value > best[v]) | (value != value)
            best[v] = value if larger else best[v]
            index[v] = position + stride * v if larger else index[v]


@kernel(parallel=True)
def max_pool(x, y, index, first_row, first_column, kh, kw, sh, sw, ph, pw, dh, dw):
    planes, height, width = x.shape
    tall, wide = y.shape[1:]
    for p in prange(planes):
        for u in range(tall):
            for v in range(wide):  # a window of nothing but -inf keeps this
                y[p, u, v] = -np.inf
                index[p, u, v] = first_row[u] * width + first_column[v]
            for a in range(kh):
                row = u * sh - ph + a * dh
                if 0 <= row < height:
                    for b in range(kw):
                        first, last = _inside(b, width, wide, sw, pw, dw)
                        start = first * sw - pw + b * dw
                        _keep_larger(
                            y[p, u, first:last],
                            index[p, u, first:last],
                            x[p, row, start:],
                            sw,
                            row * width + start,
                        )


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


@kernel
def _add_strided(total, line, stride):
    """total[v] += line[stride * v]."""
    if stride == 1:
        for v in range(total.size):
            total[v] += line[v]
    elif stride == 2:
        for v in range(total.size):
            total[v] += line[2 * v]
    else:
        for v in range(total.size):
            total[v] += line[stride * v]


@kernel(parallel=True)
def avg_pool(x, y, count_h, count_w, kh, kw, sh, sw, ph, pw):
    planes, height, width = x.shape
    tall, wide = y.shape[1:]
    for p in prange(planes):
        columns = np.empty(width, x.dtype)  # the sums down the kernel's rows
        for u in range(tall):
            top, bottom = max(u * sh - ph, 0), min(u * sh - ph + kh, height)
            for j in range(width):
                columns[j] = x[p, top, j]
            for row in range(top + 1, bottom):
                for j in range(width):
                    columns[j] += x[p, row, j]
            for v in range(wide):
                y[p, u, v] = 0
            for b in range(kw):
                first, last = _inside(b, width, wide, sw, pw, 1)
                _add_strided(y[p, u, first:last], columns[first * sw - pw + b :], sw)
            for v in range(wide):
                y[p, u, v] /= count_h[u] * count_w[v]


@kernel
def _spread_strided(line, share, stride):
    """line[stride * v] += share[v]."""
    if stride == 1:
        for v in range(share.size):
            line[v] += share[v]
    elif stride == 2:
        for v in range(share.size):
            line[2 * v] += share[v]
    else:
        for v in range(share.size):
            line[stride * v] += share[v]


@kernel(parallel=True)
def avg_pool_grad(gy, gx, count_h, count_w, kh, kw, sh, sw, ph, pw):
    planes, height, width = gx.shape
    tall, wide = gy.shape[1:]
    for p in prange(planes):
        share = np.empty(wide, gy.dtype)
        columns = np.empty(width, gy.dtype)  # what one row of windows gives to each row that it covers
        for i in range(height):
            for j in range(width):
                gx[p, i, j] = 0
        for u in range(tall):
            for v in range(wide):
                share[v] = gy[p, u, v] / (count_h[u] * count_w[v])
            for j in range(width):
                columns[j] = 0
            for b in range(kw):
                first, last = _inside(b, width, wide, sw, pw, 1)
                _spread_strided(columns[first * sw - pw + b :], share[first:last], sw)
            for row in range(max(u * sh - ph, 0), min(u * sh - ph + kh, height)):
                for j in range(width):
                    gx[p, row, j] += columns[j]
