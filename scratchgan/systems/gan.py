"""The 2014 GAN on images: upsampling and convolutions from random input, against a shrinking discriminator.

Networks: `scratchgan.models.gan`; the step: `TwoPlayer`. Its page: docs/training.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from ..data import Dataset
from ..models import make_discriminator, make_generator
from ..train import ConfigError, random_streams, setting
from ..train.config import RunSettings
from .images import FID_PANEL, ImageSettings, ImageSystem
from .two_player import TwoPlayer, TwoPlayerSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class GanSettings(TwoPlayerSettings, ImageSettings):
    """The settings of the 2014 GAN."""

    model: str = setting(
        "gan", "the networks: gan for 8 to 128 px; gan28: the benchmark's, of fixed widths", choices=("gan", "gan28")
    )


class Gan(ImageSystem, TwoPlayer):
    """G doubles a small image until it has its size, D halves it down to one number."""

    name = "gan"
    summary = "the GAN of 2014: one generator against one discriminator"
    Settings = GanSettings
    own: GanSettings
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Toy faces at twice the size: one more stage, and more than three times the work for each image.
        "faces64": {"data": "toyfaces", "size": 64, "steps": 2000, "sample_every": 250, "checkpoint_every": 250},
        # What the others are compared with: the benchmark's blocks and DCGAN's optimiser, as they come.
        "reference": {
            "model": "gan28",
            "batch": 64,
            "label_smoothing": 0.0,
            "r1": 0.0,
            "lr_end": 1.0,
            "lr_g": 2e-4,
            "lr_d": 2e-4,
            "betas": (0.5, 0.999),
            "ema_decay": 0.0,
        },
    }

    @classmethod
    def complete(cls, run: RunSettings, own: GanSettings, dataset: Dataset) -> tuple[RunSettings, GanSettings]:
        run, own = super().complete(run, own, dataset)
        if own.model == "gan28" and own.width != cls.Settings().width:
            raise ConfigError(f"width={own.width} is not for model=gan28, whose widths are fixed")
        return run, dataclasses.replace(own, **own.decided(norms=own.model == "gan"))

    @classmethod
    def migrated(cls, settings: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in settings.items() if (name, value) != ("model", "auto")}

    def __init__(self, run: RunSettings, own: GanSettings):
        super().__init__(run, own)
        init_g, init_d, fixed, latents, penalty, mirror = random_streams(run.seed, 6)
        self.random = {"latents": latents, "penalty": penalty} | ({"mirror": mirror} if own.mirror else {})
        shape = self.shape
        self.networks = {
            "generator": make_generator(own.model, shape, own.latent, own.width, generator=init_g),
            "discriminator": make_discriminator(own.model, shape, own.width, own.d_norm, generator=init_d),
        }
        self._shown = self.inputs(fixed, self.count_shown)["z"]
        self.panels = [*self.panels, FID_PANEL]  # type: ignore[misc]

    def title(self) -> str:
        return f"{self.run.size} px, {self.own.loss}"
