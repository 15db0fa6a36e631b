"""Numba kernels for the optimiser: each reads and writes every array once, in blocks for the threads.

The scalars come in the arrays' dtype: a Python float would turn float32 arithmetic into float64.
"""

import math

from numba import prange

from ..jit import kernel

_BLOCK = 8_192  # elements


@kernel
def _mix(old, new, beta, rest):
    """beta * old + rest * new, where rest = 1 - beta, starting from the one with the greater weight.

    In float32 the rounded beta and rest do not add up to 1, and for beta = 0.999 that alone would shift the
    average by a hundred ulp; and old + (new - old) would not be new for beta = 0.
    """
    if beta > rest:
        return old + rest * (new - old)
    return new + beta * (old - new)


@kernel(parallel=True)
def adam(parameter, gradient, mean, square, keep, decay, beta1, rest1, beta2, rest2, step_size, root, eps):
    for block in prange((parameter.size + _BLOCK - 1) // _BLOCK):
        for i in range(block * _BLOCK, min((block + 1) * _BLOCK, parameter.size)):
            p = keep * parameter[i]
            g = gradient[i] + decay * p
            m = _mix(mean[i], g, beta1, rest1)
            v = _mix(square[i], g * g, beta2, rest2)
            mean[i] = m
            square[i] = v
            parameter[i] = p - step_size * m / (math.sqrt(v) / root + eps)


@kernel(parallel=True)
def ema(average, parameter, decay, rest):
    for block in prange((average.size + _BLOCK - 1) // _BLOCK):
        for i in range(block * _BLOCK, min((block + 1) * _BLOCK, average.size)):
            average[i] = _mix(average[i], parameter[i], decay, rest)
