"""What a player's answers add up to, and what they prove."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from .rounds import Round
from .statistics import clopper_pearson, coin_p_value

Kind = Literal["tells", "fooled", "cannot tell", "says all are real", "says all are fake"]

_FEW = 8  # pictures in grids: below that, one habit says nothing
_LEVEL = 0.05


@dataclass(frozen=True)
class Verdict:
    """``kind`` of the player, the exact ``p_value`` against a coin, and the 95 % ``interval`` of the share right."""

    kind: Kind
    p_value: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Tally:
    """Counts of one game, or of several added up.

    A pair is one trial, right if the real picture was chosen; each picture of a grid is one. ``real_called_real`` and
    ``fake_called_real`` are of grids, and of all-fake rounds; ``surprises`` counts the pictures called real there.
    """

    right: int = 0
    trials: int = 0
    reals: int = 0
    real_called_real: int = 0
    fakes: int = 0
    fake_called_real: int = 0
    surprises: int = 0
    all_fake: int = 0

    def __add__(self, other: Tally) -> Tally:
        mine, theirs = asdict(self), asdict(other)
        return Tally(**{name: mine[name] + theirs[name] for name in mine})

    @staticmethod
    def of(rounds: Sequence[Round], answers: Sequence[np.ndarray]) -> Tally:
        """Count the answers, bool (n,) for each round: which pictures were called real."""
        total = Tally()
        for question, answer in zip(rounds, answers, strict=True):
            total = total + _of_one(question, np.asarray(answer, bool))
        return total

    def verdict(self) -> Verdict:
        """Say what the answers prove; one habit throughout is said before anything else."""
        p_value, interval = coin_p_value(self.right, self.trials), clopper_pearson(self.right, self.trials)
        seen, called = self.reals + self.fakes, self.real_called_real + self.fake_called_real
        kind: Kind = "cannot tell"
        if seen >= _FEW and called in (0, seen) and self.reals and self.fakes:
            kind = "says all are real" if called else "says all are fake"
        elif p_value < _LEVEL:
            kind = "tells" if 2 * self.right > self.trials else "fooled"
        return Verdict(kind, p_value, interval)


def _of_one(question: Round, answer: np.ndarray) -> Tally:
    if answer.shape != question.real.shape:
        raise ValueError(f"an answer must say of {len(question.real)} pictures whether they are real, got {answer}")
    if question.kind == "pair":
        if answer.sum() != 1:
            raise ValueError(f"of a pair exactly one picture is chosen, got {answer}")
        return Tally(right=int((answer & question.real).any()), trials=1)
    right = int((answer == question.real).sum())
    called = int(answer.sum())
    hits = int((answer & question.real).sum())
    reals = int(question.real.sum())
    counts = {
        "reals": reals,
        "real_called_real": hits,
        "fakes": len(answer) - reals,
        "fake_called_real": called - hits,
    }
    if question.kind == "all-fake":
        return Tally(surprises=called, all_fake=len(answer), **counts)
    return Tally(right=right, trials=len(answer), **counts)
