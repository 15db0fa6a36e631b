"""Rung 1: the definition, as seven loops.

For each output pixel, the sum over channels and kernel elements. Nothing is wrong with it, and it is what one should
compare everything else with. But a processor core can start a multiply-add of 16 numbers in each cycle, and this does
one of one number in several cycles:

- three of the loops are three long, and each step asks twice whether it is still inside the image;
- all additions go to one sum, and each must wait for the one before: 4 cycles;
- neighbours in the innermost loop are neighbours in memory for three steps only, so there is nothing to do in
  vectors.
"""

from __future__ import annotations

import numpy as np

from .loops import compiled

THREADS = False


@compiled
def _convolve(x, w, y):
    for n in range(y.shape[0]):
        for o in range(y.shape[1]):
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    total = np.float32(0)
                    for c in range(x.shape[1]):
                        for u in range(3):
                            for v in range(3):
                                row, column = i + u - 1, j + v - 1
                                if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                                    total += x[n, c, row, column] * w[o, c, u, v]
                    y[n, o, i, j] = total


def convolve(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x: N,C,H,W; w: O,C,3,3; returns N,O,H,W. Padding 1, stride 1."""
    y = np.empty((x.shape[0], w.shape[0], *x.shape[2:]), x.dtype)
    _convolve(x, w, y)
    return y
