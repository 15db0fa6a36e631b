"""Walks through latent space."""

from __future__ import annotations

import numpy as np


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """Interpolate from vector ``a`` (t = 0) to ``b`` (t = 1) along the arc between them.

    Normally distributed vectors of many dimensions lie near a sphere; the straight line between two of them cuts
    through its inside, where the generator has seen nothing (T. White, "Sampling generative networks", 2016). The
    formula is K. Shoemake's (1985), with the angle between the two directions. Where that is 0 or 180 degrees, or a
    vector is 0 and has none, the formula has no answer, and the straight line is taken.
    """
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    angle = np.arccos(np.clip(np.dot(a, b) / lengths, -1, 1)) if lengths > 0 else 0.0
    if np.sin(angle) < 1e-6:
        return (1 - t) * a + t * b
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def closed_walk(points: np.ndarray, frames: int) -> np.ndarray:
    """Return ``frames`` latent vectors, float32 (frames, D), at even steps along points[0], points[1], ..., points[0].

    ``points``: (K, D). The last vector lies one step before the first, so that a loop shows none twice.
    """
    walk = np.empty((frames, points.shape[1]), np.float32)
    for frame in range(frames):
        point, part = divmod(frame * len(points), frames)
        walk[frame] = slerp(points[point], points[(point + 1) % len(points)], part / frames)
    return walk
