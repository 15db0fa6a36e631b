"""Walk through what a trained generator can draw: from one random latent vector to the next and back to the first,
as a GIF that loops without a jump, or as a PNG strip."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SUMMARY = "walk between pictures that a trained generator draws"
EXAMPLES = """\
  scratchgan interpolate runs/fashion-mnist-0 --out walk.gif
  scratchgan interpolate runs/fashion-mnist-0 --out strip.png --points 4 --frames 32
  scratchgan interpolate runs/toyfaces-0 --out big.gif --seed 7 --size-multiplier 8
"""


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """Interpolate from vector ``a`` (t = 0) to ``b`` (t = 1) along the arc between them.

    Normally distributed vectors of many dimensions lie near a sphere; the straight line between two of them cuts
    through its inside, where the generator has seen nothing (White 2016, "Sampling Generative Networks", 2.1). The
    formula is Shoemake's (1985), with the angle taken between the directions; parallel vectors are joined by a line,
    and so are opposite ones, between which no arc is the shortest.
    """
    import numpy as np

    cosine = float(np.clip(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)), -1, 1))
    angle = np.arccos(cosine)
    if np.sin(angle) < 1e-6:
        return (1 - t) * a + t * b
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def closed_walk(points: np.ndarray, frames: int) -> np.ndarray:
    """Return ``frames`` latent vectors, float32 (frames, D), at even steps along points[0], points[1], ..., points[0].

    ``points``: (K, D). The last vector lies one step before the first, so that a loop shows none twice.
    """
    import numpy as np

    walk = np.empty((frames, points.shape[1]), np.float32)
    for frame in range(frames):
        point, t = divmod(frame * len(points) / frames, 1)
        walk[frame] = slerp(points[int(point)], points[(int(point) + 1) % len(points)], t)
    return walk
