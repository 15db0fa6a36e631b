"""Rung 4: nine multiply-adds for each load and store of the output.

The three by three weights of a channel are taken at once: the output is fetched once, gets nine products, and is put
back. That is a ninth of the stores. The loads of pixels stay, one for each multiply-add, and most of them not aligned
with the cache's lines. Nine sums in one expression are also one chain: the next pixel's may overlap with it, but the
nine wait for each other.

To need fewer loads, a pixel that is in a register must be used for more than one output. That is the next rung.
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
                    k = w[o, c]
                    a, b, d = x[n, c, i], x[n, c, i + 1], x[n, c, i + 2]
                    k00, k01, k02 = k[0, 0], k[0, 1], k[0, 2]
                    k10, k11, k12 = k[1, 0], k[1, 1], k[1, 2]
                    k20, k21, k22 = k[2, 0], k[2, 1], k[2, 2]
                    for j in range(width):
                        above = k00 * a[j] + k01 * a[j + 1] + k02 * a[j + 2]
                        middle = k10 * b[j] + k11 * b[j + 1] + k12 * b[j + 2]
                        below = k20 * d[j] + k21 * d[j + 1] + k22 * d[j + 2]
                        out[j] += above + middle + below


def convolve(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """As in rung 1."""
    y = np.empty((x.shape[0], w.shape[0], *x.shape[2:]), x.dtype)
    _convolve(with_border(x), w, y)
    return y
