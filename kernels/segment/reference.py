"""Sums of rows by number, as loops."""

import numpy as np


def segment_sum(x: np.ndarray, ids: np.ndarray, count: int) -> np.ndarray:
    """Return (count, D): row s is the sum of the rows of x (M,D) whose id is s."""
    result = np.zeros((count, x.shape[1]), x.dtype)
    for row, segment in zip(x, ids, strict=True):
        result[segment] += row
    return result
