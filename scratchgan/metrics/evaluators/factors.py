"""The factor regressor: from a picture of a toy face back to the factors that it was drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import nn, ops
from ...data.toyfaces import FACTORS, Factor, Factors
from ...tensor import Tensor
from .evaluator import ModeEvaluator, Network, OnProgress, encoder, minimise, unit_range
from .faces import TOYFACES, held_out_faces, training_faces

FEATURES: Final = 128
_HELD_OUT: Final = 2_000
_CONTINUOUS_WEIGHT: Final = 1.5  # of a squared error, in half ranges, against a categorical factor's cross-entropy

# The first of each pair can be seen only where the second says so.
_SEEN_IF: Final = {"glasses": "glasses_present", "hat": "hat_present", "beard": "beard_present"}


class Head(NamedTuple):
    """A factor's place among the outputs: one number, or a logit for each category."""

    factor: Factor
    outputs: slice

    @property
    def ends(self) -> tuple[float, float]:
        """The range of a continuous factor in the faces that are judged, which outputs of -1 to 1 stand for."""
        return self.factor.portrait or (self.factor.low, self.factor.high)


def _heads() -> tuple[Head, ...]:
    """Return a head for every factor of the portraits: scenes, which these never show, have none."""
    heads, start = [], 0
    for factor in FACTORS:
        if factor.name not in ("scene", "scene_present"):
            stop = start + (len(factor.categories) or 1)
            heads.append(Head(factor, slice(start, stop)))
            start = stop
    return tuple(heads)


HEADS: Final = _heads()
_BY_NAME: Final = {head.factor.name: head for head in HEADS}
MODE_FACTORS: Final = ("hair_style", "skin_tone")  # whose combinations are the modes

#: The largest errors with which faces are judged; see `FactorRegressor.held_out`.
GATES: Final = {
    "skin_tone": 0.1,
    "hair_style": 0.2,
    "hair_colour": 0.15,
    "glasses_present": 0.05,
    "hat_present": 0.05,
    "beard_present": 0.2,
    "yaw": 0.5,
    "head_width": 0.6,
    "mouth_open": 0.7,
}


class FactorRegressor(ModeEvaluator):
    """Tells every factor of a toy face; the 128 features that it does so from are the space for FID and the like.

    ``held_out``: of a categorical factor, the share of wrong answers; of a continuous one, the root mean square error
    over the factor's standard deviation (0 is exact, 1 no better than always answering the mean). Of a factor that
    can't be seen in some faces (which glasses someone wears who wears none), the others count. The modes are the 48
    combinations of hair style and skin tone.
    """

    kind = "factors"
    version = 1
    modes = tuple(
        f"{style} hair, {tone} skin"
        for style in _BY_NAME[MODE_FACTORS[0]].factor.categories
        for tone in _BY_NAME[MODE_FACTORS[1]].factor.categories
    )

    def __init__(
        self, size: int, *, images: int = 20_000, steps: int = 1250, width: int = 32, gates: Mapping[str, float] = GATES
    ):
        super().__init__(TOYFACES, size, 3, {"images": images, "steps": steps, "width": width, "batch": 64}, gates)

    def _build(self, rng: np.random.Generator) -> Network:
        width = self.settings["width"]
        body = encoder(self.size, self.channels, (width, 2 * width, 4 * width), FEATURES, rng=rng)
        return Network(body, nn.Linear(FEATURES, HEADS[-1].outputs.stop, generator=rng))

    def fit(self, on_progress: OnProgress | None = None) -> None:
        settings = self.settings
        factors, faces = training_faces(settings["images"], self.size, on_progress)
        categorical = [(h.outputs, factors[h.factor.name], visible(h, factors)) for h in HEADS if h.factor.categories]
        continuous = [h for h in HEADS if not h.factor.categories]
        places = np.array([h.outputs.start for h in continuous])
        targets = np.stack([scaled(h, factors[h.factor.name]) for h in continuous], 1)

        def loss(batch: NDArray[np.int64]) -> Tensor:
            outputs = self.network(unit_range(faces.image[batch]))
            difference = outputs[:, places] - targets[batch]
            total = (difference * difference).sum() * (_CONTINUOUS_WEIGHT / len(batch))
            for where, labels, seen in categorical:
                rows = np.flatnonzero(seen[batch])
                if len(rows):
                    entropy = ops.cross_entropy(outputs[rows, where], labels[batch[rows]])
                    total = total + entropy * (len(rows) / len(batch))
            return total

        minimise(
            loss,
            self.network,
            settings["images"],
            steps=settings["steps"],
            batch=settings["batch"],
            lr=2e-3,
            what="training the factor regressor",
            on_progress=on_progress,
        )
        self.held_out = self._errors()

    def _errors(self) -> dict[str, float]:
        factors, _, faces = held_out_faces(_HELD_OUT, self.size)
        told, errors = self.predict(faces.image), {}
        for head in HEADS:
            name, seen = head.factor.name, visible(head, factors)
            truth, answer = factors[name][seen], told[name][seen]
            if head.factor.categories:
                errors[name] = float((truth != answer).mean())
            else:
                errors[name] = float(np.sqrt(((truth - answer) ** 2).mean()) / truth.std())
        return errors

    def predict(self, images: np.ndarray) -> Factors:
        """Return what the factors of images (N,3,S,S) look to be: (N,) category numbers or values, by name."""
        return self.read(self.outputs(images))

    def read(self, outputs: NDArray[np.float32]) -> Factors:
        """Return the factors that outputs of the network (N,K) stand for."""
        told: dict[str, NDArray[Any]] = {}
        for head in HEADS:
            part = outputs[:, head.outputs]
            if head.factor.categories:
                told[head.factor.name] = part.argmax(1)
            else:
                low, high = head.ends
                told[head.factor.name] = (part[:, 0].astype(np.float64) + 1) * ((high - low) / 2) + low
        return told

    def mode_of(self, outputs: NDArray[np.float32]) -> NDArray[np.int64]:
        return mode_numbers(self.read(outputs))

    def mode_probabilities(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        style, tone = (ops.softmax(outputs[:, _BY_NAME[name].outputs], 1).numpy() for name in MODE_FACTORS)
        return (style[:, :, None] * tone[:, None, :]).reshape(len(outputs), -1)


def mode_numbers(factors: Factors) -> NDArray[np.int64]:
    """Return the number of each face's mode, (N,), in the order of `FactorRegressor.modes`."""
    style, tone = (factors[name].astype(np.int64) for name in MODE_FACTORS)
    return style * len(_BY_NAME[MODE_FACTORS[1]].factor.categories) + tone


def visible(head: Head, factors: Factors) -> NDArray[np.bool_]:
    """Return in which faces a factor can be seen at all."""
    name = head.factor.name
    if name in _SEEN_IF:
        return factors[_SEEN_IF[name]] == 1
    if name == "background_b":
        return factors["pattern"] != 0  # plain
    return np.ones(len(factors["yaw"]), bool)


def scaled(head: Head, values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return a continuous factor's values as the network gives them: -1 to 1 over the range."""
    low, high = head.ends
    return ((2 * values - low - high) / (high - low)).astype(np.float32)
