"""The two-player game of 2014, on whatever networks: one step is ``d_steps`` updates of D and one of G.

    z ─► G ─► fake ────────────────────────► D ─► logits ─► loss_g ─► gradient of G's weights alone
               │                             ▲
               └─ detached ─► D ─► logits ─┐ │ (D updated in between)
    x (real images) ────────► D ─► logits ─┴─┴─► loss_d ─► gradient of D's weights alone

The generated images of the last update of D are the ones that G is updated on, so G runs forward once: its graph,
made before D changed, holds nothing of D. ``grad(loss_g, generator's parameters)`` goes back through D without
computing one gradient of D's weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..cuda_graph import from_host
from ..device import Array
from ..models.gan import NORMS
from ..optim import Adam
from ..recording import no_grad
from ..tensor import Tensor
from ..train import Batches, ConfigError, Inputs, Networks, Panel, Settings, System, Update, Wish, setting
from ..train.config import RunSettings
from ..train.curves import BLUE, ORANGE
from ..train.losses import LOSSES, Loss, bce_discriminator, gradient_penalty, r1_penalty
from .watch import GameWatch


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoPlayerSettings(Settings):
    """The settings of the game itself; a system adds those of its networks."""

    latent: int = setting(64, "numbers in a latent vector z, drawn from N(0, 1)", at_least=1)
    width: int = setting(32, "channels at the largest size, doubled at half of it", at_least=1)
    d_norm: str = setting(
        "auto", "normalisation in D; auto: none with r1, layer for wgan-gp, else batch", choices=("auto", *NORMS)
    )
    loss: str = setting("bce", "what G and D minimise; see scratchgan.train.losses", choices=tuple(LOSSES), option=True)
    label_smoothing: float | None = setting(
        None, "bce: D's target for real images is 1 minus this (none: 0.1 for bce without r1)", at_least=0, below=0.5
    )
    gradient_penalty: float = setting(10.0, "wgan-gp: lambda, the weight of its penalty", at_least=0)
    r1: float | None = setting(
        None,
        "gamma of the R1 penalty on D's gradient at real images; 0 is none (none: 3, but 0 for wgan-gp and for "
        "d_norm=batch)",
        at_least=0,
    )
    d_steps: int = setting(1, "updates of D for each update of G", at_least=1)
    lr_g: float = setting(2e-3, "Adam's learning rate for G", above=0)
    lr_d: float = setting(2e-3, "Adam's learning rate for D", above=0)
    betas: tuple[float, float] = setting((0.0, 0.99), "Adam's decay rates", at_least=0, below=1)
    ema_decay: float = setting(0.998, "decay per step of the average of G that draws samples", at_least=0, below=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.label_smoothing and not self.loss.startswith("bce"):
            raise ConfigError(f"label_smoothing={self.label_smoothing} is for the bce losses, not for loss={self.loss}")
        if self.d_norm == "batch" and (self.loss == "wgan-gp" or bool(self.r1)):
            penalty = "wgan-gp" if self.loss == "wgan-gp" else "r1"
            raise ConfigError(
                f"d_norm=batch mixes the images of a batch, and the penalty of {penalty} is on the gradient of each "
                "image: use d_norm=layer, spectral or none"
            )

    def decided(self, *, norms: bool) -> dict[str, Any]:
        """Return r1, d_norm and label_smoothing as they follow from the others; ``norms``: D may have batch norm."""
        r1, d_norm, smoothing = self.r1, self.d_norm, self.label_smoothing
        if r1 is None:
            r1 = 0.0 if self.loss == "wgan-gp" or d_norm == "batch" else 3.0
        if d_norm == "auto":
            d_norm = "none" if not norms or r1 > 0 else "layer" if self.loss == "wgan-gp" else "batch"
        if smoothing is None:
            smoothing = 0.1 if self.loss == "bce" and r1 == 0 else 0.0
        return {"r1": r1, "d_norm": d_norm, "label_smoothing": smoothing}


def game_panels(loss: Loss) -> list[Panel]:
    """Return the curves of a game: the losses, and what D answers under its loss."""
    return [
        Panel("loss", (("D", "loss_d", BLUE), ("G", "loss_g", ORANGE))),
        Panel(
            "probability of being real, says D" if loss.probability else "score by D",
            (("D(x), real images", "d_real", BLUE), ("D(G(z)), generated", "d_fake", ORANGE)),
            (0.0, 1.0) if loss.probability else None,
        ),
    ]


def game_status(metrics: Mapping[str, float]) -> str:
    """Return a game's metrics as one line, with the FID if it was measured."""
    quality = f"  FID {metrics['fid']:.1f}" if "fid" in metrics else ""
    return (
        f"D(x) {metrics['d_real']:.2f}  D(G(z)) {metrics['d_fake']:.2f}  "
        f"loss D {metrics['loss_d']:.3f}  G {metrics['loss_g']:.3f}{quality}"
    )


def adam_of_both(networks: Networks, own: Any) -> dict[str, Adam]:
    """Return Adam for "g", the generator, and "d", the discriminator, with ``own.lr_g``, ``own.lr_d`` and ``betas``."""
    return {
        "g": Adam(networks["generator"].named_parameters(), own.lr_g, own.betas),
        "d": Adam(networks["discriminator"].named_parameters(), own.lr_d, own.betas),
    }


class TwoPlayer(System):
    """The game; a system gives ``networks["generator"]`` and ``networks["discriminator"]``, and shows its data."""

    own: TwoPlayerSettings
    averaged: ClassVar[Mapping[str, str]] = {"ema": "generator"}
    remedy: ClassVar[str] = "Try lower lr_g and lr_d, d_norm=spectral, or r1=1, in a new run"
    count_shown: ClassVar[int] = 64
    _shown: np.ndarray

    def __init__(self, run: RunSettings, own: TwoPlayerSettings):
        self.run, self.own, self.numbers = run, own, {}
        self.loss = LOSSES[own.loss]
        if own.label_smoothing:
            smoothed = partial(bce_discriminator, smoothing=own.label_smoothing)
            self.loss = dataclasses.replace(self.loss, discriminator=smoothed)
        self.panels = game_panels(self.loss)  # type: ignore[misc]  # the loss is the run's own

    def optimizers(self) -> dict[str, Adam]:
        return adam_of_both(self.networks, self.own)

    def step(self, batch: Batches, update: Update) -> None:
        generator = self.networks["generator"]
        for _ in range(self.own.d_steps - 1):
            with no_grad():
                fake = generator(self._latents())
            self._update_discriminator(batch.next()["image"], fake, update)
        fake = generator(self._latents())
        self._update_discriminator(batch.next()["image"], fake.detach(), update)
        loss = self.loss.generator(self.networks["discriminator"](fake))
        update("g", loss)

    def calls(self) -> dict[str, list[str]]:
        update = ["D on real", "D on fake", *(["D between them"] if self.own.loss == "wgan-gp" else [])]
        turns = self.own.d_steps
        return {"discriminator": [*(update * turns), "G through D"], "generator": ["G"] * turns}

    def _latents(self) -> Tensor:
        random, shape = self.random["latents"], (self.run.batch, self.own.latent)
        return Tensor(from_host(lambda: random.standard_normal(shape, np.float32), self.run.device))

    def _update_discriminator(self, images: Array, fake: Tensor, update: Update) -> None:
        own, discriminator = self.own, self.networks["discriminator"]
        gamma = own.r1 or 0.0
        real = Tensor(images, requires_grad=gamma > 0)
        real_logits, fake_logits = discriminator(real), discriminator(fake)
        loss = self.loss.discriminator(real_logits, fake_logits)
        metrics = {"loss_d": loss.data, "d_real": self._answer(real_logits), "d_fake": self._answer(fake_logits)}
        if own.loss == "wgan-gp":
            penalty = gradient_penalty(discriminator, real.data, fake.data, self.random["penalty"])
            metrics["penalty"] = penalty.data
            loss = loss + penalty * own.gradient_penalty
        if gamma > 0:
            penalty = r1_penalty(real_logits, real)
            metrics["r1"] = penalty.data
            loss = loss + penalty * gamma
        update("d", loss, metrics)

    def _answer(self, logits: Tensor) -> Array:
        """Return D's mean answer: a probability if the loss makes it one."""
        return (logits.detach().sigmoid() if self.loss.probability else logits).data.mean()

    # Samples

    def inputs(self, rng: np.random.Generator, n: int, wish: Wish | None = None) -> Inputs:
        """Draw latent vectors, "z" float32 (n,latent), from N(0, truncation^2): nearer to the centre samples are more
        typical and less varied."""
        wish = wish or Wish()
        if wish.label is not None:
            raise ConfigError(f"runs of system {self.name} have no classes: leave the class {wish.label!r} out")
        return {"z": rng.standard_normal((n, self.own.latent), np.float32) * np.float32(wish.truncation)}

    def shown(self) -> Inputs:
        return {"z": self._shown}

    def forward(self, networks: Networks, inputs: Mapping[str, Array]) -> Tensor:
        return networks["generator"](Tensor(inputs["z"]))

    def watch(self, real: np.ndarray) -> GameWatch:
        return GameWatch(real, probability=self.loss.probability)

    def status(self, metrics: Mapping[str, float]) -> str:
        return game_status(metrics)
