"""`System`: what differs between one GAN and another. All else is the trainer's.

A system says which networks there are, how they take one step, what samples are drawn from, how they are shown and
judged, and which settings are its own. The loop, checkpoints, log, folder and commands know nothing more of it.

A complete small one is in docs/systems.md. Those of the package are the files of `scratchgan.systems`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from ..data import Dataset
from ..device import Array, to_device
from ..nn import Module
from ..optim import Adam
from ..recording import no_grad
from ..tensor import Tensor
from .curves import Panel
from .settings import ConfigError, Settings

if TYPE_CHECKING:
    from .config import RunSettings
    from .evaluation import Judge
    from .folder import RunFolder
    from .game import Batches, Update
    from .loaded import LoadedRun

#: What outputs are made from: arrays by name whose first axis counts the outputs (latent vectors, labels, photos).
Inputs = dict[str, np.ndarray]
Networks = Mapping[str, Module]


@dataclass(frozen=True)
class Wish:
    """What a person asks of samples: ``truncation`` from 0 to 1, typical and alike against varied; a class's name."""

    truncation: float = 1.0
    label: str | None = None


@dataclass(frozen=True)
class Ask:
    """How many outputs of a run are to be evaluated, by which seed, and how typical."""

    n: int = 5000
    seed: int = 0
    truncation: float = 1.0


class Report(Protocol):
    """The result of an evaluation."""

    def to_text(self) -> str:
        """A table for people."""

    def to_json(self) -> str:
        """All of it as JSON text."""


class System(ABC):
    """One kind of GAN: its networks, its step, and what can be done with a finished run.

    Class attributes:
        name: by which it is registered; summary: one line for lists of systems.
        Settings: its settings, a frozen dataclass with defaults; defaults: those of run settings that suit it.
        recipes: sets of settings by name, chosen by measurement.
        fields: what it takes of a batch, by the names that the data set gives ("image", "label").
        averaged: which networks have a moving average: the average's name in checkpoints -> the network's.
        drawn_with: the networks that outputs are made with; the others are for training.
        panels: what of the log is drawn as curves.
        kind: what it makes, in the plural; remedy: what to try when a run diverges.
        adapt_every: every so many steps `adapt` is called with the metrics; 0: never.

    Attributes:
        networks: those that are trained, saved and moved between devices, by name.
        random: its random generators by name, which are saved too.
        numbers: further state, numbers by name, saved too.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Settings: ClassVar[type[Settings]]
    defaults: ClassVar[Mapping[str, Any]] = {}
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    fields: ClassVar[tuple[str, ...]] = ("image",)
    averaged: ClassVar[Mapping[str, str]] = {}
    drawn_with: ClassVar[tuple[str, ...]] = ("generator",)
    panels: ClassVar[Sequence[Panel]] = ()
    kind: ClassVar[str] = "images"
    remedy: ClassVar[str] = "Try lower learning rates, in a new run"
    convolves: ClassVar[bool] = True  # whether kernels of convolutions are worth compiling ahead
    adapt_every: ClassVar[int] = 0
    chunk: ClassVar[int] = 64  # outputs that are computed at once

    run: RunSettings
    networks: dict[str, Module]
    random: dict[str, np.random.Generator]
    numbers: dict[str, float]

    # Before there is a run

    @classmethod
    @abstractmethod
    def open_data(cls, run: RunSettings, own: Any, *, quiet: bool = False) -> Dataset:
        """Open the data set that the settings name. Raises DataError."""

    @classmethod
    def complete(cls, run: RunSettings, own: Any, dataset: Dataset) -> tuple[RunSettings, Any]:
        """Decide what was left to the data, or to other settings. Raises ConfigError if it is other data."""
        return run, own

    @classmethod
    def migrated(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Return settings of an older version's config.json under today's names."""
        return settings

    @abstractmethod
    def __init__(self, run: RunSettings, own: Any):
        """Make the networks and random generators of completed settings. Raises ConfigError or ValueError."""

    # Training

    @abstractmethod
    def optimizers(self) -> dict[str, Adam]:
        """Return the optimisers by player ("g", "d"), made when the networks are on their device."""

    @abstractmethod
    def step(self, batch: Batches, update: Update) -> None:
        """Take one training step: ``batch.next()`` gives data, ``update(player, loss, metrics)`` changes weights."""

    def calls(self) -> dict[str, list[str]]:
        """Return what each call of a network in a step is for, in order, by the network's name; {} says nothing.

        The inspector shows the operators of a step in these parts.
        """
        return {}

    def phase(self, step: int) -> str:
        """Name the kind of step that step number ``step``, from 0, is: those of one kind run the same operators."""
        return ""

    def adapt(self, metrics: Mapping[str, float]) -> None:  # noqa: B027 (most systems have nothing to adapt)
        """Change `numbers` by what a step measured."""

    def prepare(self, fields: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Change a batch on the host, before it goes to the device (mirroring, say)."""
        return fields

    def average_decay(self, average: str) -> float:
        """Return the decay per step of a moving average."""
        return float(getattr(self.own, "ema_decay"))  # noqa: B009 (Settings has no such field for the type checker)

    own: Any

    # What a run shows of itself

    def watch(self, real: np.ndarray) -> Watch:
        """Return what looks out for signs that a run is going wrong; ``real`` as `finished` gives real ones."""
        return Watch()

    def status(self, metrics: Mapping[str, float]) -> str:
        """Return the newest metrics as one short line, for progress."""
        return "  ".join(f"{name} {value:.3g}" for name, value in metrics.items() if name.startswith("loss"))

    def title(self) -> str:
        """Return what stands beside the data set's name above the curves."""
        return self.name

    @abstractmethod
    def shown(self) -> Inputs:
        """Return the inputs whose outputs the pictures of a run show, the same at every step."""

    @abstractmethod
    def real(self, dataset: Dataset) -> np.ndarray:
        """Return some real data, as `finished` returns outputs."""

    @abstractmethod
    def picture(self, outputs: np.ndarray, columns: int | None = None) -> np.ndarray:
        """Return a picture (H,W,C) uint8 of outputs that are `finished`."""

    def picture_of_real(self, real: np.ndarray, dataset: Dataset) -> np.ndarray:
        """Return the picture (H,W,C) uint8 of what `real` gave."""
        return self.picture(real)

    def picture_of_step(self, outputs: np.ndarray, networks: Networks, real: np.ndarray, step: int) -> np.ndarray:
        """Return the picture (H,W,C) uint8 of a step; ``real`` is what `real` gave."""
        return self.picture(outputs)

    def finish(self, folder: RunFolder, text: dict[str, str]) -> None:  # noqa: B027 (most make nothing more)
        """Write what is made of a whole run's pictures; ``text`` says where they are from."""

    # Samples

    @abstractmethod
    def inputs(self, rng: np.random.Generator, n: int, wish: Wish | None = None) -> Inputs:
        """Draw the inputs of n samples. Raises ConfigError for a wish that the system has no answer to."""

    @abstractmethod
    def forward(self, networks: Networks, inputs: Mapping[str, Array]) -> Tensor:
        """Return what the networks make of inputs that are on their device."""

    def settled(self, networks: Networks) -> Networks:
        """Return the networks ready to draw samples, changing none: what is averaged may need something more."""
        return networks

    def finished(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs as a person has them: images as uint8 (N,H,W,C)."""
        return outputs

    def walk(self, inputs: Inputs, frames: int) -> Inputs:
        """Return ``frames`` inputs on a closed walk from each of the inputs to the next. Raises ConfigError if none."""
        raise ConfigError(f"there is nothing between two {self.kind} of a run of system {self.name} to walk through")

    def judge(self, dataset: Dataset, n: int, **reporting: Any) -> Judge:
        """Return what judges n outputs. Raises MetricError where it can't be."""
        raise ConfigError(f"runs of system {self.name} can't be judged as they go on: leave eval_every=0")

    def report(self, run: LoadedRun, dataset: Dataset, ask: Ask, **reporting: Any) -> Report:
        """Return how good a finished run's outputs are, beside what real data gets."""
        raise ConfigError(f"runs of system {self.name} can't be evaluated yet")

    def generate(self, networks: Networks, inputs: Inputs) -> np.ndarray:
        """Return the outputs of inputs, float32 on the CPU, computed ``chunk`` at a time without a graph."""
        count, parts = len(next(iter(inputs.values()))), []
        with no_grad():
            for i in range(0, count, self.chunk):
                here = {name: to_device(array[i : i + self.chunk], self.run.device) for name, array in inputs.items()}
                parts.append(to_device(self.forward(networks, here).data, "cpu"))
        return np.concatenate(parts)

    def files(self, out: Path) -> dict[str, Path]:
        """Return what a finished run has besides samples and curves, for a person to look at: name -> file."""
        return {}

    def next_commands(self, out: Path) -> list[str]:
        """Return command lines that a person may go on with after training."""
        return [f"scratchgan sample {out} --n 64 --out grid.png"]


class Watch:
    """Looks at a run's metrics and samples, and says what it sees and what to try; this one sees nothing."""

    def metrics(self, metrics: Mapping[str, float]) -> str | None:
        """Return a warning because of a step's metrics, or None."""
        return None

    def samples(self, step: int, outputs: np.ndarray) -> str | None:
        """Return a warning because of a step's samples, or None."""
        return None


def random_streams(seed: int, count: int) -> list[np.random.Generator]:
    """Return random generators that have nothing to do with each other; the n-th is the same for any count."""
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(count)]
