"""Does a generator draw new images, or those that it was trained on?

An image near to a training image proves nothing: a typical image is near to many. A copy is near to *one*. So each
image's distance to its nearest training image is divided by the mean distance to the next ones (the normalised
distance with which N. Carlini et al., "Extracting training data from diffusion models", 2023, section 4.2, find
copies): near 1 for a new image, near 0 for a copy. How small it gets by chance is measured on real images that were
not trained on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .checks import MetricError
from .neighbours import squared_distances

NEIGHBOURS = 20
_ROWS = 512


class Memorisation(NamedTuple):
    """What `memorisation` finds.

    ``copies`` is the share of generated images whose ratio is below ``threshold``, that of all but one in a hundred
    unseen real images (so 0.01 is what an honest generator is expected to have); ``ratio`` and ``real_ratio`` are the
    medians of both. ``nearest`` are the indices of the training images nearest to the generated ones, (M,).
    """

    copies: float
    threshold: float
    ratio: float
    real_ratio: float
    nearest: np.ndarray


def memorisation(training: np.ndarray, unseen: np.ndarray, generated: np.ndarray) -> Memorisation:
    """Look for copies of training images among generated ones.

    Args: images (N,C,H,W) of one shape, float or uint8 on the same scale, compared pixel by pixel: ``training`` that
    the generator was trained on, ``unseen`` real ones that it was not, and ``generated`` ones. MetricError for fewer
    than 21 training images or 100 unseen ones.
    """
    if not training.shape[1:] == unseen.shape[1:] == generated.shape[1:]:
        shapes = ", ".join(str(x.shape) for x in (training, unseen, generated))
        raise MetricError(f"memorisation: the images must be N,C,H,W of one shape, got {shapes}")
    for what, images, least in (("training", training, NEIGHBOURS + 1), ("unseen", unseen, 100)):
        if len(images) < least:
            raise MetricError(f"memorisation: there are {len(images)} {what} images; it needs at least {least}")
    known = _vectors(training)
    real_ratios, _ = _ratios(known, unseen)
    ratios, nearest = _ratios(known, generated)
    threshold = float(np.quantile(real_ratios, 0.01))
    return Memorisation(
        float((ratios < threshold).mean()), threshold, float(np.median(ratios)), float(np.median(real_ratios)), nearest
    )


def _vectors(images: np.ndarray) -> np.ndarray:
    return np.asarray(images, np.float32).reshape(len(images), -1)


def _ratios(known: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each image's distance to the nearest known one over the mean of the next ones, and which that is."""
    ratios, nearest = np.empty(len(images)), np.empty(len(images), np.int64)
    for start in range(0, len(images), _ROWS):
        part = slice(start, start + _ROWS)
        vectors = _vectors(images[part])
        found = np.argpartition(squared_distances(vectors, known), NEIGHBOURS, axis=1)[:, : NEIGHBOURS + 1]
        # |a|^2 + |b|^2 - 2 a.b cancels where a is b, so the few that matter are computed again, exactly.
        exact = np.sqrt(np.stack([((known[row] - v) ** 2).sum(1) for row, v in zip(found, vectors, strict=True)]))
        order = np.argsort(exact, axis=1, kind="stable")
        exact = np.take_along_axis(exact, order, 1).astype(np.float64)
        nearest[part] = np.take_along_axis(found, order, 1)[:, 0]
        further = exact[:, 1:].mean(1)
        ratios[part] = np.divide(exact[:, 0], further, out=np.zeros(len(vectors)), where=further > 0)
    return ratios, nearest
