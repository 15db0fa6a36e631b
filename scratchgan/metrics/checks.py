"""What can be scored at all: the shapes, values and numbers of images and feature vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class MetricError(ValueError):
    """Images or features that can't be scored. The message is one line: which metric, what is wrong, what to do."""


class EvaluatorError(MetricError):
    """An evaluator that may not score: it is missing, damaged, of another version, or not good enough."""


def feature_sets(metric: str, *sets: np.ndarray, at_least: int, why: str = "") -> list[Array]:
    """Return sets of feature vectors as float64 arrays (N,D), all of the same D.

    Raises MetricError for other shapes, for a value that is infinite or NaN, and for a set of fewer than ``at_least``
    vectors, with both numbers; ``why`` says what the metric needs them for.
    """
    checked = []
    for place, vectors in zip(("first", "second", "third"), sets, strict=False):
        if vectors.ndim != 2 or vectors.shape[1:] != sets[0].shape[1:]:
            shapes = " and ".join(str(s.shape) for s in sets)
            raise MetricError(f"{metric}: the sets must be (N,D) with the same D, got {shapes}")
        if len(vectors) < at_least:
            reason = f" ({why})" if why else ""
            raise MetricError(
                f"{metric}: the {place} set has {len(vectors)} vectors of {vectors.shape[1]} numbers; "
                f"it needs at least {at_least}{reason}"
            )
        if not np.isfinite(vectors).all():
            bad = int((~np.isfinite(vectors)).any(1).sum())
            raise MetricError(f"{metric}: {bad} of the {place} set's {len(vectors)} vectors have a NaN or infinity")
        checked.append(vectors.astype(np.float64))
    return checked


def image_batch(what: str, images: np.ndarray, size: int, channels: int) -> NDArray[np.float32]:
    """Return images as float32 (N,C,S,S) in [-1, 1], from those or from uint8 of the same shape.

    Raises MetricError naming ``what`` for another shape, type or range, and for NaN.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != (channels, size, size):
        raise MetricError(f"{what}: images must be N,C,H,W of {channels} x {size} x {size}, got {images.shape}")
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(127.5) - np.float32(1)
    if images.dtype.kind != "f":
        raise MetricError(f"{what}: images must be uint8, or floats in [-1, 1], got {images.dtype}")
    finite = np.isfinite(images).all(axis=(1, 2, 3))
    if not finite.all():
        first = int(np.flatnonzero(~finite)[0])
        raise MetricError(
            f"{what}: {int((~finite).sum())} of {len(images)} images have NaN or infinite pixels, first image {first}"
        )
    low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 0.0)
    if low < -1.001 or high > 1.001:
        raise MetricError(f"{what}: pixels run from {low:.3g} to {high:.3g}; floats must be in [-1, 1]")
    return images.astype(np.float32, copy=False)
