"""Binary cross-entropy on a GPU: the function of ``cpu.py``, launched."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import empty, is_gpu_array
from ..launch import THREADS, Kernel

_bce = Kernel(__file__, "bce")
_mean_of = Kernel(__file__, "mean_of")

_EACH = 16  # elements of a thread, at least
_BLOCKS = 1024


def bce_with_logits(logits: Any, target: Any, gradient: Any) -> Any:
    count = logits.size
    blocks = min(_BLOCKS, -(-count // (_EACH * THREADS)))
    loss = empty((), logits)
    partial = empty((blocks,), logits, np.float64) if blocks > 1 else None
    array, same = (target, 0.0) if is_gpu_array(target) else (None, target)
    _bce((blocks,), (THREADS,), logits, array, same, 1.0 / count, gradient, partial, loss, count)
    if partial is not None:
        _mean_of((1,), (THREADS,), partial, blocks, loss, count)
    return loss
