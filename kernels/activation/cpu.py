"""Numba kernels for leaky ReLU: flat arrays, cut into blocks for the threads.

The inner loops run over slices from 0: an index that may be negative, for all the compiler knows, counts from the
end in Numba, and a loop with that test is not vectorised.
"""

from numba import prange

from ..jit import kernel

_BLOCK = 16_384  # elements; x and y of one block fit the second-level cache


@kernel
def leaky(value, sign, slope):
    """value where ``sign`` is positive, slope * value elsewhere; for slope 0 that is 0 even if value is infinite.

    For one number, in kernels that have it at hand.
    """
    if slope == 0:
        return slope if sign <= 0 else value
    return value if sign > 0 else slope * value


@kernel(parallel=True)
def leaky_relu(x, slope, y):
    for block in prange((x.size + _BLOCK - 1) // _BLOCK):
        source = x[block * _BLOCK : (block + 1) * _BLOCK]
        result = y[block * _BLOCK : (block + 1) * _BLOCK]
        if slope == 0:  # -inf becomes 0, where the product would be NaN
            for i in range(source.size):
                result[i] = slope if source[i] <= 0 else source[i]
        else:
            for i in range(source.size):
                result[i] = source[i] if source[i] > 0 else slope * source[i]


@kernel(parallel=True)
def leaky_relu_grad(gy, x, slope, gx):
    for block in prange((x.size + _BLOCK - 1) // _BLOCK):
        above = gy[block * _BLOCK : (block + 1) * _BLOCK]
        source = x[block * _BLOCK : (block + 1) * _BLOCK]
        result = gx[block * _BLOCK : (block + 1) * _BLOCK]
        # Read before it is chosen: a load in one arm of a choice is a branch, which random signs mispredict.
        if slope == 0:
            for i in range(source.size):
                g = above[i]
                result[i] = slope if source[i] <= 0 else g
        else:
            for i in range(source.size):
                g = above[i]
                result[i] = g if source[i] > 0 else slope * g
