"""The problems for pytest-benchmark, for those who want a kernel's times in their own continuous integration.

In a test file of theirs, with this checkout on the path::

    from benchmarks.ci import cases

    @pytest.mark.parametrize("case", cases("conv mb64ic64ih32oc128kh4sh2ph1"), ids=str)
    def test_speed(benchmark, case):
        case.check()                 # a wrong kernel is not timed
        benchmark(case.prepared())

`cases` is a list of plain objects: without pytest-benchmark, ``case.time()`` returns this harness's own samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .correctness import PASSED, check
from .descriptor import Problem, read_arguments
from .peers import Implementation, Unimplemented, choose
from .problem import inputs
from .sampling import Measurement, Settings, sample


@dataclass(frozen=True)
class Case:
    """One pass of one problem by one implementation."""

    problem: Problem
    implementation: Implementation

    def __str__(self) -> str:
        return f"{self.problem.name or self.problem.directed('')}-{self.problem.direction}-{self.implementation.name}"

    def check(self) -> None:
        """Raise AssertionError, with the line that repeats it, unless the result is right."""
        outcome = check(self.problem, self.implementation)
        assert outcome.verdict == PASSED, str(outcome)

    def prepared(self) -> Callable[[], Any]:
        """Return the function to time: arrays are made, and it has run once."""
        run = self.implementation.build(self.problem, inputs(self.problem, "normal"))
        run()
        return run

    def time(self, seconds: float = 1.0) -> Measurement:
        """Time it here."""
        return sample({"": self.prepared()}, Settings(seconds))[""]


def cases(*problems: str, implementations: tuple[str, ...] = ("ours",), threads: int = 1) -> list[Case]:
    """Return a case for each pass of each descriptor (or ``@FILE``) that an implementation has.

    ValueError for a descriptor that cannot be read or an implementation that does not exist.
    """
    chosen, _ = choose(implementations)
    for implementation in chosen:
        implementation.set_threads(threads)
    found = []
    for problem in read_arguments(list(problems)):
        for direction in problem.directions:
            one = problem.directed(direction)
            found += [Case(one, implementation) for implementation in chosen if _has(one, implementation)]
    return found


def _has(problem: Problem, implementation: Implementation) -> bool:
    try:
        implementation.build(problem, inputs(problem, "normal"))
    except Unimplemented:
        return False
    return True
