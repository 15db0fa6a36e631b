"""Scores the checker itself: every bug of the catalogue planted in turn, and the right code for false alarms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .catalogue import plants
from .planting import planted
from .scorecard import Row, ScoreCard
from .targets import all_targets, run


def score_catalogue(seed: int = 0, only: str = "", progress: Callable[[str], None] = lambda line: None) -> ScoreCard:
    """Plants every bug whose name contains `only`, and runs its target; the right code goes first.

    A bug counts as killed when a layer that is meant for it fails.
    """
    chosen = [p for p in plants() if only in p.name]
    targets = all_targets()
    alarms = check_right_code(targets, sorted({p.target for p in chosen}), seed)
    for alarm in alarms:
        progress(f"FALSE ALARM {alarm}")
    rows = []
    for plant in chosen:
        with planted(plant):
            outcome = run(targets[plant.target], seed, until=plant.layers)
        row = Row(f"{plant.family}: {plant.name}", plant.layers, outcome.layers, outcome.seconds, outcome.message)
        progress(f"{'killed  ' if row.as_meant else 'SURVIVED'} {row.name}: {', '.join(row.killed_by) or 'no layer'}")
        rows.append(row)
    return ScoreCard("catalogue of planted bugs", tuple(rows), tuple(alarms))


def check_right_code(targets: dict[str, Any], names: Sequence[str], seed: int) -> list[str]:
    """False alarms on the code as it is."""
    alarms = []
    for name in names:
        outcome = run(targets[name], seed)
        if outcome.layers:
            alarms.append(f"{name}: {outcome.message}")
    return alarms
