"""Players that answer by a score for each picture: the higher, the more real. One of them is trained here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from .. import nn, ops
from ..autograd import grad
from ..optim import Adam
from ..recording import no_grad
from ..tensor import Tensor
from .rounds import Round

#: (uint8 (n,H,W,C)) -> (n,): above 0 what is taken for real.
Score = Callable[[np.ndarray], np.ndarray]

_STEPS, _BATCH = 300, 64


class Player(Protocol):
    """Who answers a round."""

    def answer(self, question: Round) -> np.ndarray:
        """Return bool (n,): which pictures are called real; of a pair, exactly one."""


class ScorePlayer:
    """Answers by a score function: of a pair the higher one, of other rounds those above 0. Equals: the first."""

    def __init__(self, score: Score):
        self.score = score

    def answer(self, question: Round) -> np.ndarray:
        scores = np.asarray(self.score(question.images), np.float64)
        if scores.shape != (len(question.images),):
            raise ValueError(f"a score function must return {len(question.images)} numbers, got shape {scores.shape}")
        if question.kind == "pair":
            return np.arange(len(scores)) == scores.argmax()
        return scores > 0


def train_classifier(real: np.ndarray, fake: np.ndarray, seed: int) -> Score:
    """Return the score of a small network that has been trained to tell two sets of pictures apart.

    ``real`` and ``fake``: uint8 (N,H,W,C) and (M,H,W,C), a few hundred each, none of which is asked about later;
    pictures of 8 x 8 or more. Three convolutions, the mean over the picture, a linear layer: the classifier of a
    two-sample test (D. Lopez-Paz and M. Oquab, "Revisiting classifier two-sample tests", 2017) on pixels. Some hundred
    pictures are soon learnt by heart, so its weights decay, and both sets are mirrored at random. Raises ValueError for
    pictures that do not fit.
    """
    if real.shape[1:] != fake.shape[1:] or min(real.shape[1:3]) < 8 or not (len(real) and len(fake)):
        raise ValueError(
            f"train_classifier: both sets must have pictures of one shape, 8 x 8 or more, got {real.shape} and "
            f"{fake.shape}"
        )
    rng = np.random.default_rng(seed)
    channels = real.shape[3]
    network = nn.Sequential(
        nn.Conv2d(channels, 16, 4, 2, 1, negative_slope=0.2, generator=rng),
        nn.Conv2d(16, 32, 4, 2, 1, negative_slope=0.2, generator=rng),
        nn.Conv2d(32, 32, 3, 1, 1, negative_slope=0.2, generator=rng),
    )
    head = nn.Linear(32, 1, generator=rng)
    parameters = [*network.parameters(), *head.parameters()]
    adam = Adam(parameters, 2e-3, weight_decay=1e-2, decoupled=True)
    sets = _floats(real), _floats(fake)
    half = _BATCH // 2
    labels = Tensor(np.repeat([1.0, 0.0], half)[:, None].astype(np.float32))
    for step in range(_STEPS):
        adam.lr = 2e-3 * (1 - step / _STEPS)
        batch = np.concatenate([images[rng.integers(0, len(images), half)] for images in sets])
        mirrored = rng.random(len(batch)) < 0.5
        batch[mirrored] = batch[mirrored, :, :, ::-1]
        logits = head(ops.mean(network(Tensor(batch)), (2, 3)))
        loss = ops.binary_cross_entropy_with_logits(logits, labels)
        adam.step(grad(loss, parameters, retain_graph=False))

    def score(images: np.ndarray) -> np.ndarray:
        with no_grad():
            return head(ops.mean(network(Tensor(_floats(images))), (2, 3))).data[:, 0]

    return score


def _floats(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / np.float32(127.5) - np.float32(1)
