"""Exact statistics of right and wrong answers: no normal approximation, for games are short.

Sources: C. Clopper and E. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
1934; the test is Fisher's sign test.
"""

from __future__ import annotations

import math
from collections.abc import Callable


def coin_p_value(right: int, trials: int) -> float:
    """Return the chance that a coin is at least so far from half right, to either side: the two-sided binomial test.

    Computed with whole numbers, so it is exact for any ``trials``. Raises ValueError unless 0 <= right <= trials.
    """
    _check(right, trials)
    tail = sum(math.comb(trials, k) for k in range(min(right, trials - right) + 1))
    return min(1.0, 2 * tail / 2**trials)


def clopper_pearson(right: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return an interval that holds the true share of right answers with at least this ``confidence``.

    The lower end is the share at which so many right answers or more have a chance of (1 - confidence)/2, the upper
    end that at which so many or fewer do; both by bisection on the binomial sum. Without trials it is (0, 1).
    """
    _check(right, trials)
    if not 0 < confidence < 1:
        raise ValueError(f"clopper_pearson: confidence must be between 0 and 1, got {confidence}")
    part = (1 - confidence) / 2
    lower = 0.0 if right == 0 else _crossing(lambda p: _at_most(trials - right, trials, 1 - p) - part)
    upper = 1.0 if right == trials else _crossing(lambda p: part - _at_most(right, trials, p))
    return lower, upper


def _at_most(k: int, n: int, p: float) -> float:
    """Return P(X <= k) for X binomial of n trials with chance p, 0 < p < 1."""
    choose = math.lgamma(n + 1)
    return math.fsum(
        math.exp(
            choose - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(p) + (n - i) * math.log1p(-p)
        )
        for i in range(k + 1)
    )  # fmt: skip


def _crossing(rising: Callable[[float], float]) -> float:
    """Return where a function that rises on (0, 1) is 0."""
    low, high = 0.0, 1.0
    while True:
        middle = (low + high) / 2
        if not low < middle < high:
            return middle
        if rising(middle) < 0:
            low = middle
        else:
            high = middle


def _check(right: int, trials: int) -> None:
    if not 0 <= right <= trials:
        raise ValueError(f"there must be from 0 to {trials} right answers of {trials}, got {right}")
