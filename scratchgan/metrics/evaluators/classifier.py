"""A classifier of a labelled data set, as the judge of generated images of that data."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ... import nn, ops
from ...data import Dataset
from ...tensor import Tensor
from ..checks import MetricError
from .evaluator import ModeEvaluator, Network, OnProgress, encoder, minimise

FEATURES: Final = 64
_BATCH: Final = 128


class Classifier(ModeEvaluator):
    """Images (N,C,S,S) -> class numbers, and on the way 64 features in which images can be compared.

    It learns from ``train`` and is tested on ``test``, two labelled data sets of the same images and classes.
    ``held_out["class"]`` is the share of test images that it gets wrong. Unless given otherwise the gate is half of
    what one gets wrong by always naming the most frequent class. The classes are its modes.
    """

    kind = "classifier"
    version = 2

    def __init__(self, train: Dataset, test: Dataset, *, epochs: int = 3, gate: float | None = None):
        for dataset in (train, test):
            if dataset.labels is None:
                raise MetricError(f"a classifier judges labelled data, and {dataset.name} has no labels")
        assert train.labels is not None  # for the type checker
        assert test.labels is not None
        if train.shape != test.shape or train.classes != test.classes:
            raise MetricError(
                f"the training and test images of {train.name} differ: {train.shape} and {test.shape}, "
                f"{len(train.classes)} and {len(test.classes)} classes"
            )
        self.train, self.test, self.modes = train, test, train.classes
        if gate is None:
            gate = 0.5 * (1 - float(np.bincount(test.labels).max()) / len(test))
        channels, size, width = train.shape
        if size != width:
            raise MetricError(f"{train.name}: images are {size} x {width}, and must be square")
        data = f"{train.name}-{train.fingerprint()}-{test.fingerprint()}"
        super().__init__(data, size, channels, {"epochs": epochs}, {"class": gate})

    def __str__(self) -> str:
        return f"classifier for {self.train.name} at {self.size} px"

    def _build(self, rng: np.random.Generator) -> Network:
        body = encoder(self.size, self.channels, (32, 64), FEATURES, rng=rng)
        return Network(body, nn.Linear(FEATURES, len(self.modes), generator=rng))

    def fit(self, on_progress: OnProgress | None = None) -> None:
        labels = self.train.labels
        assert labels is not None

        def loss(batch: NDArray[np.int64]) -> Tensor:
            images = self.train.images(batch)
            images.flags.writeable = False
            return ops.cross_entropy(self.network(Tensor(images)), labels[batch])

        batch = min(_BATCH, len(self.train))
        minimise(
            loss,
            self.network,
            len(self.train),
            steps=max(1, self.settings["epochs"] * len(self.train) // batch),
            batch=batch,
            lr=1e-3,
            what=f"training a classifier of {self.train.name}",
            on_progress=on_progress,
        )
        wrong = self.predict(self.test.images(np.arange(len(self.test)))) != self.test.labels
        self.held_out = {"class": float(wrong.mean())}

    def predict(self, images: np.ndarray) -> NDArray[np.int64]:
        """Return the class number (N,) of each image."""
        return self.mode_of(self.outputs(images))

    def mode_of(self, outputs: NDArray[np.float32]) -> NDArray[np.int64]:
        return outputs.argmax(1)

    def mode_probabilities(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return ops.softmax(outputs, 1).numpy()
