"""The identity embedding: are two pictures of the same person?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ... import nn, ops
from ...data import toyfaces
from ...tensor import Tensor
from .evaluator import Evaluator, Network, OnProgress, encoder, minimise, unit_range
from .faces import FIRST_PERSON, TOYFACES, draw, held_out_faces

_FEATURES: Final = 128
_EMBEDDING: Final = 64
_TEMPERATURE: Final = 0.1
_SEEDS: Final = (7_011, 7_012)  # of each person's two pictures
_HELD_OUT: Final = 1_000  # faces of 100 persons: half a million pairs


class IdentityEmbedding(Evaluator):
    """Maps a toy face to 64 numbers of length 1, whose inner product is high for two pictures of one person.

    It learns from two pictures of each of many persons, which share identity alone and differ in pose, expression,
    accessories, style and background: within a batch, each picture is to find its other one by the softmax over inner
    products (the N-pair loss of K. Sohn, 2016, both ways, at temperature 0.1). ``held_out["verification"]`` is the
    equal error rate over all pairs of pictures of 100 persons that it never saw: at the threshold where as many pairs
    of one person are refused as pairs of two persons are accepted, how many that is.
    """

    kind = "identity"
    version = 1

    def __init__(
        self,
        size: int,
        *,
        persons: int = 10_000,
        steps: int = 800,
        width: int = 32,
        gates: Mapping[str, float] = {"verification": 0.2},
    ):
        super().__init__(TOYFACES, size, 3, {"persons": persons, "steps": steps, "width": width, "batch": 64}, gates)

    def _build(self, rng: np.random.Generator) -> Network:
        width = self.settings["width"]
        body = encoder(self.size, self.channels, (width, 2 * width, 4 * width), _FEATURES, rng=rng)
        return Network(body, nn.Linear(_FEATURES, _EMBEDDING, generator=rng))

    def fit(self, on_progress: OnProgress | None = None) -> None:
        settings = self.settings
        persons = settings["persons"]
        identity = toyfaces.identity_factors(FIRST_PERSON + np.arange(persons))
        views = [
            draw(toyfaces.sample_factors(persons, seed, portrait=True) | identity, self.size, on_progress).image
            for seed in _SEEDS
        ]

        def loss(batch: NDArray[np.int64]) -> Tensor:
            pictures = np.concatenate([view[batch] for view in views])
            embedding = _normalised(self.network(unit_range(pictures)))
            likeness = embedding[: len(batch)] @ embedding[len(batch) :].T * (1 / _TEMPERATURE)
            own = np.arange(len(batch))
            return ops.cross_entropy(likeness, own) + ops.cross_entropy(likeness.T, own)

        minimise(
            loss,
            self.network,
            persons,
            steps=settings["steps"],
            batch=settings["batch"],
            lr=2e-3,
            what="training the identity embedding",
            on_progress=on_progress,
        )
        _, ids, faces = held_out_faces(_HELD_OUT, self.size)
        embedding = self.embed(faces.image)
        pairs = np.triu_indices(len(ids), 1)
        likeness = (embedding @ embedding.T)[pairs]
        same = (ids[:, None] == ids)[pairs]
        self.held_out = {"verification": equal_error_rate(likeness[same], likeness[~same])}

    def embed(self, images: np.ndarray) -> NDArray[np.float32]:
        """Return the embedding (N,64) of images (N,3,S,S); the inner product of two is their likeness, -1 to 1."""
        return _normalised(Tensor(self.outputs(images))).numpy()


def equal_error_rate(same: NDArray[np.floating], different: NDArray[np.floating]) -> float:
    """Return the share of errors at the threshold where both kinds are equally frequent.

    ``same`` and ``different`` are the likeness of pairs of one person, and of two.
    """
    same, different = np.sort(same), np.sort(different)
    thresholds = np.concatenate([same, different])
    refused = np.searchsorted(same, thresholds, "left") / len(same)
    accepted = 1 - np.searchsorted(different, thresholds, "left") / len(different)
    best = np.argmin(np.abs(refused - accepted))
    return float((refused[best] + accepted[best]) / 2)


def _normalised(x: Tensor) -> Tensor:
    return x / ops.sqrt((x * x).sum(1, keepdims=True) + 1e-12)
