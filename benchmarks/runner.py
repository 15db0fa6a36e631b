"""One problem at a time: check it, time it, and write down everything that was seen."""

from __future__ import annotations

import gc
import itertools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from . import statistics
from .anchor import Anchor
from .ceilings import Ceilings
from .correctness import FAILED, UNIMPLEMENTED, check, check_gradient, repeat_line
from .descriptor import DIRECTIONS, Problem, parse
from .peers import Implementation, Unimplemented
from .problem import flops, inputs, memory_available, memory_needed, moved_bytes
from .sampling import Clock, Settings, WallClock, sample

#: What the modes do. benchdnn's letters are taken too.
MODES = {
    "correctness": "C",
    "performance": "P",
    "both": "CP",
    "gradient": "G",
}
UNCHECKED = "unchecked"


@dataclass
class Record:
    """What is known of one implementation on one pass of one problem. Times are seconds per call."""

    problem: str
    name: str
    direction: str
    implementation: str
    flops: int
    bytes: int
    verdict: str = UNCHECKED
    reason: str = ""
    repeat: str = ""
    samples: list[float] = field(default_factory=list)
    calls: int = 1
    compile_seconds: float = 0.0
    stopped: str = ""
    warning: str = ""
    cache: str = "warm"
    #: How many of the samples were taken in each visit.
    visits: list[int] = field(default_factory=list)
    #: Median seconds of each anchor (see `anchor.py`) in each visit.
    anchors: list[list[float]] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies the record in another result: problem with its direction, implementation, cache."""
        return self.problem, self.implementation, self.cache

    @property
    def title(self) -> str:
        """The layer's name, or its descriptor without the pass."""
        return self.name or str(parse(self.problem).directed(""))

    @property
    def dtype(self) -> str:
        """float32 or float64."""
        return parse(self.problem).dtype

    @property
    def passed(self) -> str:
        """forward, input_grad or weight_grad."""
        return DIRECTIONS[self.direction]

    @property
    def by_visit(self) -> list[list[float]]:
        """The samples of each visit; all of them in one if nothing is known of visits."""
        ends = list(itertools.accumulate(self.visits or [len(self.samples)]))
        return [self.samples[begin:end] for begin, end in zip([0, *ends], ends, strict=False) if end > begin]

    @property
    def summary(self) -> statistics.Summary:
        return statistics.summarise(self.samples)

    @property
    def gflops(self) -> float:
        return self.flops / self.summary.median / 1e9

    @property
    def gbytes(self) -> float:
        return self.bytes / self.summary.median / 1e9

    def of_roofline(self, ceilings: Ceilings) -> float:
        """The least time that the ceilings allow, over the median: 1 is at the roofline."""
        return ceilings.attainable(self.flops, self.bytes) / self.summary.median

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def too_large(problem: Problem, limit: int | None) -> str:
    """Return what is missing if the problem does not fit in memory, or an empty text. ``limit``: bytes, or all."""
    available = memory_available() if limit is None else limit
    needed = memory_needed(problem)
    if available is not None and needed > available:
        free = available / 1e9
        return f"{problem} is skipped: it takes up to {needed / 1e9:.3g} GB of memory, and {free:.3g} GB are free"
    return ""


def run_pass(
    problem: Problem,
    implementations: Sequence[Implementation],
    mode: str,
    settings: Settings,
    threads: int,
    clock: Clock | None = None,
    anchor: Anchor | None = None,
    check_batch: int | None = None,
) -> list[Record]:
    """Run one pass of one problem. What is wrong is not timed: a speed beside FAILED would be read as a speed.

    ``check_batch``: check with so many images at most, where the reference would take longer than all the rest.
    """
    records = []
    for implementation in implementations:
        record = Record(
            str(problem), problem.name, problem.direction, implementation.name, flops(problem), moved_bytes(problem),
            cache="cold" if settings.cold else "warm",
            repeat=repeat_line(problem, implementation.name, mode, threads),
        )  # fmt: skip
        if len(implementations) > 1 and record.flops > implementation.most_flops:
            record.verdict = UNIMPLEMENTED
            record.reason = f"a pass of {record.flops / 1e9:.2f} GFLOP takes it too long; alone (--impl) it is timed"
        elif "C" in MODES[mode]:
            outcome = check(replace(problem, mb=min(problem.mb, check_batch or problem.mb)), implementation, threads)
            record.verdict, record.reason = outcome.verdict, outcome.reason
            if outcome.verdict == FAILED:
                record.repeat = outcome.repeat
        records.append(record)
    if "P" in MODES[mode]:
        visit(problem, implementations, records, settings, clock, anchor)
    return records


def _too_slow(record: Record, settings: Settings) -> bool:
    """Whether the least number of samples, each after an untimed call, would take longer than all there is."""
    return 2 * record.summary.median * record.calls * Settings.least_rounds > (settings.whole or settings.seconds)


def visit(
    problem: Problem,
    implementations: Sequence[Implementation],
    records: Sequence[Record],
    settings: Settings,
    clock: Clock | None = None,
    anchor: Anchor | None = None,
) -> None:
    """Take samples of a pass, on new arrays, and add them to its records.

    What failed is left out, and so is what was too slow for its share of the time in an earlier visit.
    """
    timed: dict[str, Callable[[], Any]] = {}
    arrays = inputs(problem, "normal")
    again = any(record.samples for record in records)
    for record, implementation in zip(records, implementations, strict=True):
        if record.verdict in (FAILED, UNIMPLEMENTED) or (record.samples and _too_slow(record, settings)):
            continue
        try:
            timed[record.implementation] = implementation.build(problem, arrays)
        except Unimplemented as error:
            record.verdict, record.reason = UNIMPLEMENTED, str(error)
        except Exception as error:  # a peer that breaks must not end the run
            record.verdict, record.reason = FAILED, f"raised {type(error).__name__}: {error}"
    if not timed:
        return
    gc.collect()
    before = anchor.measure() if anchor else ()
    found = sample(timed, settings, clock)
    after = anchor.measure() if anchor else ()
    machine = [float(np.median([*one, *other])) for one, other in zip(before, after, strict=True)]
    for record in records:
        measured = found.get(record.implementation)
        if measured is None:
            continue
        record.samples += measured.samples
        record.visits.append(len(measured.samples))
        record.calls = measured.calls
        if machine:
            record.anchors.append(machine)
        if not again:
            record.compile_seconds = measured.compile_seconds
        record.stopped = measured.stopped
        record.warning = statistics.instability(record.samples)


def run_gradients(problem: Problem, implementations: Sequence[Implementation], threads: int) -> list[Record]:
    """Check the gradients of one problem, all passes together; the record stands for its forward."""
    forward = problem.directed("FWD_D")
    records = []
    for implementation in implementations:
        outcome = check_gradient(problem, implementation, threads)
        records.append(
            Record(
                str(problem.directed("")), problem.name, "FWD_D", implementation.name, flops(forward),
                moved_bytes(forward), outcome.verdict, outcome.reason, outcome.repeat,
            )
        )  # fmt: skip
    return records


def run(
    problems: Iterable[Problem],
    implementations: Sequence[Implementation],
    mode: str,
    settings: Settings,
    threads: int,
    clock: Clock | None = None,
    memory_limit: int | None = None,
    seen: Callable[[list[Record]], None] = lambda records: None,
    skipped: Callable[[str], None] = lambda line: None,
    progress: Callable[[str], None] = lambda line: None,
    check_batch: int | None = None,
    limit: float = math.inf,
) -> list[Record]:
    """Run every pass that the problems ask for; ``seen`` gets the records of each as soon as it is done.

    It may be cut: with an interrupt (Ctrl+C), or by ``limit``, the seconds after which nothing more is begun. Passes
    that were visited once at least are then reported with the samples that they have.

    With several visits, all passes are visited once, then all of them again, and so on: whatever the machine does for a
    while, it does to one visit and not to one kernel.
    """
    wanted: list[Problem] = []
    for problem in problems:
        line = too_large(problem, memory_limit)
        if line:
            skipped(line)
        else:
            wanted += [problem] if mode == "gradient" else [problem.directed(d) for d in problem.directions]
    found: list[list[Record]] = []
    if mode == "gradient":
        for one in wanted:
            found.append(run_gradients(one, implementations, threads))
            seen(found[-1])
        return [record for records in found for record in records]
    visits = settings.visits if wanted and "P" in MODES[mode] else 1
    anchor = Anchor() if visits > 1 and isinstance(clock or WallClock(), WallClock) else None
    each = settings.of_a_visit()
    begin, reported = time.monotonic(), 0
    try:
        for index in range(visits):
            if visits > 1:
                progress(f"visit {index + 1} of {visits} to {len(wanted)} passes")
            for position, one in enumerate(wanted):
                if time.monotonic() - begin > limit:
                    raise KeyboardInterrupt
                if index == 0:
                    found.append(run_pass(one, implementations, mode, each, threads, clock, anchor, check_batch))
                    if visits > 1:
                        progress(f"  {position + 1} of {len(wanted)}: {_first_look(found[-1])}")
                else:
                    visit(one, implementations, found[position], each, clock, anchor)
                if index == visits - 1:
                    reported += 1
                    seen(found[position])
    except KeyboardInterrupt:
        done = f"{len(found)} of {len(wanted)} passes, in visit {index + 1} of {visits}"
        skipped(f"cut after {time.monotonic() - begin:.0f} s: {done}")
        for records in found[reported:]:
            seen(records)
    return [record for records in found for record in records]


def _first_look(records: Sequence[Record]) -> str:
    """One line of a pass after its first visit: what is known is still little."""
    first = records[0]
    ours = next((r for r in records if r.samples), None)
    time_text = f", {ours.implementation} {ours.summary.median * 1e3:.3g} ms so far" if ours else ""
    bad = [f"{r.implementation} {r.verdict}" for r in records if r.verdict not in (UNCHECKED, UNIMPLEMENTED, "PASSED")]
    return f"{first.title} {first.passed}{time_text}" + "".join(f", {line}" for line in bad)
