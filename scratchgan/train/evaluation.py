"""Evaluations during training: how good the samples are, every so many steps, and which step's were best.

An evaluation changes nothing in the training: its latent vectors come from a generator of their own, and are the same
each time. What judges the images is handed in, for the metrics stand above the training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..data import Dataset
from ..nn import Module
from .config import ConfigError, TrainConfig
from .game import draw

_STREAM = 0xE7A1  # sets these latent vectors apart from every other random number of the same seed


class Judge(Protocol):
    """What scores images: `scratchgan.metrics.Judge`, or anything like it."""

    n: int

    @property
    def hash(self) -> str:
        """Another judge, whose scores can't be compared with this one's, has another hash."""

    def quick(self, images: np.ndarray) -> dict[str, float]:
        """Return scores by name for float32 images (n,C,H,W) in [-1, 1]; the lower its ``fid``, the better."""


OpenJudge = Callable[[TrainConfig, Dataset], Judge]


class Evaluation:
    """A judge with the latent vectors whose images it is shown, and the lowest FID so far."""

    def __init__(self, config: TrainConfig, judge: Judge):
        rng = np.random.default_rng([config.seed, _STREAM])
        self._judge, self._device = judge, config.device
        self._latents = rng.standard_normal((judge.n, config.latent), np.float32)
        self._best: float | None = None

    @classmethod
    def open(cls, config: TrainConfig, dataset: Dataset, open_judge: OpenJudge | None) -> Evaluation | None:
        """Return the evaluation that a config asks for, None for none. Raises ConfigError without an ``open_judge``."""
        if config.eval_every == 0:
            return None
        if open_judge is None:
            raise ConfigError(
                f"eval_every={config.eval_every} needs something to judge the images: "
                "Trainer(..., open_judge=scratchgan.metrics.open_judge)"
            )
        return cls(config, open_judge(config, dataset))

    @property
    def hash(self) -> str:
        """The judge's hash."""
        return self._judge.hash

    def go_on(self, log: Sequence[Mapping[str, Any]], on_notice: Callable[[str], None]) -> None:
        """Take the best so far from the lines of a run's log; scores by another judge do not count."""
        judged = [line for line in log if "fid" in line]
        mine = [line["fid"] for line in judged if line["evaluator"] == self.hash]
        self._best = min(mine, default=None)
        if len(mine) < len(judged):
            on_notice(
                f"{len(judged) - len(mine)} earlier evaluations were by another evaluator than {self.hash}: "
                "their scores can't be compared with the coming ones, and the best is looked for anew"
            )

    def judge(self, generator: Module) -> tuple[dict[str, float], bool]:
        """Return the scores of a generator's images, and whether no earlier step's were as good."""
        scores = self._judge.quick(draw(generator, self._latents, self._device))
        best = self._best is None or scores["fid"] < self._best
        if best:
            self._best = scores["fid"]
        return scores, best
