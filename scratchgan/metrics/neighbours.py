"""What nearest neighbours say: precision and recall, density and coverage."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .checks import Array, feature_sets

_ROWS = 1024  # rows of a distance matrix at a time: 40 MB at 5,000 columns


def squared_distances(a: Array, b: Array) -> Array:
    """Return |a_i - b_j|^2 for all pairs, (N,M), as |a|^2 + |b|^2 - 2 a.b; rounding errors below 0 become 0."""
    return np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * (a @ b.T), 0)


def radii(x: Array, k: int) -> Array:
    """Return each vector's squared distance to its k-th nearest other vector of the set, (N,)."""
    found = np.empty(len(x))
    for rows, distances in _distance_rows(x, x):
        distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = 0  # itself, exactly
        found[rows] = np.partition(distances, k, axis=1)[:, k]
    return found


def precision_recall(real: np.ndarray, generated: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Return (precision, recall) of generated vectors (M,D) against real ones (N,D).

    Kynkaanniemi et al., 2019, section 2: each set's manifold is the union of balls around its vectors, each reaching
    to its k-th nearest neighbour. Precision is the share of generated vectors inside the real manifold; recall the
    share of real ones inside the generated manifold. MetricError for sets of k vectors or fewer.
    """
    real, generated = _checked("precision_recall", real, generated, k)
    return _inside(generated, real, radii(real, k)), _inside(real, generated, radii(generated, k))


def density_coverage(real: np.ndarray, generated: np.ndarray, k: int = 5) -> tuple[float, float]:
    """Return (density, coverage) of generated vectors (M,D) against real ones (N,D).

    Naeem et al., 2020, section 3, with the real vectors' balls of `precision_recall`. Density is how many balls a
    generated vector is in, on average, over k: one outlier among the real vectors does not make it high, and it may
    exceed 1. Coverage is the share of real vectors with a generated one in their ball. MetricError for sets of k
    vectors or fewer.
    """
    real, generated = _checked("density_coverage", real, generated, k)
    reach, hits, covered = radii(real, k), 0, np.zeros(len(real), bool)
    for _, distances in _distance_rows(generated, real):
        within = distances <= reach
        hits += int(within.sum())
        covered |= within.any(0)
    return hits / (k * len(generated)), float(covered.mean())


def _checked(metric: str, real: np.ndarray, generated: np.ndarray, k: int) -> list[Array]:
    return feature_sets(metric, real, generated, at_least=k + 1, why=f"one more than its k={k} neighbours")


def _inside(points: Array, centres: Array, reach: Array) -> float:
    """Return the share of points inside at least one ball."""
    return float(np.mean(np.concatenate([(d <= reach).any(1) for _, d in _distance_rows(points, centres)])))


def _distance_rows(a: Array, b: Array) -> Iterator[tuple[slice, Array]]:
    for start in range(0, len(a), _ROWS):
        rows = slice(start, min(start + _ROWS, len(a)))
        yield rows, squared_distances(a[rows], b)
