"""Rung 2: write the border once, ask nothing in the loop.

The zeros around the image are written to memory, which costs one pass over it. The inner loops then have no
conditions, and the compiler can unroll the three by three of the kernel. What is left is one chain of additions, each
waiting for the one before.
"""

from __future__ import annotations

import numpy as np

from .loops import compiled, with_border

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
                                total += x[n, c, i + u, j + v] * w[o, c, u, v]
                    y[n, o, i, j] = total


def convolve(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """As in rung 1."""
    y = np.empty((x.shape[0], w.shape[0], *x.shape[2:]), x.dtype)
    _convolve(with_border(x), w, y)
    return y
