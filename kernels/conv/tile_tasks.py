"""The tasks of bilinear algorithms, divided among threads.

Every parallel loop takes Numba seconds to compile, so all that bilinear algorithms do shares this one.
"""

from __future__ import annotations

from numba import prange

from ..jit import kernel
from .tile_products import WEIGHT_ROWS, convolve_task, sum_weights
from .tile_weights import correlate_task

SUM_WEIGHTS, CONVOLVE, CORRELATE = 0, 1, 2


@kernel(parallel=True)
def run_tasks(what, x, w, bias, slope, y, a, memory, finite, strides, pixels_of, tilings):
    """SUM_WEIGHTS makes A of w. Then CONVOLVE fills y: the convolution of x, plus bias, times ``slope`` where
    that is not positive. CORRELATE fills w with the weight gradient, of x and y.

    All arrays are flat; ``strides`` are those of w by output channel and channel. ``pixels_of[p]`` is the number of
    product p's sums of pixels. ``finite`` has a number for each worker, which becomes 1, or 0 if a result of its is
    not finite.
    """
    workers = finite.size
    for worker in prange(workers):
        tiling = tilings[0]
        own = memory[worker * tiling.memory : (worker + 1) * tiling.memory]
        if what == SUM_WEIGHTS:
            rows = -(-tiling.out_channels // WEIGHT_ROWS)
            for task in range(worker, rows * tiling.channel_blocks, workers):
                sum_weights(w, a, own, strides, tiling, task)
        else:
            finite[worker] = 1
            for task in range(worker, tiling.tasks, workers):
                if what == CONVOLVE:
                    ended = convolve_task(x, a, bias, slope, y, own, pixels_of, tiling, task)
                else:
                    ended = correlate_task(x, y, w, own, strides, pixels_of, tiling, task)
                if not ended:
                    finite[worker] = 0
