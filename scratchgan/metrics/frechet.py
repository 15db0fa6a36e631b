"""The Frechet distance between two sets of feature vectors."""

from __future__ import annotations

import numpy as np

from .checks import feature_sets


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the squared Frechet distance between Gaussians fitted to two sets of vectors, (N,D) and (M,D).

        |mean_a - mean_b|^2 + trace(cov_a + cov_b - 2 (cov_a cov_b)^(1/2))

    Heusel et al., 2017, section 3 ("FID", where the features are those of the Inception network). MetricError if a set
    has no more vectors than dimensions, for then its covariance is singular.
    """
    dimensions = a.shape[-1] if a.ndim else 0
    a, b = feature_sets(
        "frechet_distance", a, b, at_least=dimensions + 1, why="one more than dimensions, for the covariance"
    )
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # cov_a cov_b has the eigenvalues of the symmetric root_a cov_b root_a, whose square root is real.
    values, vectors = np.linalg.eigh(np.atleast_2d(cov_a))
    root_a = vectors * np.sqrt(values.clip(0)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root_a @ np.atleast_2d(cov_b) @ root_a).clip(0)).sum()
    difference = a.mean(0) - b.mean(0)
    return float(difference @ difference + np.trace(np.atleast_2d(cov_a + cov_b)) - 2 * cross)
