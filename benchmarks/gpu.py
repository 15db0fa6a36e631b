"""Timing on a GPU, written against CuPy's API: events, batches of launches, and a flushed L2 cache.

The module that is handed in need not be CuPy: the tests hand in one that counts, and run where there is no GPU.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

#: A kernel shorter than this is timed in batches: an event's own resolution is about half a microsecond.
BATCH_BELOW = 20e-6
#: What a batch should last.
BATCH = 500e-6
#: What the GPU waits for before a sample: so long, and for each call that Python launches so much more.
HEAD_START, LAUNCH = 500e-6, 100e-6

_WAIT = """
extern "C" __global__ void wait(long long nanoseconds) {
    unsigned long long start, now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
    do asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now)); while (now - start < nanoseconds);
}
"""


def no_device() -> str:
    """Return why there is no GPU to run on, or an empty text."""
    try:
        import cupy
    except ImportError:
        return "CuPy is not installed"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no CUDA device ({error})"
    return "" if count else "no CUDA device"


def device_name() -> str | None:
    """Return the current device's name, or None without one."""
    if no_device():
        return None
    import cupy

    return cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())["name"].decode()


class EventClock:
    """Times launches by two events on the current stream. ``cupy`` is the module, or one like it.

    Python needs longer to launch a small kernel than the GPU to run it. So before the first event the GPU is given
    something to wait for, and meanwhile all that is timed is queued: between the events it does not wait for Python.
    """

    def __init__(self, cupy: Any):
        self._cupy = cupy
        self._flush: Any = None
        self._wait = cupy.RawKernel(_WAIT, "wait")

    def calls_for(self, seconds: float, cold: bool) -> int:
        """One launch for a long kernel; for a short one as many as fill `BATCH`.

        Cold launches are never batched: the second would find the first one's data in the cache.
        """
        if cold or seconds >= BATCH_BELOW:
            return 1
        return math.ceil(BATCH / max(seconds, 1e-6))

    def sample(self, run: Callable[[], Any], calls: int, cold: bool) -> float:
        cuda = self._cupy.cuda
        run()
        if cold:
            self._overwrite_cache()
        self._wait((1,), (1,), (int(1e9 * (HEAD_START + calls * LAUNCH)),))
        begin, end = cuda.Event(), cuda.Event()
        begin.record()
        for _ in range(calls):
            run()
        end.record()
        end.synchronize()
        return cuda.get_elapsed_time(begin, end) / 1000 / calls  # milliseconds

    def median(self, run: Callable[[], Any], cold: bool, rounds: int) -> float:
        """Return the median of ``rounds`` samples, in seconds, after some that compile and warm up."""
        calls = self.calls_for(min(self.sample(run, 1, cold) for _ in range(3)), cold)
        return statistics.median(self.sample(run, calls, cold) for _ in range(rounds))

    def _overwrite_cache(self) -> None:
        """Write to twice as much memory as the L2 cache holds."""
        if self._flush is None:
            size = self._cupy.cuda.Device().attributes["L2CacheSize"]
            self._flush = self._cupy.zeros(max(1, 2 * size // 4), "float32")
        self._flush.fill(1)
