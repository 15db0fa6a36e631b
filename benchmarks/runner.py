"""One problem at a time: check it, time it, and write down everything that was seen."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from . import statistics
from .ceilings import Ceilings
from .correctness import FAILED, UNIMPLEMENTED, check, check_gradient, repeat_line
from .descriptor import DIRECTIONS, Problem, parse
from .peers import Implementation, Unimplemented
from .problem import flops, inputs, memory_available, memory_needed, moved_bytes
from .sampling import Clock, Settings, sample

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
        return f"{problem} is skipped: it takes up to {needed / 1e9:.1f} GB of memory, and {free:.1f} GB are free"
    return ""


def run_pass(
    problem: Problem,
    implementations: Sequence[Implementation],
    mode: str,
    settings: Settings,
    threads: int,
    clock: Clock | None = None,
) -> list[Record]:
    """Run one pass of one problem. What is wrong is not timed: a speed beside FAILED would be read as a speed."""
    records = []
    for implementation in implementations:
        record = Record(
            str(problem), problem.name, problem.direction, implementation.name, flops(problem), moved_bytes(problem),
            cache="cold" if settings.cold else "warm",
            repeat=repeat_line(problem, implementation.name, mode, threads),
        )  # fmt: skip
        if "C" in MODES[mode]:
            outcome = check(problem, implementation, threads)
            record.verdict, record.reason = outcome.verdict, outcome.reason
        records.append(record)
    if "P" in MODES[mode]:
        timed: dict[str, Callable[[], Any]] = {}
        arrays = inputs(problem, "normal")
        for record, implementation in zip(records, implementations, strict=True):
            if record.verdict in (FAILED, UNIMPLEMENTED):
                continue
            try:
                timed[record.implementation] = implementation.build(problem, arrays)
            except Unimplemented as error:
                record.verdict, record.reason = UNIMPLEMENTED, str(error)
            except Exception as error:  # a peer that breaks must not end the run
                record.verdict, record.reason = FAILED, f"raised {type(error).__name__}: {error}"
        if timed:
            gc.collect()
            for name, measured in sample(timed, settings, clock).items():
                record = next(r for r in records if r.implementation == name)
                record.samples, record.calls = measured.samples, measured.calls
                record.compile_seconds = measured.compile_seconds
                record.stopped, record.warning = measured.stopped, measured.warning
    return records


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
) -> list[Record]:
    """Run every pass that the problems ask for; ``seen`` gets the records of each as soon as it is done."""
    everything: list[Record] = []
    for problem in problems:
        line = too_large(problem, memory_limit)
        if line:
            skipped(line)
            continue
        for one in [problem] if mode == "gradient" else [problem.directed(d) for d in problem.directions]:
            if mode == "gradient":
                records = run_gradients(one, implementations, threads)
            else:
                records = run_pass(one, implementations, mode, settings, threads, clock)
            everything += records
            seen(records)
    return everything
