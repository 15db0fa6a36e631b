"""Medians, their confidence intervals, and the test by which two sets of samples are compared.

All intervals are made by resampling (B. Efron, "Bootstrap methods: another look at the jackknife", 1979), in blocks of
neighbouring samples, because a slow second is followed by another slow one (H. Künsch, "The jackknife and the bootstrap
for general stationary observations", 1989). Nothing is assumed of the distribution of the times but that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.99
#: A difference below this is none: the layout of memory alone moves a kernel by a few per cent from start to start.
SMALLEST_EFFECT = 0.05
_RESAMPLES = 2000


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

    The interval lies between two order statistics, whose ranks are those of the binomial distribution (no resampling:
    this is asked after every round).
    """
    n = len(samples)
    if n < 6:
        return math.inf
    ordered = sorted(samples)
    rank = max(0, math.floor(n / 2 - 0.98 * math.sqrt(n)))
    return (ordered[n - 1 - rank] - ordered[rank]) / 2 / ordered[n // 2]


def resampled_medians(samples: list[float], seed: int) -> np.ndarray:
    """Return the medians of resamples in blocks of about the cube root of n neighbours."""
    values = np.asarray(samples, np.float64)
    n = len(values)
    length = max(1, round(n ** (1 / 3)))
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, n, (_RESAMPLES, -(-n // length)))
    index = (starts[..., None] + np.arange(length)).reshape(_RESAMPLES, -1)[:, :n] % n
    return np.median(values[index], axis=1)


def ratio_interval(
    numerator: list[float], denominator: list[float], confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Return (ratio of the medians, low, high): how many times the first takes as long as the second."""
    ratio = float(np.median(numerator) / np.median(denominator))
    ratios = resampled_medians(numerator, 1) / resampled_medians(denominator, 2)
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return ratio, float(min(low, ratio)), float(max(high, ratio))


def verdict(
    before: list[float], after: list[float], effect: float = SMALLEST_EFFECT
) -> tuple[str, float, float, float]:
    """Compare two sets of samples: (SAME, FASTER, SLOWER or AMBIGUOUS; ratio after/before, low, high).

    By the 99 % interval of the ratio of medians: SLOWER if all of it lies above 1 + effect, FASTER if all of it lies
    below 1/(1 + effect), SAME if all of it lies between; AMBIGUOUS otherwise, and for fewer than six samples.
    """
    if min(len(before), len(after)) < 6:
        return "AMBIGUOUS", *ratio_interval(after, before)
    return _judged(*ratio_interval(after, before), effect)


def paired_verdict(
    before: list[float], after: list[float], effect: float = SMALLEST_EFFECT
) -> tuple[str, float, float, float]:
    """Compare samples that were taken in turns: by the median of each round's own ratio, and its 99 % interval.

    What slowed the machine down in a round slowed both down, and is divided out. Rounds that only one side has are left
    out. Otherwise as `verdict`.
    """
    ratios = [b / a for a, b in zip(before, after, strict=False)]
    medians = resampled_medians(ratios, 1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    ratio = float(np.median(ratios))
    if len(ratios) < 6:
        return "AMBIGUOUS", ratio, float(low), float(high)
    return _judged(ratio, float(low), float(high), effect)


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
    if len(samples) < 6:
        return ""
    summary = summarise(samples)
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
