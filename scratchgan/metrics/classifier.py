"""A small classifier, trained here on the real images, as a judge of generated ones."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from .. import nn, ops
from ..autograd import grad, no_grad
from ..data import Dataset, Loader
from ..models.gan import doublings
from ..optim import Adam
from ..tensor import Tensor


class Classifier:
    """Images (N,C,S,S) -> class numbers, and on the way 64 features in which images can be compared.

    Strided convolutions down to 4-7 pixels, a layer of 64 features, and one logit per class.
    """

    def __init__(self, size: int, channels: int, classes: int, *, rng: np.random.Generator):
        base, k = doublings(size)
        features = [channels, *(32 * min(2**i, 2) for i in range(k))]
        layers: list[nn.Module] = []
        for before, after in pairwise(features):
            layers += [
                nn.Conv2d(before, after, 4, stride=2, padding=1, generator=rng),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        layers += [nn.Flatten(), nn.Linear(features[-1] * base * base, 64, generator=rng), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(64, classes, generator=rng)

    def features(self, images: np.ndarray, chunk: int = 256) -> np.ndarray:
        """Return the features (N,64) of float32 images in [-1, 1]."""
        self.body.eval()
        with no_grad():
            return np.concatenate([self.body(images[i : i + chunk]).data for i in range(0, len(images), chunk)])

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the class number (N,) of each image."""
        with no_grad():
            return self.head(self.features(images)).data.argmax(1)


def train_classifier(
    dataset: Dataset, *, epochs: int = 3, seed: int = 0, on_step: Callable[[int, int], None] | None = None
) -> Classifier:
    """Train a classifier on a labelled data set with Adam; ``on_step(step, of)`` is called after each step."""
    if dataset.labels is None:
        raise ValueError(f"train_classifier: {dataset.name} has no labels")
    channels, size, _ = dataset.shape
    rng = np.random.default_rng(seed)
    classifier = Classifier(size, channels, int(dataset.labels.max()) + 1, rng=rng)
    parameters = [*classifier.body.parameters(), *classifier.head.parameters()]
    adam, loader = Adam(parameters, 1e-3), Loader(dataset, 128, seed=seed)
    steps = epochs * len(dataset) // 128
    classifier.body.train()
    for step in range(steps):
        adam.lr = 1e-3 * (1 - step / steps)
        _, images, labels = next(loader)
        loss = ops.cross_entropy(classifier.head(classifier.body(Tensor(images))), labels)
        adam.step(grad(loss, parameters))
        if on_step is not None:
            on_step(step + 1, steps)
    return classifier
