"""Two kernels that no commit changes: what they take says how fast the machine is at the moment.

A run times them at each visit to a pass, before and after. Where two runs are compared, a difference of the anchors is
one of the machine and not of the kernels. One anchor is arithmetic alone (the clock, and what neighbours leave of the
processors); the other goes through 36 MB of memory. A machine can be faster for one thing and slower for another: where
two virtual processors moved to cores with a cache each, the memory anchor took 0.5 ms in place of 0.8, and kernels
whose threads share data up to 1.25 times as long.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from . import ceilings

_ROUNDS = 200_000  # of multiply-adds: 0.7 ms at one round of 12 in 12 cycles
_NUMBERS = 3 * 1024**2


class Anchor:
    """Times both anchors on the threads that the kernels have."""

    def __init__(self) -> None:
        from scratchgan import kernels

        self._compiled = ceilings.compiled_kernels()
        self._sums = np.full(kernels.get_num_threads(), 1e-3, np.float32)
        self._arrays = [np.ones(_NUMBERS, np.float32) for _ in range(3)]
        self.measure()

    def measure(self, times: int = 3) -> tuple[list[float], list[float]]:
        """Return the seconds of so many calls of the arithmetic and of the memory anchor, after an untimed one."""
        sums, (a, b, c) = self._sums, self._arrays
        arithmetic: Any = lambda: self._compiled["arithmetic"](_ROUNDS, sums.copy())  # noqa: E731
        memory: Any = lambda: self._compiled["triad"](a, b, c, np.float32(3))  # noqa: E731
        found: tuple[list[float], list[float]] = ([], [])
        for call in range(times + 1):
            for run, seconds in zip((arithmetic, memory), found, strict=True):
                begin = time.perf_counter()
                run()
                if call:
                    seconds.append(time.perf_counter() - begin)
        return found
