"""Sums of rows by number on the CPU."""

import numpy as np


def segment_sum(x, ids, result):
    """Fill ``result``, in the order of the rows."""
    result.fill(0)
    np.add.at(result, ids, x)
