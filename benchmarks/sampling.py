"""Taking turns: candidates are timed A B C, B C A, ... so that a change of the machine's speed meets all alike.

A sample is the wall time of one call, or the mean of several if a call is shorter than `SHORTEST`. Before each sample
the candidate runs once untimed, which wakes its threads after the others' turn and warms the caches with its own
arrays; for a cold sample the caches are overwritten after that, and it is one call.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from . import statistics
from .machine import cache_bytes

#: Seconds that a sample should last: the clock's and the call's own cost are then below a thousandth.
SHORTEST = 500e-6
#: Samples of a candidate of which the least number of rounds would take more than the time there is.
SLOW_SAMPLES = 3
#: Threads of another library that wait busily give up within this time.
_PAUSE = 0.003


@dataclass
class Measurement:
    """What was measured of one candidate, in seconds per call."""

    samples: list[float] = field(default_factory=list)
    calls: int = 1  # in each sample
    first_call: float = 0.0
    stopped: str = ""
    warning: str = ""

    @property
    def compile_seconds(self) -> float:
        """What the first call took beyond a usual one: compiling, or reading from a cache, and first allocations."""
        return max(0.0, self.first_call - statistics.summarise(self.samples).median) if self.samples else 0.0


@dataclass(frozen=True)
class Settings:
    """When to stop sampling. ``seconds`` is for all candidates of a problem together, in all visits.

    A run that visits each pass several times, with all other passes in between, knows how its figures drift.
    """

    seconds: float = 4.0
    relative_error: float = 0.01
    least_rounds: int = 7
    most_rounds: int = 200
    cold: bool = False
    visits: int = 1
    #: Seconds of all visits together, where these are the settings of one.
    whole: float = 0.0

    def of_a_visit(self) -> Settings:
        """The settings of one visit."""
        each = max(1, self.visits)
        return replace(
            self,
            seconds=self.seconds / each,
            least_rounds=max(SLOW_SAMPLES, math.ceil(self.least_rounds / each)),
            most_rounds=max(SLOW_SAMPLES, math.ceil(self.most_rounds / each)),
            visits=1,
            whole=self.seconds,
        )


class Clock(Protocol):
    """How calls are timed: wall time here, events on a GPU."""

    def calls_for(self, seconds: float, cold: bool) -> int:
        """How many calls make up a sample, if one takes so many seconds."""
        ...

    def sample(self, run: Callable[[], Any], calls: int, cold: bool) -> float:
        """Return the seconds per call."""
        ...


class WallClock:
    """The processor's clock. A cold sample follows a pass over twice the largest cache."""

    def __init__(self, shortest: float = SHORTEST) -> None:
        self._shortest = shortest
        self._flush: np.ndarray | None = None

    def calls_for(self, seconds: float, cold: bool) -> int:
        return 1 if cold else max(1, min(10_000, math.ceil(self._shortest / max(seconds, 1e-9))))

    def sample(self, run: Callable[[], Any], calls: int, cold: bool) -> float:
        time.sleep(_PAUSE)
        run()
        if cold:
            if self._flush is None:
                self._flush = np.zeros(2 * cache_bytes() // 8)
            self._flush += 1
        begin = time.perf_counter()
        for _ in range(calls):
            run()
        return (time.perf_counter() - begin) / calls


def sample(
    candidates: dict[str, Callable[[], Any]], settings: Settings = Settings(), clock: Clock | None = None
) -> dict[str, Measurement]:
    """Time the candidates in turns until each one's median is known to ``settings.relative_error``, or time is up.

    A candidate that is done early keeps its turns until all are done: equal counts, equal conditions. One of which a
    single call takes more than its share of the time gets fewer samples, three at least, and says so.
    """
    clock = clock or WallClock()
    measured = {name: Measurement() for name in candidates}
    # What compiling takes is not taken from the time for sampling.
    for name, run in candidates.items():
        begin = time.perf_counter()
        run()
        measured[name].first_call = time.perf_counter() - begin
    # How long a call takes: the shortest of three, as an interruption must not decide how a candidate is sampled.
    usual = {}
    for name, run in candidates.items():
        usual[name] = clock.sample(run, 1, False)
        for _ in range(2):
            if usual[name] < settings.seconds / 20:
                usual[name] = min(usual[name], clock.sample(run, 1, False))
        measured[name].calls = clock.calls_for(usual[name], settings.cold)
    names = list(candidates)
    begin, rounds = time.perf_counter(), 0
    # The untimed call before each sample costs as much as the sample.
    cost = {name: 2 * usual[name] * measured[name].calls for name in names}
    slow = {name for name in names if cost[name] * settings.least_rounds > settings.seconds and len(names) > 1}
    share = settings.seconds / max(1, len(names))
    while rounds < settings.most_rounds:
        turn = rounds % len(names)
        for name in names[turn:] + names[:turn]:
            own = measured[name]
            if name in slow and (len(own.samples) + 1) * cost[name] > share and len(own.samples) >= SLOW_SAMPLES:
                continue
            own.samples.append(clock.sample(candidates[name], own.calls, settings.cold))
        rounds += 1
        if rounds < settings.least_rounds:
            continue
        steady = [m for name, m in measured.items() if name not in slow] or list(measured.values())
        if all(statistics.relative_error(m.samples) <= settings.relative_error for m in steady):
            break
        if time.perf_counter() - begin > settings.seconds:
            break
    for name, own in measured.items():
        error = statistics.relative_error(own.samples)
        own.stopped = "relative error" if error <= settings.relative_error else "time limit"
        if own.samples and len(own.samples) < settings.least_rounds and name in slow:
            own.stopped = f"time limit, {len(own.samples)} samples: one call takes {usual[name]:.1f} s"
        own.warning = statistics.instability(own.samples)
    return measured


def decide(
    before: Callable[[], Any],
    after: Callable[[], Any],
    seconds: float,
    effect: float = statistics.SMALLEST_EFFECT,
    clock: Clock | None = None,
) -> tuple[str, float, float, float, list[float], list[float]]:
    """Time two candidates in turns until they are told apart or known to be the same.

    Returns what `statistics.paired_verdict` does, and both sides' samples. It is AMBIGUOUS only if ``seconds`` are
    over, or the last of `statistics.looks` came, before the interval lay on one side of the thresholds. The first two
    rounds are dropped: the processor's clock and the caches are not yet as they will be.
    """
    clock = clock or WallClock()
    runs = (before, after)
    for run in runs:
        run()
    usual = min(clock.sample(run, 1, False) for run in runs for _ in range(3))
    calls = clock.calls_for(usual, False)
    samples: tuple[list[float], list[float]] = ([], [])
    begin = time.perf_counter()
    found = ("AMBIGUOUS", 1.0, 0.0, math.inf)
    counts = statistics.looks()
    for count in counts:
        while len(samples[0]) < count + 2:
            # A B, then B A: nobody always comes after the other.
            for which in (0, 1) if len(samples[0]) % 2 == 0 else (1, 0):
                samples[which].append(clock.sample(runs[which], calls, False))
            if time.perf_counter() - begin > seconds and len(samples[0]) >= counts[0] + 2:
                break
        found = statistics.paired_verdict([samples[0][2:]], [samples[1][2:]], effect, len(counts))
        if found[0] != "AMBIGUOUS" or time.perf_counter() - begin > seconds:
            break
    return *found, samples[0][2:], samples[1][2:]
