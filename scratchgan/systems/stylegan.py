"""StyleGAN: a generator that takes a style for every layer, so that two pictures can be mixed. docs/stylegan.md.

    z ─► mapping ─► w ─► one style a layer (0.9 of the time of two w's: style mixing) ─► synthesis ─► fake
    x ─► augment ─► D     fake ─► augment ─► D      non-saturating cross-entropy

Two regularisers are lazy: R1 in every 16th step and path length in every 4th, each multiplied by that number and
followed by an update of its own (Karras et al., 2020, appendix B). They are of slopes, in which what is only added has
no part (``partly``). Adam's learning rate and decay rates are corrected for the further updates.

Networks: `scratchgan.models.stylegan` and `stylegan_discriminator`.

Sources: T. Karras et al., "A style-based generator architecture for generative adversarial networks", 2019; "Analyzing
and improving the image quality of StyleGAN", 2020; "Training generative adversarial networks with limited data", 2020.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..cuda_graph import from_host
from ..device import Array
from ..models.stylegan import StyleGenerator, mix, mixing_mask
from ..models.stylegan_discriminator import StyleDiscriminator
from ..optim import Adam
from ..tensor import Tensor
from ..train import (
    Batches,
    ConfigError,
    Inputs,
    Networks,
    Panel,
    Update,
    Wish,
    random_streams,
    setting,
)
from ..train.augment import KINDS, Augment, Strength, mean_sign
from ..train.config import RunSettings
from ..train.curves import BLUE, ORANGE
from ..train.losses import LOSSES, r1_penalty
from ..train.path_length import PathLength
from .images import FID_PANEL, ImageSettings, ImageSystem
from .two_player import game_panels, game_status
from .walk import closed_walk
from .watch import GameWatch

#: What `augment` names: the kinds of transformations (`scratchgan.train.augment`).
_AUGMENTS: dict[str, tuple[str, ...]] = {"none": (), "blit": KINDS[:1], "geometric": KINDS[:2], "all": KINDS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class StyleganSettings(ImageSettings):
    """The settings of StyleGAN."""

    latent: int = setting(64, "numbers in a latent vector z, drawn from N(0, 1)", at_least=1)
    w: int = setting(64, "numbers in a style", at_least=1)
    depth: int = setting(4, "layers of the mapping from z to w", at_least=1)
    width: int = setting(32, "channels at the full size, doubled at half of it", at_least=1, option=True)
    widest: int = setting(128, "the most channels of any size", at_least=1)
    mixing: float = setting(0.9, "how many pictures in training have two styles", at_least=0, at_most=1)
    r1: float = setting(1.0, "gamma of the R1 penalty on D's gradient at real images; 0 is none", at_least=0)
    r1_every: int = setting(16, "steps from one R1 penalty to the next", at_least=1)
    path_length: float = setting(2.0, "weight of the path length penalty; 0 is none", at_least=0)
    path_every: int = setting(4, "steps from one path length penalty to the next", at_least=1)
    augment: str = setting(
        "none",
        "what is done to images before D sees them, for sets of few: blit (mirror, turn, move), geometric (and scale, "
        "stretch), all (and colours)",
        choices=tuple(_AUGMENTS),
        option=True,
    )
    augment_target: float = setting(
        0.6, "the augmentation grows while D calls more of the real images real than fake, by this part", below=1
    )
    augment_images: int = setting(50_000, "images in which the augmentation may go from none to all", at_least=1)
    lr_g: float = setting(2e-3, "Adam's learning rate for G", above=0)
    lr_d: float = setting(2e-3, "Adam's learning rate for D", above=0)
    betas: tuple[float, float] = setting((0.0, 0.99), "Adam's decay rates", at_least=0, below=1)
    ema_decay: float = setting(0.998, "decay per step of the average of G that draws samples", at_least=0, below=1)


class Stylegan(ImageSystem):
    """A mapping network and a synthesis network against a residual discriminator."""

    name = "stylegan"
    summary = "a style for every layer; mixes source A with source B"
    Settings = StyleganSettings
    own: StyleganSettings
    averaged: ClassVar[Mapping[str, str]] = {"ema": "generator"}
    remedy = "Try lower lr_g and lr_d, or a larger r1, in a new run"
    defaults: ClassVar[Mapping[str, Any]] = {"steps": 2000}
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "zoo": {"steps": 12_000, "mirror": False, "checkpoint_every": 500, "sample_every": 500, "ema_decay": 0.999},
    }

    def __init__(self, run: RunSettings, own: StyleganSettings):
        self.run, self.own = run, own
        init_g, init_d, shown, *streams = random_streams(run.seed, 9)
        names = ("latents", "noise", "mixing", "path", "augment", "mirror")
        self.random = dict(zip(names, streams, strict=True))
        channels, size, _ = self.shape
        sizes: dict[str, Any] = {"width": own.width, "widest": own.widest}
        self.networks = {
            "generator": StyleGenerator(size, channels, own.latent, own.w, depth=own.depth, **sizes, generator=init_g),
            "discriminator": StyleDiscriminator(size, channels, **sizes, generator=init_d),
            "path_length": PathLength(),
        }
        group = min(4, run.batch)
        if run.batch % group:
            raise ConfigError(f"batch={run.batch} can't be divided into groups of {group} for D: use a multiple of 4")
        self.loss = LOSSES["bce"]
        kinds = _AUGMENTS[own.augment]
        self._augment = Augment(self.random["augment"], kinds) if kinds else None
        self._strength = Strength(own.augment_target, own.augment_images)
        self.adapt_every = 1 if kinds else 0  # type: ignore[misc]  # only a run that augments has something to adapt
        self._shown = self.inputs(shown, 64)
        self.panels = [*game_panels(self.loss), _PATH, _AUGMENTATION, FID_PANEL]  # type: ignore[misc]

    @property
    def generator(self) -> StyleGenerator:
        """The generator that is trained."""
        return self.networks["generator"]  # type: ignore[return-value]

    def optimizers(self) -> dict[str, Adam]:
        own = self.own
        return {
            "g": _lazy_adam(self.networks["generator"], own.lr_g, own.betas, own.path_every if own.path_length else 0),
            "d": _lazy_adam(self.networks["discriminator"], own.lr_d, own.betas, own.r1_every if own.r1 else 0),
        }

    def phase(self, step: int) -> str:
        return f"r1 {self._is_r1(step)}, path length {self._is_path(step)}"

    def _is_r1(self, step: int) -> bool:
        return self.own.r1 > 0 and step % self.own.r1_every == 0

    def _is_path(self, step: int) -> bool:
        return self.own.path_length > 0 and step % self.own.path_every == 0

    def step(self, batch: Batches, update: Update) -> None:
        own, d = self.own, self.networks["discriminator"]
        images = batch.next()["image"]
        fake = self._fake(self.run.batch)[0]  # for both players: its graph, made before D changes, holds nothing of D
        real_logits = d(self._augmented(Tensor(images)))
        fake_logits = d(self._augmented(fake.detach()))
        loss = self.loss.discriminator(real_logits, fake_logits)
        answers = {"d_real": real_logits, "d_fake": fake_logits}
        metrics = {"loss_d": loss.data} | {k: v.detach().sigmoid().data.mean() for k, v in answers.items()}
        if self._augment is not None:
            metrics["sign_real"] = mean_sign(real_logits)
        update("d", loss, metrics)
        if self._is_r1(update.step):
            real = Tensor(images, requires_grad=True)
            penalty = r1_penalty(d(self._augmented(real)), real)
            update("d", penalty * (own.r1 * own.r1_every), {"r1": penalty.data}, norm="grad_r1", partly=True)
        update("g", self.loss.generator(d(self._augmented(fake))))
        if self._is_path(update.step):
            # On half a batch: a second derivative costs as much as the rest of G's step (Karras et al., 2020).
            images_of, ws = self._fake(max(self.run.batch // 2, 1))
            penalty = self.networks["path_length"](images_of, ws, self.random["path"])
            update(
                "g",
                penalty * (own.path_length * own.path_every),
                {"path_length": self.networks["path_length"].mean[0], "path_penalty": penalty.data},
                norm="grad_path",
                partly=True,
            )

    def _fake(self, n: int) -> tuple[Tensor, Tensor]:
        """Return n generated images with the styles (n,layers,w) that they were made of, and track the average w."""
        g, own, device = self.generator, self.own, self.run.device
        latents, noise, mixing = (self.random[name] for name in ("latents", "noise", "mixing"))

        def draw() -> Tensor:
            return g.mapping(Tensor(from_host(lambda: latents.standard_normal((n, own.latent), np.float32), device)))

        w = draw()
        g.track(w.detach())
        ws = g.spread(w)
        if own.mixing > 0:
            mask = from_host(lambda: mixing_mask(mixing, n, g.layers, own.mixing), device)
            ws = mix(mask, ws, g.spread(draw()))
        return g.synthesis(ws, Tensor(from_host(lambda: g.synthesis.draw_noise(noise, n), device))), ws

    def _augmented(self, images: Tensor) -> Tensor:
        if self._augment is None:
            return images
        self._augment.p = self._strength.p
        return self._augment(images)

    def adapt(self, metrics: Mapping[str, float]) -> None:
        self._strength.update(metrics["sign_real"], self.run.batch)

    @property
    def numbers(self) -> dict[str, float]:
        """The state of the augmentation's strength."""
        return self._strength.state_dict()

    @numbers.setter
    def numbers(self, numbers: dict[str, float]) -> None:
        self._strength.load_state_dict(numbers)

    # Samples

    def inputs(self, rng: np.random.Generator, n: int, wish: Wish | None = None) -> Inputs:
        """Draw "z" (n,latent), "noise" (n,noise_size), and "psi" (n,): w is drawn so far toward the average w."""
        wish = wish or Wish()
        if wish.label is not None:
            raise ConfigError(f"runs of system stylegan have no classes: leave the class {wish.label!r} out")
        return {
            "z": rng.standard_normal((n, self.own.latent), np.float32),
            "noise": self.generator.synthesis.draw_noise(rng, n),
            "psi": np.full(n, wish.truncation, np.float32),
        }

    def styles(self, networks: Networks, inputs: Mapping[str, Array]) -> Tensor:
        """Return the styles (N,layers,w) of inputs: their "ws", or those of "z", truncated by "psi"."""
        if "ws" in inputs:
            return Tensor(inputs["ws"])
        g: StyleGenerator = networks["generator"]  # type: ignore[assignment]
        w, average = g.mapping(Tensor(inputs["z"])), Tensor(g.w_average)
        return g.spread(average + (w - average) * Tensor(inputs["psi"][:, None]))

    def forward(self, networks: Networks, inputs: Mapping[str, Array]) -> Tensor:
        g: StyleGenerator = networks["generator"]  # type: ignore[assignment]
        return g.synthesis(self.styles(networks, inputs), Tensor(inputs["noise"]))

    def shown(self) -> Inputs:
        return self._shown

    def walk(self, inputs: Inputs, frames: int) -> Inputs:
        """Walk from z to z along the arc between them, with the noise of the first picture all the way."""
        repeated = {name: np.repeat(inputs[name][:1], frames, 0) for name in ("noise", "psi")}
        return {"z": closed_walk(inputs["z"], frames), **repeated}

    def watch(self, real: np.ndarray) -> GameWatch:
        return GameWatch(real, probability=True)

    def status(self, metrics: Mapping[str, float]) -> str:
        augmented = f"  augmentation {self._strength.p:.2f}" if self._augment is not None else ""
        return game_status(metrics) + augmented


_PATH = Panel("path length", (("running mean", "path_length", BLUE),))
_AUGMENTATION = Panel("real images that D calls real, less the others", (("E[sign D(x)]", "sign_real", ORANGE),))


def _lazy_adam(network: Any, lr: float, betas: tuple[float, float], every: int) -> Adam:
    """Return Adam for a network that is updated once more in every ``every``-th step (0: never).

    Karras et al., 2020, appendix B: learning rate c * lr and decay rates betas^c, with c = every / (every + 1), make
    the updates of a step as large together as one.
    """
    c = every / (every + 1) if every else 1.0
    return Adam(network.named_parameters(), lr * c, (betas[0] ** c if betas[0] else 0.0, betas[1] ** c))
