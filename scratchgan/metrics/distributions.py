"""Scores of class probabilities and histograms: the inception-style score, total variation, modes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .checks import Array, MetricError


def inception_score(probabilities: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """Return (mean, standard deviation) over ``splits`` parts of exp(mean KL(p(y|x) || p(y))), from (N,K).

    Salimans et al., 2016, section 4; here the classes are those of the evaluator and not of ImageNet. It is between 1,
    when all images look alike or the classifier can't tell, and K, when it is sure and all classes are as frequent.
    MetricError if there are fewer than 10 images in a part, or rows that are not probabilities.
    """
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or not np.isfinite(p).all() or (p < 0).any() or not np.allclose(p.sum(1), 1, atol=1e-4):
        raise MetricError(f"inception_score: the rows of {p.shape} must be probabilities that sum to 1")
    if len(p) < 10 * splits:
        raise MetricError(f"inception_score: {len(p)} images in {splits} parts; it needs at least {10 * splits}")
    scores = []
    for part in np.array_split(p, splits):
        marginal = part.mean(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            divergence = np.where(part > 0, part * np.log(part / marginal), 0.0).sum(1)
        scores.append(np.exp(divergence.mean()))
    return float(np.mean(scores)), float(np.std(scores))


def total_variation(a: ArrayLike, b: ArrayLike) -> float:
    """Return half the sum of |a_i - b_i| over two histograms, each divided by its sum first: 0 to 1.

    A histogram without a single count is as far as can be from every other: 1 (and 0 from another such).
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if x.shape != y.shape:
        raise MetricError(f"total_variation: the histograms have shapes {x.shape} and {y.shape}")
    if not x.sum() or not y.sum():
        return float(bool(x.sum()) != bool(y.sum()))
    return float(np.abs(x / x.sum() - y / y.sum()).sum() / 2)


def modes_present(counts: ArrayLike, expected: Array, share: float = 0.2) -> int:
    """Return how many modes have at least ``share`` of their expected count, and one image at least.

    ``counts`` and ``expected`` have one number a mode. A few images that an evaluator misreads do not make a mode
    present where dozens are expected.
    """
    counts = np.asarray(counts)
    return int((counts >= np.maximum(share * np.asarray(expected), 1)).sum())
