"""Numba kernels for upsampling. Images come as (planes, H, W), one plane per batch entry and channel.

A factor of 2 along the rows has loops of its own: with the factor known, the compiler vectorises them.
"""

import numpy as np
from numba import prange

from ..jit import kernel


@kernel(parallel=True)
def nearest(x, y, sh, sw):
    planes, height, width = x.shape
    for p in prange(planes):
        for i in range(height):
            first = i * sh
            if sw == 2:
                for j in range(width):
                    y[p, first, 2 * j] = x[p, i, j]
                    y[p, first, 2 * j + 1] = x[p, i, j]
            else:
                for k in range(sw):
                    for j in range(width):
                        y[p, first, sw * j + k] = x[p, i, j]
            for row in range(first + 1, first + sh):
                for j in range(width * sw):
                    y[p, row, j] = y[p, first, j]


@kernel(parallel=True)
def nearest_grad(gy, gx, sh, sw):
    planes, height, width = gx.shape
    for p in prange(planes):
        for i in range(height):
            for j in range(width):
                gx[p, i, j] = 0
            for row in range(i * sh, (i + 1) * sh):
                if sw == 2:
                    for j in range(width):
                        gx[p, i, j] += gy[p, row, 2 * j] + gy[p, row, 2 * j + 1]
                else:
                    for k in range(sw):
                        for j in range(width):
                            gx[p, i, j] += gy[p, row, sw * j + k]


# Bilinear. Output o = s*i + r of one axis lies between input i and a neighbour. The tent ``taps`` weighs an input by
# its distance: taps[h + k] belongs to output s*i + k and input i, for k in -h .. s+h-1 and h = s//2. For s = 2
#
#     input            i-1               i               i+1
#     output       .    |   .        .   |   .        .   |   .
#     taps for i             1/4   3/4      3/4   1/4
#
# Outside the image the edge pixel counts, so its two weights fall on one input. Going forward the same weights come
# by output: ``own[r]`` for input i and ``other[r]`` for input i + ``step[r]``.


@kernel(parallel=True)
def bilinear(x, y, step_h, own_h, other_h, step_w, own_w, other_w):
    planes, height, width = x.shape
    sh, sw = step_h.size, step_w.size
    for p in prange(planes):
        line = np.empty(width + 2, x.dtype)  # a row between the input rows, its edge pixels repeated
        for row in range(height * sh):
            i, r = row // sh, row % sh
            near = min(max(i + step_h[r], 0), height - 1)
            own, other = own_h[r], other_h[r]
            for j in range(width):
                line[1 + j] = own * x[p, i, j] + other * x[p, near, j]
            line[0] = line[1]
            line[width + 1] = line[width]
            if sw == 2:
                own, other = own_w[0], other_w[0]
                for j in range(width):
                    y[p, row, 2 * j] = other * line[j] + own * line[j + 1]
                    y[p, row, 2 * j + 1] = own * line[j + 1] + other * line[j + 2]
            else:
                for k in range(sw):
                    own, other, shifted = own_w[k], other_w[k], line[1 + step_w[k] :]
                    for j in range(width):
                        y[p, row, sw * j + k] = own * line[j + 1] + other * shifted[j]


@kernel(parallel=True)
def bilinear_grad(gy, gx, taps_h, taps_w, sh, sw):
    """The transpose, as a gather: what the edge repeated going forward comes back as gy mirrored at the edge."""
    planes, height, width = gx.shape
    hh, hw = sh // 2, sw // 2
    wide = width * sw
    for p in prange(planes):
        line = np.empty(wide + 2 * hw, gy.dtype)  # input row i's share of gy, mirrored by hw at both ends
        middle = line[hw : hw + wide]
        for i in range(height):
            for j in range(wide):
                middle[j] = 0
            for k in range(-hh, sh + hh):
                row = i * sh + k
                if row < 0:
                    row = -1 - row
                elif row >= height * sh:
                    row = 2 * height * sh - 1 - row
                weight = taps_h[hh + k]
                for j in range(wide):
                    middle[j] += weight * gy[p, row, j]
            for k in range(hw):
                line[hw - 1 - k] = line[hw + k]
                line[hw + wide + k] = line[hw + wide - 1 - k]
            if sw == 2:
                far, near = taps_w[0], taps_w[1]
                for j in range(width):
                    gx[p, i, j] = far * (line[2 * j] + line[2 * j + 3]) + near * (line[2 * j + 1] + line[2 * j + 2])
            else:
                for j in range(width):
                    gx[p, i, j] = 0
                for k in range(sw + 2 * hw):
                    for j in range(width):
                        gx[p, i, j] += taps_w[k] * line[sw * j + k]
