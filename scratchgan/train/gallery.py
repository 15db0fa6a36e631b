"""What a run shows of itself on the way: grids of images, or points with D's answer over the plane."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from ..data import Dataset, PointDataset
from ..device import to_device
from ..recording import no_grad
from ..tensor import Tensor
from .folder import RunFolder
from .game import POINTS_SHOWN, Game, draw
from .pictures import image_grid, to_uint8
from .point_pictures import FIELD_SIDE, assemble_film, draw_points, field_places

_IMAGES_SHOWN: Final = 64


class Gallery(Protocol):
    """Draws one kind of data. ``kind`` is its plural, ``real`` are some of the data, as `samples` returns its own."""

    kind: str
    real: np.ndarray

    def samples(self, game: Game) -> np.ndarray:
        """Return what the averaged G makes of the run's fixed latent vectors."""

    def real_picture(self) -> np.ndarray:
        """Return ``real`` as a picture (H,W,C) uint8."""

    def picture(self, samples: np.ndarray, game: Game, step: int) -> np.ndarray:
        """Return the picture (H,W,C) uint8 of a step's samples."""

    def finish(self, folder: RunFolder, text: dict[str, str]) -> None:
        """Write what is made of a whole run's pictures; ``text`` says where they are from."""


def open_gallery(dataset: Dataset) -> Gallery:
    """Return the gallery for a data set."""
    return PointGallery(dataset) if isinstance(dataset, PointDataset) else ImageGallery(dataset)


class ImageGallery:
    """Grids of images, uint8 (N,H,W,C)."""

    kind = "images"

    def __init__(self, dataset: Dataset):
        self.real = to_uint8(dataset.images(np.arange(min(_IMAGES_SHOWN, len(dataset)))))

    def samples(self, game: Game) -> np.ndarray:
        return to_uint8(draw(game.ema.module, game.fixed_latents, game.config.device))

    def real_picture(self) -> np.ndarray:
        return image_grid(self.real)

    def picture(self, samples: np.ndarray, game: Game, step: int) -> np.ndarray:
        return image_grid(samples)

    def finish(self, folder: RunFolder, text: dict[str, str]) -> None:
        pass


class PointGallery:
    """Points, float32 (N,2), over D's answer; at the end a film of all steps' pictures."""

    kind = "points"

    def __init__(self, dataset: PointDataset):
        self._dataset = dataset
        self.real = dataset.images(np.arange(min(POINTS_SHOWN, len(dataset))))

    def samples(self, game: Game) -> np.ndarray:
        return draw(game.ema.module, game.fixed_latents, game.config.device, chunk=POINTS_SHOWN)

    def real_picture(self) -> np.ndarray:
        return draw_points(self.real, None, caption=repr(self._dataset)[1:-1])

    def picture(self, samples: np.ndarray, game: Game, step: int) -> np.ndarray:
        with no_grad():
            answers = game.discriminator(Tensor(to_device(field_places(), game.config.device)))
        field = to_device(answers.data, "cpu").reshape(FIELD_SIDE, FIELD_SIDE)
        score = self._dataset.score(samples)
        return draw_points(self.real, samples, field=field, caption=f"step {step:,}    {score}")

    def finish(self, folder: RunFolder, text: dict[str, str]) -> None:
        assemble_film(sorted(folder.samples.glob("step-*.png")), folder.film, text["Source"])
