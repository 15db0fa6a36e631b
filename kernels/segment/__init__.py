"""Sums of rows by number: the gradient of picking rows out of a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import arrays, empty, kernels_for


def segment_sum(x: np.ndarray, ids: Any, count: int) -> np.ndarray:
    """Return (count, D): row s is the sum of those rows of x (M,D) whose id is s, added up in their order.

    ``ids`` (M,): integers from 0 to count-1 where x is; the caller answers for their range, which a GPU would have to
    be waited for to check. A segment without rows is zeros. The name is JAX's.
    """
    name = "segment_sum"
    (rows,) = arrays(name, x=x)
    if rows.ndim != 2 or ids.shape != rows.shape[:1] or ids.dtype.kind not in "iu":
        raise ValueError(f"{name}: x must be (M,D) and ids M integers, got {rows.shape} and {ids.dtype} {ids.shape}")
    result = empty((count, rows.shape[1]), rows)
    if rows.size == 0:
        result.fill(0)
    elif result.size:
        kernels_for(__package__, rows).segment_sum(rows, ids, result)
    return result
