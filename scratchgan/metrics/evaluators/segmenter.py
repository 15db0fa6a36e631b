"""The segmenter: which class each pixel of a toy face belongs to, by a U-Net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ... import nn, ops
from ...data.toyfaces import CLASSES
from ...models.gan import doublings
from ...tensor import Tensor
from ..pairs import segmentation_agreement
from .evaluator import Evaluator, Network, OnProgress, minimise, unit_range
from .faces import TOYFACES, held_out_faces, training_faces

_HELD_OUT: Final = 500


class UNet(nn.Module):
    """Images (N,C,S,S) -> features of every pixel (N,width,S,S).

    Strided convolutions halve the image down to 4-7 pixels; on the way up each doubling is joined with the features
    of that size from the way down (O. Ronneberger et al., "U-Net", 2015).

        S       ──────────────────────────────► join ─► features
        └─► S/2 ──────────────────► join ─► up ──┘
            └─► S/4 ─► ... ─► up ────┘
    """

    def __init__(self, size: int, channels: int, width: int, *, rng: np.random.Generator):
        _, k = doublings(size)
        widths = [width * min(2**i, 4) for i in range(k + 1)]
        self.stem = _stage(nn.Conv2d(channels, width, 3, padding=1, generator=rng), width)
        self.down = nn.ModuleList(
            _stage(nn.Conv2d(widths[i], widths[i + 1], 4, stride=2, padding=1, generator=rng), widths[i + 1])
            for i in range(k)
        )
        self.up = nn.ModuleList(
            _stage(nn.UpsampleConv2d(widths[i + 1], widths[i], 3, padding=1, generator=rng), widths[i])
            for i in range(k)
        )
        self.join = nn.ModuleList(
            _stage(nn.Conv2d(2 * widths[i], widths[i], 3, padding=1, generator=rng), widths[i]) for i in range(k)
        )

    def forward(self, x: Any) -> Tensor:
        seen = [self.stem(x)]
        for stage in self.down:
            seen.append(stage(seen[-1]))
        y = seen.pop()
        for i in reversed(range(len(seen))):
            y = self.join[i](ops.concatenate([self.up[i](y), seen[i]], 1))
        return y


def _stage(convolution: nn.Module, width: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())


class Segmenter(Evaluator):
    """Names the class of every pixel of a toy face.

    ``held_out["pixels"]`` is the share of pixels that it gets wrong, and ``held_out["classes"]`` 1 minus the mean
    intersection over union of the classes, in which a small nose counts as much as the background.
    """

    kind = "segmenter"
    version = 1

    def __init__(
        self,
        size: int,
        *,
        images: int = 10_000,
        steps: int = 500,
        width: int = 16,
        gates: Mapping[str, float] = {"pixels": 0.1, "classes": 0.5},
    ):
        super().__init__(TOYFACES, size, 3, {"images": images, "steps": steps, "width": width, "batch": 32}, gates)

    def _build(self, rng: np.random.Generator) -> Network:
        width = self.settings["width"]
        body = UNet(self.size, self.channels, width, rng=rng)
        return Network(body, nn.Conv2d(width, len(CLASSES), 1, generator=rng))

    def fit(self, on_progress: OnProgress | None = None) -> None:
        settings = self.settings
        _, faces = training_faces(settings["images"], self.size, on_progress)

        def loss(batch: NDArray[np.int64]) -> Tensor:
            logits = self.network(unit_range(faces.image[batch]))
            pixels = logits.transpose(0, 2, 3, 1).reshape(-1, len(CLASSES))
            return ops.cross_entropy(pixels, faces.mask[batch].reshape(-1))

        minimise(
            loss,
            self.network,
            settings["images"],
            steps=settings["steps"],
            batch=settings["batch"],
            lr=3e-3,
            what="training the segmenter",
            on_progress=on_progress,
        )
        _, _, faces = held_out_faces(_HELD_OUT, self.size)
        agreement, iou = segmentation_agreement(self.predict(faces.image), faces.mask, len(CLASSES))
        self.held_out = {"pixels": 1 - agreement, "classes": 1 - float(np.nanmean(iou))}

    def predict(self, images: np.ndarray) -> NDArray[np.uint8]:
        """Return the mask (N,S,S) of images (N,3,S,S): indices into `toyfaces.CLASSES`."""
        return self.outputs(images).argmax(1).astype(np.uint8)
