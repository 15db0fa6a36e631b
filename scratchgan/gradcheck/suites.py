"""suite(): an operator and a strategy in, one pytest test out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import hypothesis
import numpy as np
from hypothesis.strategies import SearchStrategy

from .cases import Case
from .checker import check_dtypes
from .op import Op
from .policy import Policy
from .profiles import session
from .report import GradcheckError, Report, Verdict
from .strategies import corners_of


@dataclass(frozen=True)
class Suite:
    """What a suite runs; the test that :func:`suite` returns carries it as `.suite`."""

    op: Op
    strategy: SearchStrategy[Case]
    dtypes: tuple[str, ...]
    max_examples: int | None
    order: int
    policy: Policy

    def examples(self) -> int:
        if self.max_examples is None:
            return session.profile.max_examples
        return self.max_examples * session.profile.factor

    def check_case(self, case: Case, op: Op | None = None) -> list[Report]:
        """One report per dtype."""
        options = {"params": case.params, "order": self.order, "seed": case.seed}
        return check_dtypes(op or self.op, case.args, self.dtypes, policy=self.policy, **options)

    def run(self, op: Op | None = None, shrink: bool = True) -> list[Report]:
        """Draws cases until one fails: then raises GradcheckError with the smallest. Returns all reports otherwise.

        shrink=False raises on the first case that fails, as it was drawn.
        """
        reports: list[Report] = []

        def body(case: Case) -> None:
            for report in self.check_case(case, op):
                if report.verdict is Verdict.FAIL:
                    raise GradcheckError(with_case(report, case))
                reports.append(report)

        phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
        settings = hypothesis.settings(
            max_examples=self.examples(),
            derandomize=session.profile.derandomize,
            database=None,
            deadline=None,
            print_blob=False,
            phases=[*phases, hypothesis.Phase.shrink] if shrink else phases,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        settings(hypothesis.given(self.strategy)(body))()
        for case in corners_of(self.strategy):
            body(case)
        return reports


def suite(
    op: Op,
    strategy: SearchStrategy[Case],
    *,
    dtypes: Sequence[str] = ("f4", "f8"),
    max_examples: int | None = None,
    order: int = 1,
    policy: Policy | None = None,
) -> Callable[[], None]:
    """A pytest test that holds `op` to every layer on cases drawn from `strategy`.

        test_conv = suite(conv, conv_geometry(2, groups=True), dtypes=("f4", "f8"))

    A failure shows the smallest failing case and a `--grad-case` that runs it alone. Cases that cannot be decided
    are summarised at the end of the run; a test in which none could be decided fails.
    """
    if not dtypes:
        raise ValueError("suite: dtypes is empty: nothing would be checked")
    limited = policy or Policy(locate_limit=512)
    made = Suite(op, strategy, tuple(dtypes), max_examples, order, limited)

    def test() -> None:
        if session.case is not None:
            reports = made.check_case(session.case)
            for report in reports:
                with_case(report, session.case).raise_if_failed()
        else:
            reports = made.run()
        _account(op, reports)

    test.__name__ = test.__qualname__ = f"test_{op.name}"
    test.__doc__ = f"Every gradient-check layer on {op.name}."
    vars(test)["suite"] = made
    return test


def draw(strategy: SearchStrategy[Any], count: int, seed: int = 0) -> list[Any]:
    """`count` different examples of a strategy (fewer if it has no more), the same for the same seed."""
    drawn: dict[str, Any] = {}

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(example: Any) -> None:
        drawn.setdefault(repr(example), example)

    collect()
    return list(drawn.values())


def with_case(report: Report, case: Case) -> Report:
    """The report with the command that runs this case alone."""
    node = os.environ.get("PYTEST_CURRENT_TEST", "").rsplit(" ", 1)[0]
    text = case.to_json()

    def command(dtype: str) -> str:
        if node:
            return f"pytest {node!r} --grad-case '{text}'"
        dtype = np.dtype(dtype or "f8").str[1:]
        return (
            f"case = Case.from_json({text!r}); check(op, *case.args({dtype!r}), params=case.params, seed={case.seed})"
        )

    findings = tuple(
        f if f.verdict is Verdict.PASS else replace(f, reproduce=command(f.dtype)) for f in report.findings
    )
    return replace(report, findings=findings)


def _account(op: Op, reports: list[Report]) -> None:
    """Books what was compared, and what was not; fails where that is everything."""
    for report in reports:
        session.comparisons += report.comparisons
        for layer, reason in report.skipped:
            session.note_skipped(op.name, layer, reason)
        if report.verdict is Verdict.INCONCLUSIVE:
            session.note_inconclusive(op.name, report.reason)
    if not any(report.verdict is Verdict.PASS for report in reports):
        empty = Report(op.name, "every case drawn", notes=tuple(dict.fromkeys(r.reason for r in reports))[:3])
        raise GradcheckError(reports[-1] if reports else empty)


def report_of(error: BaseException) -> Any:
    """The report behind a failed test, through the groups hypothesis may wrap it in; None if there is none."""
    if isinstance(error, GradcheckError):
        return error.report
    for inner in getattr(error, "exceptions", ()):
        found = report_of(inner)
        if found is not None:
            return found
    return None
