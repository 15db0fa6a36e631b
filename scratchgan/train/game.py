"""The game: a system's networks with their optimisers and averages, and the one place where a step changes them.

    Batches  ──►  System.step  ──►  Update("d", loss)  ──►  gradients, their norm, finite?  ──►  Adam
                                    Update("g", loss)  ──►  ...
                                                            at the end of the step: the moving averages

What a system's step computes on the device can be captured as one CUDA graph (`scratchgan.cuda_graph`); steps of
another `System.phase` are another graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import grad
from ..cuda_graph import CapturedStep, from_host
from ..device import Array, namespace, to_device
from ..nn import Module, set_precision
from ..optim import Adam, ExponentialMovingAverage
from ..tensor import Tensor
from .checkpoint import Checkpoint
from .config import RunSettings, TrainConfig
from .settings import ConfigError
from .system import System

Draw = Callable[[], Mapping[str, np.ndarray]]  # returns the fields of the next batch, as `Loader` yields them


class DivergedError(ArithmeticError):
    """A loss or gradient is infinite or NaN. The weights are those from before the update that it was for."""


class Batches:
    """The data of a step: `next` gives the fields that the system asked for, on its device."""

    def __init__(self, draw: Draw, system: System):
        self._draw, self._system = draw, system

    def next(self) -> dict[str, Array]:
        """Return the next batch: "image" float32 (B,C,H,W) in [-1, 1], "label" int64 (B,), ..."""
        names = self._system.fields
        fields: dict[str, np.ndarray] = {}

        def field(name: str) -> np.ndarray:
            if name == names[0]:  # a captured step calls this again, for one field after the other
                fields.update(self._system.prepare(self._draw()))
            if name not in fields:
                raise ConfigError(
                    f"system {self._system.name} takes {name!r} of a batch, which has {', '.join(fields)}"
                )
            array = fields[name]
            array.flags.writeable = False  # it is ours, and what cannot change need not be watched for changes
            return array

        return {name: from_host(partial(field, name), self._system.run.device) for name in names}


class Update:
    """How a step changes weights: one call for each player's turn."""

    def __init__(self, optimizers: Mapping[str, Adam], step: int):
        self.step = step  #: the number of this step, from 0
        self.metrics: dict[str, Array] = {}
        self._optimizers = optimizers

    def __call__(
        self,
        player: str,
        loss: Tensor,
        metrics: Mapping[str, Array] | None = None,
        *,
        norm: str | None = None,
        partly: bool = False,
    ) -> None:
        """Move a player's weights one step of its optimiser down the gradient of ``loss``, a Tensor of one number.

        ``metrics``: scalars to log, where they were computed; "loss_<player>" is ``loss`` unless they name it. The
        gradient's Euclidean norm is logged as ``norm``, "grad_<player>" unless given. ``partly``: the loss need not
        depend on every weight. Raises DivergedError, on the CPU before a weight is changed.
        """
        optimizer = self._optimizers[player]
        measured = dict({f"loss_{player}": loss.data} if metrics is None else metrics)
        gradients = grad(loss, optimizer.parameters, retain_graph=False, allow_unused=partly)
        measured[norm or f"grad_{player}"] = _norm(gradients)
        _check_on_cpu(measured)
        optimizer.step(gradients)
        self.metrics |= measured


class Game:
    """A system in training: everything that changes its networks, but the data.

    Made of a config that is `TrainConfig.completed`. All that is random comes from the system's own generators.
    """

    def __init__(self, config: TrainConfig):
        self.config = config
        self.system = config.kind(config.run, config.own)
        for network in self.networks.values():
            network.to(config.run.device)
            set_precision(network, None if config.run.precision == "float32" else config.run.precision)
        self.averages = {
            average: ExponentialMovingAverage(self.networks[name], self.system.average_decay(average), warmup=True)
            for average, name in self.system.averaged.items()
        }
        self.optimizers = self.system.optimizers()
        self.steps = 0  #: steps done
        self._rates = {player: optimizer.lr for player, optimizer in self.optimizers.items()}
        self._captured: dict[str, CapturedStep] = {}
        self._names: dict[str, list[str]] = {}  # of the metrics of a captured step, by phase
        self._measured: dict[str, Array] | Array = {}

    @property
    def networks(self) -> dict[str, Module]:
        """The networks by name."""
        return self.system.networks

    def drawing(self) -> dict[str, Module]:
        """Return the networks that samples are drawn with: averages in the places of what they average."""
        averages = {name: self.averages[average].module for average, name in self.system.averaged.items()}
        return self.networks | averages

    def advance(self, draw: Draw) -> None:
        """Take one step, without waiting for a GPU; what it measured is there for `metrics`. Raises DivergedError."""
        self._set_learning_rates()
        self._draw = draw
        if self.config.run.cuda_graph:
            phase = self.system.phase(self.steps)
            if phase not in self._captured:
                self._captured[phase] = CapturedStep(partial(self._play_together, phase), self._slots)
            self._measured, self._phase = self._captured[phase](), phase
        else:
            self._measured = self._play()
        self.steps += 1
        if self.system.adapt_every and self.steps % self.system.adapt_every == 0:
            self.system.adapt(self.metrics())

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the newest step. Raises DivergedError; on a GPU this waits for the step."""
        if isinstance(self._measured, dict):
            return _checked(_numbers(self._measured))
        values = to_device(self._measured, "cpu").tolist()
        return _checked(dict(zip(self._names[self._phase], values, strict=True)))

    def _play(self) -> dict[str, Array]:
        """Take the system's step and move the averages; return the metrics where they were computed."""
        update = Update(self.optimizers, self.steps)
        self.system.step(Batches(lambda: self._draw(), self.system), update)
        for average, name in self.system.averaged.items():
            self.averages[average].update(self.networks[name])
        return update.metrics

    def _play_together(self, phase: str) -> Array:
        metrics = self._play()
        self._names[phase] = list(metrics)
        return _together(metrics)

    def _slots(self) -> list[tuple[Any, str]]:
        """Return where a step may bind new arrays."""
        modules = [*self.networks.values(), *(average.module for average in self.averages.values())]
        return [slot for module in modules for slot in module.slots()]

    def _set_learning_rates(self) -> None:
        """Set the learning rates of this step, if they are not to stay as they are."""
        if self.config.run.lr_end == 1:
            return
        part = learning_rate_part(self.config.run, self.steps)
        for player, optimizer in self.optimizers.items():
            optimizer.lr = self._rates[player] * part

    # Checkpoints

    def arrays(self) -> dict[str, np.ndarray]:
        """Return every array that the game's future depends on, as `Checkpoint.section` finds them again."""
        parts: dict[str, dict[str, np.ndarray]] = {name: net.state_dict() for name, net in self.networks.items()}
        parts |= {name: part.state_dict()["arrays"] for name, part in self._stateful().items()}
        return {f"{part}.{key}": array for part, arrays in parts.items() for key, array in arrays.items()}

    def state(self) -> dict[str, Any]:
        """Return everything else that its future depends on, as JSON values."""
        numbers = {name: part.state_dict()["numbers"] for name, part in self._stateful().items()}
        random = {name: rng.bit_generator.state for name, rng in self.system.random.items()}
        return {"numbers": numbers, "random": random, "system": dict(self.system.numbers)}

    def load(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint. Raises ValueError or KeyError if it is not of this config's networks."""
        for name, network in self.networks.items():
            network.load_state_dict(checkpoint.section(name))
        for name, part in self._stateful().items():
            part.load_state_dict({"numbers": checkpoint.state["numbers"][name], "arrays": checkpoint.section(name)})
        self._captured = {}  # they have the addresses of the arrays before
        for name, rng in self.system.random.items():
            rng.bit_generator.state = checkpoint.state["random"][name]
        saved = checkpoint.state.get("system", {})  # checkpoints from before systems have none, and need none
        self.system.numbers = {name: saved[name] for name in self.system.numbers}
        self.steps = checkpoint.state["step"]

    def _stateful(self) -> dict[str, Adam | ExponentialMovingAverage]:
        optimizers = {f"optimizer_{player}": optimizer for player, optimizer in self.optimizers.items()}
        return {**self.averages, **optimizers}


def learning_rate_part(run: RunSettings, step: int) -> float:
    """Return the part of their learning rates that the networks have at a step, counted from 0.

    It falls from 1 to ``lr_end`` along half a cosine in ``lr_steps``, and stays there (I. Loshchilov and F. Hutter,
    "SGDR", 2017, equation 5, without restarts).
    """
    if run.lr_end == 1 or run.lr_steps is None:
        return 1.0
    done = min(step / run.lr_steps, 1.0)
    return run.lr_end + (1 - run.lr_end) * 0.5 * (1 + math.cos(math.pi * done))


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
            raise DivergedError(f"{name} is {value}")
    return metrics
