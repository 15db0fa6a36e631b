"""The two-player game: both networks, their optimisers, and the step that changes them.

One step is ``d_steps`` updates of the discriminator D and one of the generator G:

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
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import grad
from ..cuda_graph import CapturedStep, from_host
from ..device import Array, namespace, to_device
from ..models import make_discriminator, make_generator
from ..nn import Module, set_precision
from ..optim import Adam, ExponentialMovingAverage
from ..recording import no_grad
from ..tensor import Tensor
from .checkpoint import Checkpoint
from .config import TrainConfig
from .losses import LOSSES, bce_discriminator, gradient_penalty, r1_penalty

#: How many generated points a picture shows, of a run on points.
POINTS_SHOWN = 2_000


class DivergedError(ArithmeticError):
    """A loss or gradient is infinite or NaN. The weights are those from before the update that it was for."""


class Game:
    """Both networks of a run, and everything that changes them but the real images.

    Made of a config that is `TrainConfig.completed`. All that is random comes from generators of their own for each
    purpose, spawned from ``config.seed``.
    """

    def __init__(self, config: TrainConfig):
        self.config, shape = config, config.shape
        self.loss = LOSSES[config.loss]
        if config.label_smoothing:
            smoothed = partial(bce_discriminator, smoothing=config.label_smoothing)
            self.loss = dataclasses.replace(self.loss, discriminator=smoothed)
        streams = [np.random.default_rng(seed) for seed in np.random.SeedSequence(config.seed).spawn(5)]
        init_g, init_d, fixed, *rest = streams
        self.random = dict(zip(("latents", "penalty"), rest, strict=True))
        generator = make_generator(config.model, shape, config.latent, config.width, generator=init_g)
        self.generator = generator.to(config.device)
        discriminator = make_discriminator(config.model, shape, config.width, config.d_norm, generator=init_d)
        self.discriminator = discriminator.to(config.device)
        for network in (self.generator, self.discriminator):
            set_precision(network, None if config.precision == "float32" else config.precision)
        self.ema = ExponentialMovingAverage(self.generator, config.ema_decay, warmup=True)
        self.optimizer_g = Adam(self.generator.named_parameters(), config.lr_g, config.betas)
        self.optimizer_d = Adam(self.discriminator.named_parameters(), config.lr_d, config.betas)
        shown = 64 if len(shape) == 3 else POINTS_SHOWN
        self.fixed_latents = fixed.standard_normal((shown, config.latent), np.float32)
        self._captured: CapturedStep | None = None
        self._measured: dict[str, Array] | Array = {}

    def step(self, next_batch: Callable[[], np.ndarray]) -> dict[str, float]:
        """Update both networks once (D ``d_steps`` times) and return the metrics of `scratchgan.train.log`.

        ``next_batch`` returns real images, float32 (B,C,H,W) in [-1, 1], or points (B,2). Raises DivergedError.
        """
        self.advance(next_batch)
        return self.metrics()

    def advance(self, next_batch: Callable[[], np.ndarray]) -> None:
        """Do what `step` does, without waiting for a GPU; what it measured is there for `metrics`."""
        self._set_learning_rates()
        self._next_batch = next_batch
        if not self.config.cuda_graph:
            self._measured = self._update()
            return
        if self._captured is None:
            self._captured = CapturedStep(self._update_together, self._slots)
        self._measured = self._captured()

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the newest step. Raises DivergedError; on a GPU this waits for the step."""
        if isinstance(self._measured, dict):
            return _checked(_numbers(self._measured))
        return _checked(dict(zip(self._names, to_device(self._measured, "cpu").tolist(), strict=True)))

    def _update(self) -> dict[str, Array]:
        """Update both networks, and return the metrics where they were computed."""
        for _ in range(self.config.d_steps - 1):
            with no_grad():
                fake = self.generator(self._latents())
            self._update_discriminator(fake)
        fake = self.generator(self._latents())
        metrics = self._update_discriminator(fake.detach())
        metrics |= self._update_generator(fake)
        self.ema.update(self.generator)
        return metrics

    def _update_together(self) -> Array:
        metrics = self._update()
        self._names = list(metrics)
        return _together(metrics)

    def _slots(self) -> list[tuple[Any, str]]:
        """Return where a step may bind new arrays."""
        return [slot for net in (self.generator, self.discriminator, self.ema.module) for slot in net.slots()]

    def _set_learning_rates(self) -> None:
        """Set the learning rates of this step, if they are not to stay as they are."""
        if self.config.lr_end == 1:
            return
        part = learning_rate_part(self.config, self.ema.updates)
        self.optimizer_g.lr, self.optimizer_d.lr = self.config.lr_g * part, self.config.lr_d * part

    def _latents(self) -> Tensor:
        random, shape = self.random["latents"], (self.config.batch, self.config.latent)
        return Tensor(from_host(lambda: random.standard_normal(shape, np.float32), self.config.device))

    def _real_images(self) -> np.ndarray:
        batch = self._next_batch()
        batch.flags.writeable = False  # it is ours, and what cannot change need not be watched for changes
        return batch

    def _update_discriminator(self, fake: Tensor) -> dict[str, Array]:
        gamma = self.config.r1 or 0.0
        real = Tensor(from_host(self._real_images, self.config.device), requires_grad=gamma > 0)
        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
        loss = self.loss.discriminator(real_logits, fake_logits)
        metrics = {"loss_d": loss.data, "d_real": self._answer(real_logits), "d_fake": self._answer(fake_logits)}
        if self.config.loss == "wgan-gp":
            penalty = gradient_penalty(self.discriminator, real.data, fake.data, self.random["penalty"])
            metrics["penalty"] = penalty.data
            loss = loss + penalty * self.config.gradient_penalty
        if gamma > 0:
            penalty = r1_penalty(real_logits, real)
            metrics["r1"] = penalty.data
            loss = loss + penalty * gamma
        gradients = grad(loss, self.discriminator.parameters(), retain_graph=False)
        metrics["grad_d"] = _norm(gradients)
        _check_on_cpu(metrics)
        self.optimizer_d.step(gradients)
        return metrics

    def _update_generator(self, fake: Tensor) -> dict[str, Array]:
        loss = self.loss.generator(self.discriminator(fake))
        gradients = grad(loss, self.generator.parameters(), retain_graph=False)
        metrics = {"loss_g": loss.data, "grad_g": _norm(gradients)}
        _check_on_cpu(metrics)
        self.optimizer_g.step(gradients)
        return metrics

    def _answer(self, logits: Tensor) -> Array:
        """Return D's mean answer: a probability if the loss makes it one."""
        return (logits.detach().sigmoid() if self.loss.probability else logits).data.mean()

    # Checkpoints

    def arrays(self) -> dict[str, np.ndarray]:
        """Return every array that the game's future depends on, as `Checkpoint.section` finds them again."""
        parts: dict[str, dict[str, np.ndarray]] = {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
        }
        parts |= {name: part.state_dict()["arrays"] for name, part in self._stateful().items()}
        return {f"{part}.{key}": array for part, arrays in parts.items() for key, array in arrays.items()}

    def state(self) -> dict[str, Any]:
        """Return everything else that its future depends on, as JSON values."""
        numbers = {name: part.state_dict()["numbers"] for name, part in self._stateful().items()}
        return {"numbers": numbers, "random": {name: rng.bit_generator.state for name, rng in self.random.items()}}

    def load(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint. Raises ValueError or KeyError if it is not of this config's networks."""
        self.generator.load_state_dict(checkpoint.section("generator"))
        self.discriminator.load_state_dict(checkpoint.section("discriminator"))
        for name, part in self._stateful().items():
            part.load_state_dict({"numbers": checkpoint.state["numbers"][name], "arrays": checkpoint.section(name)})
        self._captured = None  # it has the addresses of the arrays before
        for name, rng in self.random.items():
            rng.bit_generator.state = checkpoint.state["random"][name]

    def _stateful(self) -> dict[str, Adam | ExponentialMovingAverage]:
        return {"ema": self.ema, "optimizer_g": self.optimizer_g, "optimizer_d": self.optimizer_d}


def learning_rate_part(config: TrainConfig, step: int) -> float:
    """Return the part of their learning rates that the networks have at a step, counted from 0.

    It falls from 1 to ``lr_end`` along half a cosine in ``lr_steps``, and stays there (I. Loshchilov and F. Hutter,
    "SGDR", 2017, equation 5, without restarts).
    """
    if config.lr_end == 1 or config.lr_steps is None:
        return 1.0
    done = min(step / config.lr_steps, 1.0)
    return config.lr_end + (1 - config.lr_end) * 0.5 * (1 + math.cos(math.pi * done))


def draw(generator: Module, latents: np.ndarray, device: str, chunk: int = 64) -> np.ndarray:
    """Run a generator on latents (N,latent), ``chunk`` at a time; returns float32 images (N,C,H,W), or points (N,2)."""
    with no_grad():
        parts = [
            to_device(generator(Tensor(to_device(latents[i : i + chunk], device))).data, "cpu")
            for i in range(0, len(latents), chunk)
        ]
    return np.concatenate(parts)


def _norm(gradients: Sequence[Tensor]) -> Array:
    """Return the Euclidean norm of all gradients together, where they are."""
    total = kernels.foreach_square_sum([g.data for g in gradients])
    return namespace(total).sqrt(total)


def _together(metrics: dict[str, Array]) -> Array:
    """Return scalars on a GPU as one array there, float64."""
    values = list(metrics.values())
    together = namespace(values[0]).empty(len(values), np.float64)
    for i, value in enumerate(values):  # CuPy's stack would copy a table of addresses from the host
        together[i] = value.reshape(())
    return together


def _numbers(metrics: dict[str, Array]) -> dict[str, float]:
    """Return scalars as Python numbers; from a GPU in one copy, the one time in a step that the host waits for it."""
    if isinstance(next(iter(metrics.values())), (np.ndarray, np.generic)):
        return {name: float(value) for name, value in metrics.items()}
    return dict(zip(metrics, to_device(_together(metrics), "cpu").tolist(), strict=True))


def _check_on_cpu(metrics: dict[str, Array]) -> None:
    """Stop before an update with numbers that are not finite. On a GPU this would wait for it: there the step's end
    checks, when the parameters have been updated."""
    if isinstance(next(iter(metrics.values())), (np.ndarray, np.generic)):
        _checked(_numbers(metrics))


def _checked(metrics: dict[str, float]) -> dict[str, float]:
    """Return ``metrics``; DivergedError if one is not finite."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            who = "G" if name.endswith("_g") else "D"
            raise DivergedError(f"{name} of {who}'s update is {value}")
    return metrics
