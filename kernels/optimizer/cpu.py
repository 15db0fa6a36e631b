"""Numba kernels for the optimiser: each reads and writes every array once, in blocks for the threads.

The scalars come in the arrays' dtype: a Python float would turn float32 arithmetic into float64.
"""

import math

import numpy as np
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
def adam(parameter, gradient, mean, square, new, decay, beta1, rest1, beta2, rest2, eps, keep, step_size, root):
    for block in prange((parameter.size + _BLOCK - 1) // _BLOCK):
        first, last = block * _BLOCK, (block + 1) * _BLOCK
        ps, gs, ms, vs = parameter[first:last], gradient[first:last], mean[first:last], square[first:last]
        result = new[first:last]
        for i in range(ps.size):
            p = keep * ps[i]
            g = gs[i] + decay * p
            m = _mix(ms[i], g, beta1, rest1)
            v = _mix(vs[i], g * g, beta2, rest2)
            ms[i] = m
            vs[i] = v
            result[i] = p - step_size * m / (math.sqrt(v) / root + eps)


@kernel(parallel=True)
def ema(average, parameter, new, decay, rest):
    for block in prange((average.size + _BLOCK - 1) // _BLOCK):
        before = average[block * _BLOCK : (block + 1) * _BLOCK]
        result = new[block * _BLOCK : (block + 1) * _BLOCK]
        source = parameter[block * _BLOCK : (block + 1) * _BLOCK]
        for i in range(result.size):
            result[i] = _mix(before[i], source[i], decay, rest)


def square_sum(xs):
    """The sum of the squares of all elements of all arrays; BLAS adds up each array."""
    return np.float64(sum(float(x @ x) for x in xs))
