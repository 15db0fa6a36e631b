"""Medians, their confidence intervals, and the tests by which sets of samples are compared.

What is compared is a ratio of times, so everything is done with logarithms. The samples of one visit to a kernel are
alike, for the machine's speed changes slowly; so *visits*, spread over the run, are the unit, and not samples. An
interval comes from how much the visits' medians differ, with Student's t ("The probable error of a mean", 1908), for
two runs in B. Welch's form (1947); with many visits of two candidates that took turns, from the signed ranks of their
ratios, which rare visits on another footing do not widen. Within one visit two candidates that took turns are compared
round by round, and the interval of the median ratio lies between two of the ratios (the sign test), which assumes
nothing of how they are distributed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.99
#: A difference below this is none: the layout of memory alone moves a kernel by a few per cent from start to start.
SMALLEST_EFFECT = 0.05
#: Rounds of one visit, below which no two of their ratios enclose the median with this confidence.
LEAST_ROUNDS = 8
#: Visits of each of two runs that did not take turns, below which nothing is known of how the machine drifts.
LEAST_VISITS = 3
#: Visits of two candidates that took turns, from which on the interval is that of the signed ranks. With fewer it would
#: be wider than Student's.
SIGNED_RANK_VISITS = 16

#: A comparison that goes on until it is decided looks at its samples so often at most. Each look is one more chance to
#: be wrong, so each has this part of the 1 % (Bonferroni): wherever it ends, one in a hundred is wrong at most.
LOOKS = 8
FIRST_LOOK = 16
GROWTH = 1.5

#: Samples of one candidate, in seconds, visit by visit.
Visits = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Summary:
    """Seconds of one candidate."""

    median: float
    lower: float  # quartiles
    upper: float
    least: float
    n: int


def summarise(samples: list[float]) -> Summary:
    """Return median, quartiles, minimum and count."""
    lower, median, upper = np.percentile(samples, [25, 50, 75])
    return Summary(float(median), float(lower), float(upper), min(samples), len(samples))


def relative_error(samples: list[float]) -> float:
    """Half the width of the median's 95 % interval, over the median; infinite for fewer than six samples.

    The interval lies between two order statistics, whose ranks are those of the binomial distribution.
    """
    n = len(samples)
    if n < 6:
        return math.inf
    ordered = sorted(samples)
    rank = max(0, math.floor(n / 2 - 0.98 * math.sqrt(n)))
    return (ordered[n - 1 - rank] - ordered[rank]) / 2 / ordered[n // 2]


def looks() -> list[int]:
    """Return the counts of rounds at which a comparison that goes on until it is decided looks: 16, 24, 36, ... 273."""
    return [int(FIRST_LOOK * GROWTH**index) for index in range(LOOKS)]


def paired_ratio(numerator: Visits, denominator: Visits, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Return (ratio, low, high) of two candidates that took turns: how many times the first takes as long.

    What slowed the machine down in a round slowed both down, and is divided out. Rounds and visits that only one of
    them has are left out. With fewer than `LEAST_ROUNDS` rounds the interval is all that was seen.
    """
    visits = [
        [math.log(n / d) for n, d in zip(above, below, strict=False)]
        for above, below in zip(numerator, denominator, strict=False)
    ]
    visits = [ratios for ratios in visits if ratios]
    if len(visits) >= LEAST_VISITS:
        medians = [float(np.median(ratios)) for ratios in visits]
        if len(visits) >= SIGNED_RANK_VISITS:
            middle, low, high = _signed_rank_interval(medians, confidence)
            return math.exp(middle), math.exp(low), math.exp(high)
        middle, error = float(np.mean(medians)), _spread(medians) / math.sqrt(len(medians))
        width = error * _student(len(medians) - 1, confidence)
        return math.exp(middle), math.exp(middle - width), math.exp(middle + width)
    ratios = sorted(ratio for visit in visits for ratio in visit)
    rank = _rank(len(ratios), confidence)
    return math.exp(float(np.median(ratios))), math.exp(ratios[rank]), math.exp(ratios[len(ratios) - 1 - rank])


def paired_verdict(
    before: Visits, after: Visits, effect: float = SMALLEST_EFFECT, chances: int = 1
) -> tuple[str, float, float, float]:
    """Compare two candidates that took turns: (SAME, FASTER, SLOWER or AMBIGUOUS; ratio after/before, low, high).

    By the 99 % interval of `paired_ratio`: SLOWER if all of it lies above 1 + effect, FASTER if all of it lies below
    1/(1 + effect), SAME if all of it lies between. AMBIGUOUS otherwise, and for too few rounds or visits.

    Who asks again after more samples says in ``chances`` how often in all: each time has its part of the 1 %.
    """
    interval = paired_ratio(after, before, 1 - (1 - CONFIDENCE) / chances)
    rounds = [min(len(a), len(b)) for a, b in zip(after, before, strict=False)]
    if sum(rounds) < LEAST_ROUNDS and sum(count > 0 for count in rounds) < LEAST_VISITS:
        return "AMBIGUOUS", *interval
    return _judged(*interval, effect)


def separate_verdict(
    before: Visits,
    after: Visits,
    anchors_before: Sequence[Sequence[float]] = (),
    anchors_after: Sequence[Sequence[float]] = (),
    effect: float = SMALLEST_EFFECT,
) -> tuple[str, float, float, float]:
    """Compare two runs that did not take turns, with what the machine itself did meanwhile; otherwise as above.

    ``anchors_*`` hold, for each visit, the seconds of each kernel of `anchor.py`, which is the same in both runs. If an
    anchor took significantly longer in one of them, the machine was not the same; how much of that this kernel felt,
    and in which direction, is not known. So the interval grows both ways by as much as the anchors differ.
    """
    ratio, low, high = _welch(_medians(before), _medians(after))
    for which in range(min((len(values) for values in (*anchors_before, *anchors_after)), default=0)):
        sides = [[math.log(values[which]) for values in anchors] for anchors in (anchors_before, anchors_after)]
        moved, least, most = _welch(*sides)
        if least > 1 or most < 1:
            moved = max(moved, 1 / moved)
            low, high = low / moved, high * moved
    if min(len(before), len(after)) < LEAST_VISITS:
        return "AMBIGUOUS", ratio, low, high
    return _judged(ratio, low, high, effect)


def _medians(visits: Visits) -> list[float]:
    return [math.log(np.median(samples)) for samples in visits if len(samples)]


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


@functools.cache
def _student(degrees: float, confidence: float = CONFIDENCE) -> float:
    """The t that encloses so much of Student's distribution between -t and t; degrees of freedom are rounded down.

    With t = sqrt(degrees) * tan(angle) its density is cos(angle)^(degrees - 1).
    """
    degrees = min(500, max(1, math.floor(degrees)))
    angles = np.linspace(0, math.pi / 2, 100_001)
    density = np.cos(angles) ** (degrees - 1)
    inside = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return math.sqrt(degrees) * math.tan(float(np.interp(confidence, inside / inside[-1], angles)))


def _signed_rank_interval(values: Sequence[float], confidence: float) -> tuple[float, float, float]:
    """Return (middle, low, high) of the centre about which the values' distribution is symmetric.

    The middle is the median of the means of all pairs, a value with itself among them (J. L. Hodges and E. L. Lehmann,
    "Estimates of location based on rank tests", 1963); the ends are those means beyond which F. Wilcoxon's signed-rank
    test (1945) rejects. Ratios of two candidates that are alike are symmetric, for these could change places, and a few
    that are far away count as a few, however far.
    """
    first, second = np.triu_indices(len(values))
    means = np.sort((np.array(values)[first] + np.array(values)[second]) / 2)
    rank = _signed_rank(len(values), confidence)
    return float(np.median(means)), float(means[rank]), float(means[-1 - rank])


@functools.cache
def _signed_rank(n: int, confidence: float) -> int:
    """The largest sum of signed ranks, of n values, that is so rare on either side; 0 if none is.

    The ranks 1 ... n are each in the sum or not, with equal chances: ``ways[t]`` says in how many ways it is t.
    """
    ways = np.zeros(n * (n + 1) // 2 + 1)
    ways[0] = 1
    for rank in range(1, n + 1):
        ways[rank:] += ways[:-rank].copy()
    below = np.cumsum(ways / 2.0**n)
    return max(0, int(np.searchsorted(below, (1 - confidence) / 2, side="right")) - 1)


def _welch(before: Sequence[float], after: Sequence[float]) -> tuple[float, float, float]:
    """(ratio, low, high) of exp(mean of after - mean of before); the spreads may differ."""
    middle = float(np.mean(after) - np.mean(before))
    parts = [_spread(values) ** 2 / len(values) for values in (before, after)]
    error = math.sqrt(sum(parts))
    degrees = min(len(before), len(after)) - 1.0
    if error > 0:
        spent = sum(p**2 / (len(v) - 1) for p, v in zip(parts, (before, after), strict=True) if len(v) > 1)
        degrees = error**4 / spent
    width = error * _student(degrees)
    return math.exp(middle), math.exp(middle - width), math.exp(middle + width)


def _rank(n: int, confidence: float = CONFIDENCE) -> int:
    """The rank from either end of the order statistics that enclose the median of n with this confidence."""
    tail, rank = 0.5**n, 0
    while tail + math.comb(n, rank + 1) * 0.5**n <= (1 - confidence) / 2:
        rank += 1
        tail += math.comb(n, rank) * 0.5**n
    return rank


def _judged(ratio: float, low: float, high: float, effect: float) -> tuple[str, float, float, float]:
    if low > 1 + effect:
        return "SLOWER", ratio, low, high
    if high < 1 / (1 + effect):
        return "FASTER", ratio, low, high
    if low >= 1 / (1 + effect) and high <= 1 + effect:
        return "SAME", ratio, low, high
    return "AMBIGUOUS", ratio, low, high


def instability(samples: list[float]) -> str:
    """Return what makes samples untrustworthy, or an empty text."""
    summary = summarise(samples)
    if len(samples) < 6:  # too few for quartiles: from the least to the most, with twice the allowance
        reach = (max(samples) - min(samples)) / summary.median
        return f"its {len(samples)} samples range over {reach:.0%} of the median" if reach > 0.3 else ""
    spread = (summary.upper - summary.lower) / summary.median
    half = len(samples) // 2
    drift = float(np.median(samples[half:]) / np.median(samples[:half])) - 1
    if abs(drift) > 0.1 and abs(drift) > spread:
        return f"drifts by {drift:+.0%} between the halves of the run"
    if spread > 0.15:
        return f"half of the samples spread over {spread:.0%} of the median"
    return ""


def geometric_mean(values: list[float]) -> float:
    """Return the mean of ratios."""
    return math.exp(sum(map(math.log, values)) / len(values))
