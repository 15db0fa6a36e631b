"""A linear map along one axis on the CPU.

What lies behind the axis is a run of neighbours in memory, and is added up as one. If the axis is the last one, there
is no run: then each thread takes whole lines, and gathers.
"""

from numba import prange

from ..jit import kernel, unowned


@kernel
def _gathered(line, starts, index, weight, result):
    for o in range(result.size):
        total = weight.dtype.type(0)
        for entry in range(starts[o], starts[o + 1]):
            total += weight[entry] * line[index[entry]]
        result[o] = total


@kernel
def _summed(rows, first, end, index, weight, result):
    if first == end:
        result[:] = 0
    for entry in range(first, end):
        w, row = weight[entry], rows[index[entry]]
        if entry == first:
            for j in range(result.size):
                result[j] = w * row[j]
        else:
            for j in range(result.size):
                result[j] += w * row[j]


@kernel(parallel=True)
def resample(x, y, starts, index, weight):
    """Fill y (outer, outputs, inner) from x (outer, inputs, inner)."""
    outer, outputs, inner = y.shape
    tasks = outer if inner == 1 else outer * outputs
    for task in prange(tasks):
        source, target, first = unowned(x), unowned(y), unowned(starts)
        at, w = unowned(index), unowned(weight)
        if inner == 1:
            _gathered(source[task, :, 0], first, at, w, target[task, :, 0])
        else:
            p, o = task // outputs, task % outputs
            _summed(source[p], first[o], first[o + 1], at, w, target[p, o])
