"""BigGAN: a generator and a discriminator that are told the class. docs/biggan.md.

    z, class ─► G ─► fake        x, its class ─► D ─┐
                      └─ the same class ─► D ───────┴─► hinge loss

A step is ``d_steps`` updates of D and one of G. The losses of ``accumulate`` batches are added up before an update,
which is the gradient of a batch so many times as large, though batch normalisation sees each batch alone. Their graphs
are kept until then, so the memory grows with their number (`optim.mean_gradients` keeps one at a time).

Samples are drawn by the averaged G with standing statistics, and with latent numbers beyond a threshold drawn again
(truncation). Networks: `scratchgan.models.biggan`.

Source: A. Brock et al., "Large scale GAN training for high fidelity natural image synthesis", 2019.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .. import ops
from ..cuda_graph import from_host
from ..data import Dataset
from ..device import Array, namespace, to_device
from ..models.biggan import Discriminator, Generator, standing_statistics, truncated_normal
from ..nn import Module
from ..optim import Adam
from ..recording import no_grad
from ..tensor import Tensor
from ..train import Batches, ConfigError, Inputs, Networks, Update, Wish, random_streams, setting
from ..train.config import RunSettings
from ..train.losses import LOSSES
from .images import FID_PANEL, ImageSettings, ImageSystem
from .two_player import adam_of_both, game_panels, game_status
from .walk import closed_walk
from .watch import GameWatch

_SEPARATOR = "; "


@dataclasses.dataclass(frozen=True, kw_only=True)
class BigganSettings(ImageSettings):
    """The settings of BigGAN."""

    latent: int = setting(60, "numbers in a latent vector z, shared out to the blocks", at_least=2)
    width: int = setting(32, "channels at the full size, doubled at half of it, up to 8 times", at_least=8, option=True)
    embedding: int = setting(32, "numbers in a class's vector", at_least=1)
    attention: int = setting(
        0, "size at which pixels look at each other (half of the image's, say); 0: none", at_least=0
    )
    classes: str | None = setting(None, "the classes' names in the order of their labels (none: those of the data)")
    d_steps: int = setting(1, "updates of D for each update of G", at_least=1)
    accumulate: int = setting(1, "batches whose gradients make one update", at_least=1)
    lr_g: float = setting(4e-4, "Adam's learning rate for G", above=0)
    lr_d: float = setting(8e-4, "Adam's learning rate for D", above=0)
    betas: tuple[float, float] = setting((0.0, 0.99), "Adam's decay rates", at_least=0, below=1)
    ema_decay: float = setting(0.998, "decay per step of the average of G that draws samples", at_least=0, below=1)
    standing: int = setting(16, "batches of which the averaged G's statistics are taken before it draws", at_least=1)


class Biggan(ImageSystem):
    """Class-conditional residual networks with spectral normalisation and the hinge loss."""

    name = "biggan"
    summary = "images of the class that is asked for"
    Settings = BigganSettings
    own: BigganSettings
    fields = ("image", "label")
    averaged: ClassVar[Mapping[str, str]] = {"ema": "generator"}
    remedy = "Try lower lr_g and lr_d, or a larger batch (accumulate), in a new run"
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 64, "steps": 2000}
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "zoo": {"data": "fashion-mnist", "steps": 12_000, "checkpoint_every": 500, "sample_every": 500},
    }

    @classmethod
    def complete(cls, run: RunSettings, own: BigganSettings, dataset: Dataset) -> tuple[RunSettings, BigganSettings]:
        run, own = super().complete(run, own, dataset)
        if dataset.labels is None:
            raise ConfigError(
                f"{dataset.name} has no labels, and biggan learns classes: give a folder of one folder for each "
                "class, an .npz with labels, or toyfaces, fashion-mnist or mnist"
            )
        counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
        rare = [name for name, count in zip(dataset.classes, counts, strict=True) if count < 2]
        if len(counts) < 2 or rare:
            raise ConfigError(
                f"{dataset.name}: biggan needs two classes or more, with at least 2 images each; "
                + (f"too few are of {', '.join(rare)}" if rare else f"there is only {dataset.classes[0]}")
            )
        names = _SEPARATOR.join(name.replace(_SEPARATOR.strip(), ",") for name in dataset.classes)
        if own.classes not in (None, names):
            raise ConfigError(f"classes={own.classes}, but those of {dataset.name} are {names}")
        return run, dataclasses.replace(own, classes=names)

    def __init__(self, run: RunSettings, own: BigganSettings):
        self.run, self.own, self.numbers = run, own, {}
        if own.classes is None:
            raise ConfigError("classes must be decided in the config of a run")
        self.classes = own.classes.split(_SEPARATOR)
        init_g, init_d, shown, *streams = random_streams(run.seed, 6)
        self.random = dict(zip(("latents", "labels", "mirror"), streams, strict=True))
        channels, size, _ = self.shape
        sizes: dict[str, Any] = {"width": own.width, "attention": own.attention}
        count = len(self.classes)
        self.networks = {
            "generator": Generator(
                size, channels, count, own.latent, embedding=own.embedding, **sizes, generator=init_g
            ),
            "discriminator": Discriminator(size, channels, count, **sizes, generator=init_d),
        }
        self.loss = LOSSES["hinge"]
        self.panels = [*game_panels(self.loss), FID_PANEL]  # type: ignore[misc]
        rows = min(count, 10)
        self._shown: Inputs = {
            "z": truncated_normal(shown, (rows * 8, own.latent)),
            "label": np.repeat(np.arange(rows), 8),
        }

    def optimizers(self) -> dict[str, Adam]:
        return adam_of_both(self.networks, self.own)

    def step(self, batch: Batches, update: Update) -> None:
        g, parts = self.networks["generator"], self.own.accumulate
        for turn in range(self.own.d_steps):
            fakes = []
            total, answers = None, [0.0, 0.0]
            for _ in range(parts):
                z, labels = self._latents()
                if turn == self.own.d_steps - 1:  # G is updated on these: its graph holds nothing of D
                    fake = g(z, labels)
                else:
                    with no_grad():
                        fake = g(z, labels)
                fakes.append((fake, labels))
                loss, means = self._loss_of_d(batch.next(), fake.detach(), labels)
                total = loss if total is None else total + loss
                answers = [sum_ + mean / parts for sum_, mean in zip(answers, means, strict=True)]
            assert total is not None
            update("d", total, {"loss_d": total.data, "d_real": answers[0], "d_fake": answers[1]})
        losses = [self.loss.generator(self.networks["discriminator"](fake, labels)) for fake, labels in fakes]
        update("g", sum(losses[1:], losses[0]) * (1 / parts))

    def calls(self) -> dict[str, list[str]]:
        parts, turns = self.own.accumulate, self.own.d_steps
        return {
            "discriminator": ["D on real and fake"] * (parts * turns) + ["G through D"] * parts,
            "generator": ["G"] * (parts * turns),
        }

    def _loss_of_d(self, real: Mapping[str, Array], fake: Tensor, labels: Array) -> tuple[Tensor, tuple[Any, Any]]:
        """Return D's loss as a part of an update, and its mean answers for real and generated images.

        D sees both in one pass, so that the power iterations of its spectral norms run once.
        """
        n = len(fake)
        both = namespace(labels).concatenate([real["label"], labels])
        logits = self.networks["discriminator"](ops.concatenate([Tensor(real["image"]), fake]), both)
        loss = self.loss.discriminator(logits[:n], logits[n:]) * (1 / self.own.accumulate)
        return loss, (logits.data[:n].mean(), logits.data[n:].mean())

    def _latents(self) -> tuple[Tensor, Array]:
        n, latents, labels = self.run.batch, self.random["latents"], self.random["labels"]
        z = from_host(lambda: latents.standard_normal((n, self.own.latent), np.float32), self.run.device)
        rows = from_host(lambda: self._rows(labels.integers(len(self.classes), size=n)), self.run.device)
        return Tensor(z), rows

    def _rows(self, labels: np.ndarray) -> np.ndarray:
        """Return labels (N,) as rows (N,classes) with a single 1: a captured step takes no indices."""
        return np.eye(len(self.classes), dtype=np.float32)[labels]

    def prepare(self, fields: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        fields = super().prepare(fields)
        return {**fields, "label": self._rows(fields["label"])}

    # Samples

    def settled(self, networks: Networks) -> Networks:
        """Return the networks with a generator that has standing statistics, those of no step's weights but its own."""
        generator: Module = copy.deepcopy(networks["generator"])
        rng, device = np.random.default_rng(0), self.run.device
        batches = []
        for _ in range(self.own.standing):
            drawn = self.inputs(rng, self.run.batch)
            batches.append((Tensor(to_device(drawn["z"], device)), to_device(drawn["label"], device)))
        standing_statistics(generator, batches)
        return {**networks, "generator": generator.eval()}

    def label_of(self, name: str) -> int:
        """Return the label of a class by its name, whatever its case. Raises ConfigError that lists the classes."""
        lower = [known.lower() for known in self.classes]
        if name.lower() in lower:
            return lower.index(name.lower())
        nearest = difflib.get_close_matches(name.lower(), lower, n=1)
        hint = f" (did you mean {self.classes[lower.index(nearest[0])]!r}?)" if nearest else ""
        raise ConfigError(f"there is no class {name!r}{hint}; the classes are {', '.join(self.classes)}, or all")

    def inputs(self, rng: np.random.Generator, n: int, wish: Wish | None = None) -> Inputs:
        """Draw "z" (n,latent), truncated, and "label" (n,): all of the class that is wished for, or as many of each.

        A truncation of 1 is none; below it, latent numbers beyond twice the truncation are drawn again (so 0.5 keeps
        them within 1).
        """
        wish = wish or Wish()
        if 0 < wish.truncation < 0.005:
            raise ConfigError(f"truncation {wish.truncation} is too small: numbers so near to 0 are hardly ever drawn")
        if wish.truncation == 0:
            z = np.zeros((n, self.own.latent), np.float32)
        elif wish.truncation < 1:
            z = truncated_normal(rng, (n, self.own.latent), 2 * wish.truncation)
        else:
            z = truncated_normal(rng, (n, self.own.latent))
        count = len(self.classes)
        if wish.label is None:
            label = rng.integers(count, size=n)
        elif wish.label == "all":
            label = np.arange(n) * count // n  # in order: a row of each
        else:
            label = np.full(n, self.label_of(wish.label))
        return {"z": z, "label": label}

    def shown(self) -> Inputs:
        return self._shown

    def forward(self, networks: Networks, inputs: Mapping[str, Array]) -> Tensor:
        return networks["generator"](Tensor(inputs["z"]), inputs["label"])

    def picture_of_step(self, outputs: np.ndarray, networks: Networks, real: np.ndarray, step: int) -> np.ndarray:
        """A row for each class, of the first ten."""
        return self.picture(outputs, 8)

    def walk(self, inputs: Inputs, frames: int) -> Inputs:
        """Walk from z to z along the arc between them, and from class to class by mixing their vectors."""
        count, stops = len(self.classes), len(inputs["z"])
        rows = np.eye(count, dtype=np.float32)[inputs["label"]]
        place = np.arange(frames) * stops / frames
        here, part = place.astype(int), (place % 1)[:, None].astype(np.float32)
        return {
            "z": closed_walk(inputs["z"], frames),
            "label": (1 - part) * rows[here] + part * rows[(here + 1) % stops],
        }

    def watch(self, real: np.ndarray) -> GameWatch:
        return GameWatch(real, probability=False)

    def status(self, metrics: Mapping[str, float]) -> str:
        return game_status(metrics)
