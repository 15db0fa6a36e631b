"""What every evaluator is: a network trained here, the recipe that it was made by, and what it gets wrong.

An evaluator scores nothing before it has passed its gates: limits on its errors on held-out data. Two things name it:
its *key*, a hash of the recipe, under which it is kept on disk; and its *hash*, of the recipe and the weights, which is
printed beside every score, since scores of two evaluators can't be compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ... import nn
from ...autograd import grad
from ...optim import Adam
from ...recording import no_grad
from ...tensor import Tensor
from ..checks import EvaluatorError, MetricError, image_batch

#: Called with (what is being done, steps done, of how many).
OnProgress = Callable[[str, int, int], None]

_CHUNK = 256  # images that go through a network at a time


class Evaluator:
    """A network for images (N,channels,size,size), and its errors on held-out data once it is trained.

    Attributes:
        recipe: everything that the trained weights depend on, as JSON values: the kind and version of the evaluator,
            the data and its version, the image's size and channels, and the settings of the training.
        network: its ``body`` gives features, and its ``head`` what the evaluator says, from these.
        held_out: error by name, each at least 0 and better when lower; empty before `fit`.
        gates: the largest error that is allowed, by the same names; what has no gate is only reported.
    """

    kind: ClassVar[str]
    #: Raised by every change of the network or of how it is trained.
    version: ClassVar[int]

    recipe: dict[str, Any]
    network: Network
    held_out: dict[str, float]
    gates: dict[str, float]

    def __init__(self, data: str, size: int, channels: int, settings: Mapping[str, Any], gates: Mapping[str, float]):
        self.size, self.channels, self.settings = size, channels, dict(settings)
        self.recipe = {
            "kind": self.kind,
            "version": self.version,
            "data": data,
            "size": size,
            "channels": channels,
            "settings": self.settings,
        }
        self.gates, self.held_out = dict(gates), {}
        try:
            self.network = self._build(np.random.default_rng(0))
        except ValueError as error:  # a size that the network can't have
            raise MetricError(f"{self}: {error}") from error

    def __str__(self) -> str:
        return f"{self.kind} evaluator for {self.recipe['data']} at {self.size} px"

    def _build(self, rng: np.random.Generator) -> Network:
        """Return the untrained network."""
        raise NotImplementedError

    def fit(self, on_progress: OnProgress | None = None) -> None:
        """Train the network and measure its errors on held-out data."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """12 hex digits of a hash of the recipe."""
        return hashlib.sha256(json.dumps(self.recipe, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def hash(self) -> str:
        """12 hex digits of a hash of the recipe and the weights."""
        digest = hashlib.sha256(json.dumps(self.recipe, sort_keys=True).encode())
        for name, array in sorted(self.network.state_dict().items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:12]

    def check_gates(self) -> None:
        """Raise EvaluatorError if the evaluator is untrained, or an error on held-out data is above its gate."""
        if not self.held_out:
            raise EvaluatorError(f"{self}: it is not trained yet")
        missed = [
            f"{name} {self.held_out[name]:.3g} (at most {limit:g})"
            for name, limit in self.gates.items()
            if not self.held_out[name] <= limit  # so that NaN fails
        ]
        if missed:
            raise EvaluatorError(
                f"{self}: its errors on held-out images are above its gates, so it may not score: {', '.join(missed)}"
            )

    def features(self, images: np.ndarray) -> NDArray[np.float32]:
        """Return the features (N,D) of images (N,C,S,S), float in [-1, 1] or uint8, in which they are compared."""
        if not len(images):
            raise MetricError(f"{self}: there are no images")
        self.network.eval()
        with no_grad():
            parts = [
                self.network.body(image_batch(str(self), images[i : i + _CHUNK], self.size, self.channels)).data
                for i in range(0, len(images), _CHUNK)
            ]
        return np.concatenate(parts)

    def outputs(self, images: np.ndarray) -> NDArray[np.float32]:
        """Return what the network gives for images (N,C,S,S)."""
        return self.head_outputs(self.features(images))

    def head_outputs(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the network gives for images of these features."""
        with no_grad():
            return self.network.head(features).data


class ModeEvaluator(Evaluator):
    """An evaluator that also sorts images into modes, each of which a good generator draws.

    ``modes`` are their names. Its outputs (N,K) for images say which mode each is in, and how sure that is.
    """

    modes: tuple[str, ...]

    def mode_of(self, outputs: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the number of each image's mode, (N,)."""
        raise NotImplementedError

    def mode_probabilities(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of each mode, (N,modes)."""
        raise NotImplementedError


class Network(nn.Module):
    """A body that gives features, and a head on top of it."""

    def __init__(self, body: nn.Module, head: nn.Module):
        self.body, self.head = body, head

    def forward(self, x: Any) -> Tensor:
        return self.head(self.body(x))


def encoder(
    size: int, channels: int, widths: tuple[int, ...], features: int, *, rng: np.random.Generator
) -> nn.Sequential:
    """Return a network from images (N,C,S,S) to features (N,features).

    Strided 4x4 convolutions halve the image down to 4-7 pixels; stage i has ``widths[i]`` channels, and those beyond
    the last as many as that. Then comes one fully connected layer. ValueError for a size that can't be halved so.
    """
    from ...models.gan import doublings

    base, k = doublings(size)
    layers: list[nn.Module] = []
    before = channels
    for i in range(k):
        after = widths[min(i, len(widths) - 1)]
        layers += [
            nn.Conv2d(before, after, 4, stride=2, padding=1, generator=rng),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
        before = after
    flat = before * base * base
    layers += [nn.Flatten(), nn.Linear(flat, features, generator=rng), nn.BatchNorm1d(features), nn.ReLU()]
    return nn.Sequential(*layers)


def minimise(
    loss: Callable[[NDArray[np.int64]], Tensor],
    network: nn.Module,
    count: int,
    *,
    steps: int,
    batch: int,
    lr: float,
    what: str,
    on_progress: OnProgress | None,
) -> None:
    """Train a network: ``loss(indices)`` of a batch of ``count`` examples, by Adam with a rate that falls to 0."""
    parameters = network.parameters()
    adam, rng = Adam(parameters, lr), np.random.default_rng(1)
    order: NDArray[np.int64] = np.empty(0, np.int64)
    network.train()
    for step in range(steps):
        if len(order) < batch:
            order = np.concatenate([order, rng.permutation(count)])
        indices, order = order[:batch], order[batch:]
        adam.lr = lr * (1 - step / steps)
        adam.step(grad(loss(indices), parameters, retain_graph=False))
        if on_progress is not None:
            on_progress(what, step + 1, steps)
    network.eval()


def unit_range(pixels: NDArray[np.uint8]) -> Tensor:
    """Return uint8 images as a Tensor in [-1, 1] that may be saved without a copy."""
    images = pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)
    images.flags.writeable = False
    return Tensor(images)
