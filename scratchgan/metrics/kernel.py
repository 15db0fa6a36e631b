"""The kernel distance between two sets of feature vectors."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .checks import Array, feature_sets


class KernelDistance(NamedTuple):
    """A mean over subsets, and its standard error."""

    mean: float
    standard_error: float


def kernel_distance(
    a: np.ndarray, b: np.ndarray, *, subset_size: int = 1000, subsets: int = 50, seed: int = 0
) -> KernelDistance:
    """Return the squared maximum mean discrepancy of two sets of vectors, (N,D) and (M,D), without bias.

    Binkowski et al., 2018, section 4 ("KID"): the kernel is (x.y / D + 1)^3, and the unbiased estimator is averaged
    over ``subsets`` random subsets of ``subset_size`` vectors of each set (of half of the smaller set, if that is
    fewer). It is 0 in the mean for two sets of one distribution at any number of images, so it may be negative. The
    standard error is of the mean over the subsets, which overlap. MetricError if a set has fewer than 10 vectors.
    """
    a, b = feature_sets("kernel_distance", a, b, at_least=10)
    size = min(subset_size, len(a) // 2, len(b) // 2)
    rng = np.random.default_rng(seed)
    values = [
        unbiased_mmd2(a[rng.choice(len(a), size, replace=False)], b[rng.choice(len(b), size, replace=False)])
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(subsets)))


def unbiased_mmd2(a: Array, b: Array) -> float:
    """Return the unbiased estimate of MMD^2 with the cubic kernel (Gretton et al., 2012, lemma 6)."""
    n, m = len(a), len(b)
    within_a, within_b = _kernel(a, a), _kernel(b, b)
    same = (within_a.sum() - np.trace(within_a)) / (n * (n - 1)) + (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
    return float(same - 2 * _kernel(a, b).mean())


def _kernel(a: Array, b: Array) -> Array:
    product = a @ b.T / a.shape[1] + 1
    return product * product * product
