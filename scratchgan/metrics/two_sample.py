"""The classifier two-sample test: can a classifier tell generated from real?"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .. import nn, ops
from ..autograd import grad
from ..optim import Adam
from ..recording import no_grad
from ..tensor import Tensor
from .checks import feature_sets

_STEPS, _BATCH, _HIDDEN = 400, 128, 64


class TwoSampleTest(NamedTuple):
    """Accuracy on images that the classifier did not train on, and the chance of it or more if it can only guess."""

    accuracy: float
    p_value: float


def classifier_two_sample_test(real: np.ndarray, generated: np.ndarray, *, seed: int = 0) -> TwoSampleTest:
    """Train a small network to tell real from generated feature vectors, (N,D) and (M,D), and test it.

    Lopez-Paz and Oquab, 2017: of as many vectors of each set, half are trained on and half are tested on. An accuracy
    of 0.5 means that nothing was found that tells them apart; 1 that each is recognised. If it can only guess, the
    accuracy is distributed as N(1/2, 1/(4 n)) for n test vectors, which gives the p-value. The network has one hidden
    layer of 64; features are standardised by the training half. MetricError for sets of fewer than 100 vectors.
    """
    real, generated = feature_sets("classifier_two_sample_test", real, generated, at_least=100)
    rng = np.random.default_rng(seed)
    n = min(len(real), len(generated))
    half = n // 2
    chosen = [x[rng.permutation(len(x))[:n]] for x in (real, generated)]
    train, test = (np.concatenate([x[part] for x in chosen]) for part in (slice(half), slice(half, None)))
    train_labels, test_labels = (np.repeat([1.0, 0.0], len(x) // 2).astype(np.float32)[:, None] for x in (train, test))
    mean, spread = train.mean(0), train.std(0)
    spread[spread < 1e-6 * max(float(spread.max()), 1e-12)] = 1
    train, test = (((x - mean) / spread).astype(np.float32) for x in (train, test))

    network = nn.Sequential(
        nn.Linear(train.shape[1], _HIDDEN, generator=rng), nn.ReLU(), nn.Linear(_HIDDEN, 1, generator=rng)
    )
    adam = Adam(network.parameters(), 3e-3, weight_decay=1e-2, decoupled=True)
    for step in range(_STEPS):
        adam.lr = 3e-3 * (1 - step / _STEPS)
        batch = rng.integers(0, len(train), min(_BATCH, len(train)))
        loss = ops.binary_cross_entropy_with_logits(network(Tensor(train[batch])), train_labels[batch])
        adam.step(grad(loss, network.parameters(), retain_graph=False))
    with no_grad():
        right = (network(test).data > 0) == (test_labels > 0.5)
    accuracy = float(right.mean())
    z = (accuracy - 0.5) * 2 * math.sqrt(right.size)
    return TwoSampleTest(accuracy, 0.5 * math.erfc(z / math.sqrt(2)))
