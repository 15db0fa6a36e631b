"""What a check concludes, and how it says so.

A check never answers with a bare boolean. Each comparison becomes a :class:`Finding`; the findings of one
run become a :class:`Report`, whose text names the operator, the argument, the layer, the dtype, the worst
element with both values and which of them is numeric, the pattern of the error if one is seen, and one line
that reproduces it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .patterns import describe_pattern


class Verdict(enum.Enum):
    """PASS: compared and equal. FAIL: compared and different, or the operator misbehaved. INCONCLUSIVE: the
    comparison could not decide, for the reason given; it is never counted as a pass."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


class GradcheckError(AssertionError):
    """A gradient check failed; the message is the report's."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


@dataclass(frozen=True)
class Mismatch:
    """How two arrays differ, seen from the worst element.

    `got` is the operator's value and `expected` the checker's; `sides` says which one is numeric.
    """

    differing: int
    total: int
    index: tuple[int, ...]
    got: float
    expected: float
    tolerance: float
    sides: str
    pattern: str = ""
    searched: str = ""

    def lines(self, array_name: str) -> list[str]:
        where = f"{array_name}[{', '.join(map(str, self.index))}]" if self.index else array_name
        out = [
            f"{self.differing} of {self.total} elements differ{self.searched}; worst at {where}: "
            f"got {self.got:.9g}, expected {self.expected:.9g}, tolerance {self.tolerance:.3g}",
            f"sides: {self.sides}",
        ]
        if self.pattern:
            out.append(f"pattern: {self.pattern}")
        return out


def compare(
    got: NDArray[Any],
    expected: NDArray[Any],
    tolerance: float | NDArray[Any],
    sides: str,
) -> Mismatch | None:
    """Elementwise |got - expected| <= tolerance. NaN equals NaN; everything else that is not <= differs."""
    if got.dtype == expected.dtype and np.array_equal(got, expected):
        return None
    got_wide = np.asarray(got, dtype=np.float64)
    expected_wide = np.asarray(expected, dtype=np.float64)
    with np.errstate(all="ignore"):
        error = np.abs(got_wide - expected_wide)
        same = (error <= tolerance) | (got_wide == expected_wide)
        same |= np.isnan(got_wide) & np.isnan(expected_wide)
    if same.all():
        return None
    excess = np.where(same, -np.inf, np.where(np.isnan(error), np.inf, error))
    index = tuple(int(k) for k in np.unravel_index(int(np.argmax(excess)), excess.shape))
    return Mismatch(
        differing=int(np.count_nonzero(~same)),
        total=int(same.size),
        index=index,
        got=float(got_wide[index]),
        expected=float(expected_wide[index]),
        tolerance=float(np.broadcast_to(tolerance, same.shape)[index]),
        sides=sides,
        pattern=describe_pattern(got_wide, expected_wide, np.asarray(tolerance, dtype=np.float64)),
    )


@dataclass(frozen=True)
class Finding:
    """The outcome of one layer for one argument (or for the operator as a whole, when `argument` is "")."""

    layer: str
    verdict: Verdict
    argument: str = ""
    dtype: str = ""
    reason: str = ""
    comparisons: int = 0
    mismatch: Mismatch | None = None
    operator: str = ""
    reproduce: str = ""

    def __str__(self) -> str:
        what = self.operator + (f", {self.argument}" if self.argument else "")
        head = f"{self.verdict.value} {what}: {self.layer}" + (f", {self.dtype}" if self.dtype else "")
        lines = [head + (f": {self.reason}" if self.reason else "")]
        if self.mismatch is not None:
            name = self.argument.removeprefix("gradient of ") or "result"
            lines += ["  " + line for line in self.mismatch.lines(name)]
        return "\n".join(lines)


@dataclass(frozen=True)
class Report:
    """Everything one check found.

    `skipped` lists (layer, reason) for layers that do not apply to this operator (an operator with no
    reference has no oracle); a layer that applied and could not decide is an INCONCLUSIVE finding instead.
    """

    operator: str
    case: str
    findings: tuple[Finding, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def comparisons(self) -> int:
        """How many numbers or arrays were held against each other."""
        return sum(f.comparisons for f in self.findings)

    @property
    def verdict(self) -> Verdict:
        """FAIL if anything failed, else INCONCLUSIVE if anything was undecided or nothing was compared."""
        verdicts = {f.verdict for f in self.findings}
        if Verdict.FAIL in verdicts:
            return Verdict.FAIL
        if Verdict.INCONCLUSIVE in verdicts or self.comparisons == 0:
            return Verdict.INCONCLUSIVE
        return Verdict.PASS

    @property
    def failures(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.verdict is Verdict.FAIL)

    @property
    def inconclusives(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.verdict is Verdict.INCONCLUSIVE)

    @property
    def failing_layers(self) -> tuple[str, ...]:
        """The layers that failed, cheapest first, each once."""
        return tuple(dict.fromkeys(f.layer for f in self.failures))

    @property
    def reason(self) -> str:
        """Why the verdict is what it is, in one line; empty for PASS."""
        if self.verdict is Verdict.PASS:
            return ""
        decisive = [f for f in self.findings if f.verdict is self.verdict]
        if decisive:
            first = decisive[0]
            prefix = f"{first.argument}: " if first.argument else ""
            return prefix + (first.reason or str(first)).splitlines()[0]
        return "nothing was compared"

    def __bool__(self) -> bool:
        return self.verdict is Verdict.PASS

    def __str__(self) -> str:
        decisive = self.failures or self.inconclusives
        if not decisive:
            if self.verdict is Verdict.INCONCLUSIVE:
                return f"INCONCLUSIVE {self.operator}: nothing was compared\n  case: {self.case}"
            layers = ", ".join(dict.fromkeys(f.layer for f in self.findings))
            return f"PASS {self.operator}: {self.comparisons} comparisons ({layers})\n  case: {self.case}"
        first, rest = decisive[0], decisive[1:]
        lines = [str(first), f"  case: {self.case}"]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  reproduce: {first.reproduce}"] if first.reproduce else []
        if rest:
            also = "; ".join(dict.fromkeys(f"{f.layer}, {f.argument or 'operator'}" for f in rest))
            lines.append(f"  also {decisive[0].verdict.value}: {also}")
        return "\n".join(lines)

    def raise_if_failed(self) -> Report:
        """Raises :class:`GradcheckError` on FAIL, and where nothing was compared; returns itself otherwise."""
        if self.verdict is Verdict.FAIL or self.comparisons == 0:
            raise GradcheckError(self)
        return self

    def merged(self, others: Iterable[Report]) -> Report:
        """This report with the findings of `others` after its own."""
        findings, skipped, notes = list(self.findings), list(self.skipped), list(self.notes)
        for other in others:
            findings += other.findings
            skipped += other.skipped
            notes += other.notes
        return replace(self, findings=tuple(findings), skipped=tuple(skipped), notes=tuple(notes))
