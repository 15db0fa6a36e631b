"""score(): how many of a set of wrong operators a test notices, and whether it accepts the right one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..op import Op
from ..suites import Suite, report_of
from .mutants import Mutant


@dataclass(frozen=True)
class Row:
    """One mutant: which layers were meant to notice, which did, and how long that took in seconds."""

    name: str
    meant: tuple[str, ...]
    killed_by: tuple[str, ...]
    seconds: float
    message: str = ""

    @property
    def killed(self) -> bool:
        return bool(self.killed_by)

    @property
    def as_meant(self) -> bool:
        """Whether one of the layers that were meant to notice did."""
        return bool(set(self.meant) & set(self.killed_by)) or (self.killed and not self.meant)


@dataclass(frozen=True)
class ScoreCard:
    """The result of scoring a test: one row per mutant, and the right operators it refused (false alarms)."""

    title: str
    rows: tuple[Row, ...]
    false_alarms: tuple[str, ...] = ()

    @property
    def kills(self) -> int:
        return sum(row.killed for row in self.rows)

    @property
    def survivors(self) -> tuple[str, ...]:
        return tuple(row.name for row in self.rows if not row.killed)

    @property
    def kill_rate(self) -> float:
        """Share of mutants noticed, 0 to 1."""
        return self.kills / len(self.rows) if self.rows else 0.0

    @property
    def perfect(self) -> bool:
        """Every mutant noticed by a layer that was meant to, and no false alarm."""
        return bool(self.rows) and all(r.as_meant for r in self.rows) and not self.false_alarms

    def __str__(self) -> str:
        width = max([len(row.name) for row in self.rows], default=10)
        lines = [self.title]
        for row in self.rows:
            state = "killed  " if row.as_meant else "KILLED ?" if row.killed else "SURVIVED"
            by = ", ".join(row.killed_by) or f"meant for {', '.join(row.meant) or 'any layer'}"
            lines.append(f"  {state}  {row.name:<{width}}  {row.seconds:7.3f} s  {by}")
        lines.append(f"{self.kills} of {len(self.rows)} killed ({100 * self.kill_rate:.0f}%)")
        lines.append(f"false alarms: {', '.join(self.false_alarms) or 'none'}")
        return "\n".join(lines)

    def to_json(self) -> str:
        """The same as the text, for a machine."""
        data: dict[str, Any] = {
            "title": self.title,
            "kills": self.kills,
            "mutants": len(self.rows),
            "kill_rate": self.kill_rate,
            "false_alarms": list(self.false_alarms),
            "rows": [
                {
                    "name": row.name,
                    "killed": row.killed,
                    "meant": list(row.meant),
                    "killed_by": list(row.killed_by),
                    "seconds": round(row.seconds, 4),
                    "message": row.message,
                }
                for row in self.rows
            ],
        }
        return json.dumps(data, indent=2)


def score(test: Callable[..., Any], mutants: Sequence[Mutant], *, title: str = "") -> ScoreCard:
    """Runs a test on wrong operators.

    test: what `suite()` returned; or your own, a callable that takes an `Op` and raises when it is wrong.
    mutants: see :func:`generic_mutants`. The right operator is run first, where the test carries it.
    """
    made: Suite | None = getattr(test, "suite", None)
    run: Callable[[Op], Any] = (lambda op: made.run(op, shrink=False)) if made else test
    alarms: list[str] = []
    if made is not None:
        try:
            run(made.op)
        except Exception as error:
            alarms.append(f"{made.op.name}: {_first_line(error)}")
    rows = []
    for mutant in mutants:
        start = time.perf_counter()
        layers: tuple[str, ...] = ()
        message = ""
        try:
            run(mutant.op)
        except Exception as error:
            report = report_of(error)
            layers = report.failing_layers if report is not None else (type(error).__name__,)
            message = str(report) if report is not None else _first_line(error)
        rows.append(Row(mutant.name, mutant.layers if made else (), layers, time.perf_counter() - start, message))
    return ScoreCard(title or (made.op.name if made else "your test"), tuple(rows), tuple(alarms))


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
