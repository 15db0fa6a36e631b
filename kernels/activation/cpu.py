"""Numba kernels for leaky ReLU: flat arrays, cut into blocks for the threads."""

from numba import prange

from ..jit import kernel

_BLOCK = 16_384  # elements; x and y of one block fit the first-level cache


@kernel(parallel=True)
def leaky_relu(x, slope, y):
    for block in prange((x.size + _BLOCK - 1) // _BLOCK):
        first, last = block * _BLOCK, min((block + 1) * _BLOCK, x.size)
        if slope == 0:  # -inf becomes 0, where the product would be NaN
            for i in range(first, last):
                y[i] = slope if x[i] <= 0 else x[i]
        else:
            for i in range(first, last):
                y[i] = x[i] if x[i] > 0 else slope * x[i]


@kernel(parallel=True)
def leaky_relu_grad(gy, x, slope, gx):
    for block in prange((x.size + _BLOCK - 1) // _BLOCK):
        first, last = block * _BLOCK, min((block + 1) * _BLOCK, x.size)
        if slope == 0:
            for i in range(first, last):
                gx[i] = slope if x[i] <= 0 else gy[i]
        else:
            for i in range(first, last):
                gx[i] = gy[i] if x[i] > 0 else slope * gy[i]
