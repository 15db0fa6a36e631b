"""Sums of rows by number on a GPU: the function of ``cpu.py``, launched."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import namespace
from ..launch import THREADS, Kernel, grid_for

_segment_sum = Kernel(__file__, "segment_sum")


def segment_sum(x: Any, ids: Any, result: Any) -> None:
    xp, segments = namespace(x), result.shape[0]
    order = xp.argsort(ids, kind="stable")  # CuPy's is a radix sort
    start = xp.searchsorted(ids[order], xp.arange(segments + 1))
    as_index = [xp.ascontiguousarray(array.astype(np.int64)) for array in (order, start)]
    _segment_sum(grid_for(result.size), (THREADS,), x, *as_index, result, segments, x.shape[1])
