"""The held-out set: operators and bugs drawn anew from a seed, and what the checker makes of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..checker import check
from ..policy import Policy
from ..report import Verdict
from . import bug_kinds, drawn_operators

POLICIES = {"default": Policy(locate_limit=64), "quick": Policy(locate_limit=64, screened=True)}


@dataclass(frozen=True)
class Score:
    """Under one policy: how many wrong operators there were, which were not refused, and which right ones were."""

    policy: str
    bugs: int
    survivors: tuple[str, ...]
    right: int
    false_alarms: tuple[str, ...]
    seconds: float

    @property
    def kill_rate(self) -> float:
        """0 to 1."""
        return 1 - len(self.survivors) / self.bugs if self.bugs else 0.0

    def __str__(self) -> str:
        killed = self.bugs - len(self.survivors)
        lines = [
            f"{self.policy}: {killed} of {self.bugs} bugs killed ({100 * self.kill_rate:.1f} %), {self.seconds:.1f} s"
        ]
        lines += [f"  SURVIVED {name}" for name in self.survivors]
        lines.append(f"  false alarms on {self.right} right operators: {len(self.false_alarms)}")
        lines += [f"  FALSE ALARM {name}" for name in self.false_alarms]
        return "\n".join(lines)


def score(seed: int, policy: str, *, bugs: bool = True, progress: Callable[[str], None] = lambda line: None) -> Score:
    """Every family of operators and every kind of bug, drawn from the seed, under "default" or "quick".

    bugs: False asks the right operators only.
    """
    start = time.perf_counter()
    survivors, alarms, count, right = [], [], 0, 0
    for drawn in drawn_operators.draw(np.random.default_rng([seed, 0])):
        for dtype in ("f8", "f4"):
            args = tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in drawn.args)
            report = check(drawn.op, *args, seed=seed, policy=POLICIES[policy])
            right += 1
            if report.verdict is Verdict.FAIL:
                alarms.append(f"seed {seed}: {drawn.op.name}, {dtype}: {report.reason}")
        rng = np.random.default_rng([seed, 1, right])
        for kind in bug_kinds.kinds(rng) if bugs else ():
            wrong = kind.spoil(drawn, rng)
            if wrong is None:
                continue
            count += 1
            if check(wrong, *drawn.args, seed=seed, policy=POLICIES[policy]).verdict is not Verdict.FAIL:
                survivors.append(f"seed {seed}: {drawn.op.name}: {kind.name}")
                progress(survivors[-1])
    seconds = time.perf_counter() - start
    return Score(policy, count, tuple(survivors), right, tuple(alarms), seconds)


def total(scores: list[Score]) -> Score:
    """Several seeds under one policy as one."""
    return Score(
        scores[0].policy,
        sum(s.bugs for s in scores),
        tuple(name for s in scores for name in s.survivors),
        sum(s.right for s in scores),
        tuple(name for s in scores for name in s.false_alarms),
        sum(s.seconds for s in scores),
    )
