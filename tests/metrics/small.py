"""Evaluators so small that they train in a second or two, and data for them."""

import numpy as np

from scratchgan.data import ArrayDataset
from scratchgan.metrics import Classifier, FactorRegressor

#: What a face evaluator of 16 pixels and 150 steps still manages.
SMALL_GATES = {"skin_tone": 0.75, "hat_present": 0.3}


def small_regressor(**changes: object) -> FactorRegressor:
    settings = {"images": 1500, "steps": 150, "width": 8, "gates": SMALL_GATES} | changes
    return FactorRegressor(16, **settings)  # type: ignore[arg-type]


def bars(n: int, seed: int = 0, name: str = "bars") -> ArrayDataset:
    """Images with a bright bar that lies or stands: two classes that a convolution tells apart."""
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 80, (n, 1, 8, 8), np.uint8), rng.integers(0, 2, n)
    for image, label, place in zip(images[:, 0], labels, rng.integers(0, 8, n), strict=True):
        image[(slice(None), place) if label else place] = 255
    return ArrayDataset(images, labels, ("lying", "standing"), name=name)


def small_classifier(**changes: object) -> Classifier:
    return Classifier(bars(2560), bars(512, 1), **({"epochs": 2} | changes))  # type: ignore[arg-type]
