"""Working memory that is kept from call to call."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

_memory = threading.local()

_LINE = 64  # bytes of a cache line, and of the largest register

# What is larger is not in the third cache any more when the next operator reads it.
_STREAM_BYTES = 8 * 1024 * 1024


def workspace(count: int, dtype: np.dtype) -> np.ndarray:
    """Return memory for ``count`` numbers, which hold what an earlier call left there, and at first 0.

    It is kept from call to call, for each thread that calls: fresh memory costs a page fault for every 4 KiB, which is
    more than a small layer's arithmetic. It begins as zeros, and float32 and float64 have each their own, because the
    last register of a row is multiplied whole: what lies behind the row goes nowhere, but if it is denormal, as most
    integers and halves of pointers are when they are read as floats, the processor needs some 150 cycles for it. And it
    begins at a cache line, or each register that is read or written would touch two.
    """
    kept: dict[Any, np.ndarray] = vars(_memory)
    count += 64  # whole registers are read behind the last number
    if dtype not in kept or kept[dtype].size < count:
        memory = np.zeros(count + _LINE // dtype.itemsize, dtype)
        kept[dtype] = memory[-memory.ctypes.data % _LINE // dtype.itemsize :]
    return kept[dtype][:count]


def up(value: int, multiple: int) -> int:
    """Return the least multiple that is not below ``value``."""
    return -(-value // multiple) * multiple


def streamed(y: np.ndarray, pitch: int, lane: int) -> bool:
    """Say whether y is too large for the cache, and aligned so that whole registers of it can bypass that.

    Runs of y begin at multiples of ``pitch`` numbers; ``lane`` is how many a register holds.
    """
    return y.nbytes >= _STREAM_BYTES and pitch % lane == 0 and y.ctypes.data % (lane * y.itemsize) == 0
