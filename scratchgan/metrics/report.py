"""The result of an evaluation: scores beside those of real images, what they mean in plain words, a table, and JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from .judge import Judge


class Score(NamedTuple):
    """How a score is shown: its name in the results, what a person reads, which way is better, and its digits."""

    name: str
    label: str
    better: str
    digits: int


SCORES: Final = (
    Score("fid", "Frechet distance (FID)", "lower", 2),
    Score("kid", "kernel distance (KID)", "lower", 4),
    Score("precision", "precision", "higher", 3),
    Score("recall", "recall", "higher", 3),
    Score("density", "density", "higher", 3),
    Score("coverage", "coverage", "higher", 3),
    Score("inception_score", "inception-style score", "higher", 2),
    Score("two_sample_accuracy", "told from real (two-sample test)", "near 0.5", 3),
    Score("modes", "modes present", "higher", 0),
    Score("mode_total_variation", "total variation of the modes", "lower", 3),
    Score("copies", "copies of training images", "near 0.01", 3),
)


class Finding(NamedTuple):
    """Something that the scores say: a short name, and a sentence for people."""

    name: str
    text: str


@dataclass(frozen=True)
class Report:
    """The scores of n generated images and those of n real ones (the floor), with what they were measured by."""

    what: str
    n: int
    evaluator: str
    hash: str
    held_out: dict[str, float]
    gates: dict[str, float]
    scores: dict[str, Any]
    floor: dict[str, Any]
    findings: tuple[Finding, ...]

    def to_json(self) -> str:
        """All of it as JSON text."""
        content = {
            "what": self.what,
            "n": self.n,
            "evaluator": {
                "name": self.evaluator,
                "hash": self.hash,
                "held_out_errors": self.held_out,
                "gates": self.gates,
            },
            "scores": self.scores,
            "real_against_real": self.floor,
            "findings": {finding.name: finding.text for finding in self.findings},
        }
        return json.dumps(content, indent=1) + "\n"

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table's rows: label, score, floor, and which way is better."""
        rows = []
        for score in SCORES:
            if score.name in self.scores:
                shown = [_number(scores[score.name], score.digits) for scores in (self.scores, self.floor)]
                if score.name == "kid":
                    shown = [
                        f"{text} +- {_number(scores['kid_standard_error'], score.digits)}"
                        for text, scores in zip(shown, (self.scores, self.floor), strict=True)
                    ]
                if score.name == "modes":
                    shown = [f"{text} of {len(self.scores['mode_counts'])}" for text in shown]
                rows.append((score.label, *shown, score.better))
        for name in _worst_factors(self.scores, self.floor)[:3]:
            here, there = (scores["total_variation"][name] for scores in (self.scores, self.floor))
            rows.append((f"total variation of {name}", f"{here:.3f}", f"{there:.3f}", "lower"))
        return rows

    def to_text(self) -> str:
        """The table and the findings as text."""
        header = ("", "generated", "real", "better")
        rows = [header, *self.rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            f"{self.what}: {self.n:,} images, against as many real ones",
            f"evaluator: {self.evaluator}, {self.hash}; its errors on held-out images: {_errors(self)}",
            "",
            *(f"{a:{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in rows),
            "",
            *(f"- {finding.text}" for finding in self.findings),
        ]
        return "\n".join(lines)


def evaluate(judge: Judge, images: Any, what: str = "images") -> Report:
    """Return a report on n images (N,C,S,S), float in [-1, 1] or uint8, by a judge that was prepared for n.

    Raises MetricError for another number, shape or type of images, and for NaN.
    """
    scores, floor = judge.full(images), judge.floor()
    return Report(
        what,
        judge.n,
        str(judge.evaluator),
        judge.hash,
        judge.evaluator.held_out,
        judge.evaluator.gates,
        scores,
        floor,
        tuple(findings(scores, floor, judge.images.training.name)),
    )


def findings(scores: dict[str, Any], floor: dict[str, Any], data: str) -> list[Finding]:
    """Return what scores say beside those of real images, the worst first."""
    found = []
    modes, count = scores["modes"], len(scores["mode_counts"])
    if scores["coverage"] < 0.1 * floor["coverage"] or (floor["modes"] >= 8 and modes <= floor["modes"] / 4):
        found.append(
            Finding(
                "collapsed",
                f"COLLAPSED: the generator draws a few kinds of image over and over. Its images come near "
                f"{scores['coverage']:.0%} of the real ones (real images: {floor['coverage']:.0%}), "
                f"and it draws {modes} of {count} modes",
            )
        )
    elif modes < floor["modes"]:
        missing = _missing(scores, floor)
        found.append(Finding("missing modes", f"{modes} of {count} modes are there; missing or rare: {_some(missing)}"))
    if scores.get("copies", 0) > max(0.1, 3 * floor.get("copies", 0)):
        found.append(
            Finding(
                "copies",
                f"COPIES THE TRAINING SET: {scores['copies']:.0%} of the images are a training image of {data} or "
                f"nearly one (real images that were not trained on: {floor['copies']:.1%})",
            )
        )
    ratio = scores["fid"] / floor["fid"] if floor["fid"] > 0 else math.inf
    found.append(Finding("distance", f"FID is {ratio:,.1f} times that between real images"))
    if scores["two_sample_accuracy"] < 0.55:
        found.append(Finding("alike", "a classifier of the features can hardly tell generated images from real ones"))
    else:
        found.append(
            Finding(
                "told apart",
                f"a classifier of the features tells generated from real images {scores['two_sample_accuracy']:.0%} of "
                "the time (50% is guessing)",
            )
        )
    worst = [
        name
        for name in _worst_factors(scores, floor)
        if scores["total_variation"][name] > floor["total_variation"][name] + 0.1
    ]
    if worst:
        found.append(Finding("factors", f"factors that are not as often as they should be: {_some(worst)}"))
    return found


def _errors(report: Report) -> str:
    """Return the errors that have gates as text."""
    return ", ".join(f"{name} {report.held_out[name]:.3f} (gate {limit:g})" for name, limit in report.gates.items())


def _worst_factors(scores: dict[str, Any], floor: dict[str, Any]) -> list[str]:
    """Return the names of the factors whose total variation is furthest above that of real images, worst first."""
    here, there = scores.get("total_variation", {}), floor.get("total_variation", {})
    return sorted(here, key=lambda name: there[name] - here[name])


def _missing(scores: dict[str, Any], floor: dict[str, Any]) -> list[str]:
    """Return as many modes as are not present, those that are rarest beside real images, the rarest first."""
    here, there = scores["mode_counts"], floor["mode_counts"]
    by_rarity = sorted(here, key=lambda name: here[name] / max(there[name], 1))
    return by_rarity[: len(here) - scores["modes"]]


def _some(names: list[str], count: int = 4) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"
