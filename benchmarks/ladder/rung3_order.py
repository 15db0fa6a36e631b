"""Rung 3: another order of the loops, so that the innermost runs along memory.

The sum is the same whichever loop is inside. With the columns innermost, one weight is multiplied with a row of
pixels and added to a row of outputs: both lie contiguously, no step waits for another, and the compiler makes vectors
of it by itself. This is the largest single gain for the least work, and many a library stops here.

Now each multiply-add (of 16 numbers) needs two loads and a store, because the outputs are fetched and put back for
every weight. A core can do one such store, or two loads, in a cycle: memory operations and not arithmetic decide.
"""

from __future__ import annotations

import numpy as np

from .loops import compiled, with_border

THREADS = False


@compiled
def _convolve(x, w, y):
    width = y.shape[3]
    for n in range(y.shape[0]):
        for o in range(y.shape[1]):
            for i in range(y.shape[2]):
                out = y[n, o, i]
                out[:] = 0
                for c in range(x.shape[1]):
                    for u in range(3):
                        for v in range(3):
                            weight, row = w[o, c, u, v], x[n, c, i + u]
                            for j in range(width):
                                out[j] += weight * row[v + j]


def convolve(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """As in rung 1."""
    y = np.empty((x.shape[0], w.shape[0], *x.shape[2:]), x.dtype)
    _convolve(with_border(x), w, y)
    return y
