"""Evaluations during training: how good the samples are, every so many steps, and which step's were best.

An evaluation changes nothing in the training: its inputs come from a generator of their own, and are the same each
time. What judges the outputs is the system's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..data import Dataset
from .config import TrainConfig
from .system import Networks, System

_STREAM = 0xE7A1  # sets these inputs apart from every other random number of the same seed


class Judge(Protocol):
    """What scores outputs: `scratchgan.metrics.Judge`, or anything like it."""

    n: int
    best_by: str  # the score that says which step was best
    higher_is_better: bool

    @property
    def hash(self) -> str:
        """Another judge, whose scores can't be compared with this one's, has another hash."""

    def quick(self, outputs: np.ndarray) -> dict[str, float]:
        """Return scores by name for n outputs, images float32 (n,C,H,W) in [-1, 1] for example."""


OpenJudge = Callable[[System, Dataset, int], Judge]


class Evaluation:
    """A judge with the inputs whose outputs it is shown, and the best score so far."""

    def __init__(self, config: TrainConfig, system: System, judge: Judge):
        self._judge, self._system = judge, system
        self._inputs = system.inputs(np.random.default_rng([config.run.seed, _STREAM]), judge.n)
        self._best: float | None = None

    @classmethod
    def open(
        cls, config: TrainConfig, system: System, dataset: Dataset, open_judge: OpenJudge | None
    ) -> Evaluation | None:
        """Return the evaluation that a config asks for, None for none; ``open_judge`` in place of the system's own."""
        run = config.run
        if run.eval_every == 0:
            return None
        judge = (open_judge or type(system).judge)(system, dataset, run.eval_images)
        return cls(config, system, judge)

    @property
    def hash(self) -> str:
        """The judge's hash."""
        return self._judge.hash

    def go_on(self, log: Sequence[Mapping[str, Any]], on_notice: Callable[[str], None]) -> None:
        """Take the best so far from the lines of a run's log; scores by another judge do not count."""
        key = self._judge.best_by
        judged = [line for line in log if "evaluator" in line]
        mine = [line[key] for line in judged if line["evaluator"] == self.hash]
        self._best = min(map(self._cost, mine), default=None)
        if len(mine) < len(judged):
            on_notice(
                f"{len(judged) - len(mine)} earlier evaluations were by another evaluator than {self.hash}: "
                "their scores can't be compared with the coming ones, and the best is looked for anew"
            )

    def judge(self, networks: Networks) -> tuple[dict[str, float], bool]:
        """Return the scores of the networks' outputs, and whether no earlier step's were as good."""
        scores = self._judge.quick(self._system.generate(networks, self._inputs))
        cost = self._cost(scores[self._judge.best_by])
        best = self._best is None or cost < self._best
        if best:
            self._best = cost
        return scores, best

    def _cost(self, score: float) -> float:
        return -score if self._judge.higher_is_better else score
