"""The pytest plugin: `--grad-case`, `--grad-profile`, and a summary of what could not be compared."""

from __future__ import annotations

from typing import Any

import pytest

from .cases import Case
from .profiles import PROFILES, session


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gradcheck", "gradient checks")
    group.addoption("--grad-case", metavar="JSON", help="run gradient-check suites on this one case")
    group.addoption(
        "--grad-profile",
        choices=sorted(PROFILES),
        default="default",
        help="default: few examples, the same every time; thorough: ten times as many, new on every run",
    )


def pytest_configure(config: pytest.Config) -> None:
    session.profile = PROFILES[config.getoption("--grad-profile")]
    text = config.getoption("--grad-case")
    try:
        session.case = Case.from_json(text) if text else None
    except ValueError as error:
        raise pytest.UsageError(f"--grad-case: {error}") from error


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not session.comparisons and not session.inconclusive:
        return
    terminalreporter.section("gradient checks")
    terminalreporter.line(f"profile {session.profile.name}: {session.comparisons} comparisons")
    for operator, reasons in sorted(session.inconclusive.items()):
        for reason, count in reasons.items():
            terminalreporter.line(f"INCONCLUSIVE {operator}, {count} cases: {reason}")
    if terminalreporter.config.option.verbose > 0:
        for what, operators in sorted(session.skipped.items()):
            terminalreporter.line(f"not applicable to {', '.join(sorted(operators))}: {what}")
