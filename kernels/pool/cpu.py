"""Numba kernels for pooling. Images come as (planes, H, W), one plane per batch entry and channel.

Window o along an axis covers inputs o*stride - padding + k*dilation, k = 0 .. kernel-1. No innermost loop tests for
padding: for one window the elements inside the image are a range of k, which the maxima walk through; for one k the
windows whose input lies inside are a range of o, which the means walk through, a row of windows at a time, with strides
1 and 2 written out so that the compiler vectorises them.
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
def _elements_inside(first, size, kernel, stride, padding, dilation):
    """For each window, the element that covers ``first``, its first pixel in the image, and the first one beyond."""
    ends = np.empty((first.size, 2), np.int64)
    for o in range(first.size):
        start = o * stride - padding
        ends[o, 0] = (first[o] - start) // dilation
        ends[o, 1] = min(kernel, (size - 1 - start) // dilation + 1)
    return ends


@kernel(parallel=True)
def max_pool(x, y, index, first_row, first_column, kh, kw, sh, sw, ph, pw, dh, dw):
    planes, height, width = x.shape
    tall, wide = y.shape[1:]
    rows = _elements_inside(first_row, height, kh, sh, ph, dh)
    columns = _elements_inside(first_column, width, kw, sw, pw, dw)
    for p in prange(planes):
        plane, maxima, positions = x[p].reshape(height * width), y[p], index[p]
        for u in range(tall):
            for v in range(wide):
                place = (u * sh - ph) * width + v * sw - pw
                at = first_row[u] * width + first_column[v]
                best, nan_at = plane[at], -1
                for a in range(rows[u, 0], rows[u, 1]):
                    for b in range(columns[v, 0], columns[v, 1]):
                        i = place + a * dh * width + b * dw
                        value = plane[np.uint64(i)]  # unsigned: Numba does not ask whether it counts from the end
                        # Choices, not branches, which random pixels mispredict; and NaN has one of its own, so that
                        # each maximum waits for a single comparison with the one before it.
                        larger = value > best
                        best = value if larger else best
                        at = i if larger else at
                        nan_at = i if value != value else nan_at
                if nan_at >= 0:
                    best, at = plane[nan_at], nan_at
                maxima[u, v], positions[u, v] = best, at


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
