"""The landmark regressor: where the 32 landmarks of a toy face are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ... import nn
from ...data.toyfaces import LANDMARKS
from ...tensor import Tensor
from ..pairs import landmark_error
from .evaluator import Evaluator, Network, OnProgress, encoder, minimise, unit_range
from .faces import TOYFACES, held_out_faces, training_faces

#: The two landmarks whose distance errors are measured in.
EYES: Final = (LANDMARKS.index("pupil_left"), LANDMARKS.index("pupil_right"))

_FEATURES: Final = 128
_HELD_OUT: Final = 2_000


class LandmarkRegressor(Evaluator):
    """Finds the landmarks of a toy face.

    It learns from those that can be seen. ``held_out["landmarks"]`` is the mean error of these, in distances between
    the pupils (`scratchgan.metrics.landmark_error`).
    """

    kind = "landmarks"
    version = 1

    def __init__(
        self,
        size: int,
        *,
        images: int = 20_000,
        steps: int = 1000,
        width: int = 32,
        gates: Mapping[str, float] = {"landmarks": 0.1},
    ):
        super().__init__(TOYFACES, size, 3, {"images": images, "steps": steps, "width": width, "batch": 64}, gates)

    def _build(self, rng: np.random.Generator) -> Network:
        width = self.settings["width"]
        body = encoder(self.size, self.channels, (width, 2 * width, 4 * width), _FEATURES, rng=rng)
        return Network(body, nn.Linear(_FEATURES, 2 * len(LANDMARKS), generator=rng))

    def fit(self, on_progress: OnProgress | None = None) -> None:
        settings = self.settings
        _, faces = training_faces(settings["images"], self.size, on_progress)
        targets = (faces.landmarks * (2 / self.size) - 1).reshape(len(faces.landmarks), -1)
        weights = np.repeat(faces.visibility, 2, axis=1).astype(np.float32)
        head = self.network.head
        head.bias.data = targets.mean(0)  # so that only each face's difference from the mean face is to be learnt
        head.weight.data = head.weight.data * np.float32(0.1)

        def loss(batch: NDArray[np.int64]) -> Tensor:
            difference = self.network(unit_range(faces.image[batch])) - targets[batch]
            return (difference * difference * weights[batch]).sum() * (100 / len(batch))

        minimise(
            loss,
            self.network,
            settings["images"],
            steps=settings["steps"],
            batch=settings["batch"],
            lr=2e-3,
            what="training the landmark regressor",
            on_progress=on_progress,
        )
        _, _, faces = held_out_faces(_HELD_OUT, self.size)
        errors = landmark_error(self.predict(faces.image), faces.landmarks, faces.visibility, EYES)
        self.held_out = {"landmarks": float(np.nanmean(errors))}

    def predict(self, images: np.ndarray) -> NDArray[np.float32]:
        """Return where the landmarks of images (N,3,S,S) are, (N,32,2): x and y in pixels, as `render` gives them."""
        return (self.outputs(images).reshape(-1, len(LANDMARKS), 2) + 1) * np.float32(self.size / 2)
