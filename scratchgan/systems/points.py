"""A GAN on points in the plane, whose every mistake can be seen. Networks: `scratchgan.models.mlp`; docs/points.md."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..data import POINT_SETS, DataError, Dataset, PointDataset, point_dataset
from ..data.points import POINTS_COUNT, ModeScore
from ..device import to_device
from ..models import make_discriminator, make_generator
from ..recording import no_grad
from ..tensor import Tensor
from ..train import ConfigError, Inputs, Networks, random_streams, setting
from ..train.config import RunSettings
from ..train.folder import RunFolder
from ..train.loaded import LoadedRun
from ..train.system import Ask
from .point_pictures import FIELD_SIDE, assemble_film, draw_points, field_places
from .two_player import TwoPlayer, TwoPlayerSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class PointSettings(TwoPlayerSettings):
    """The settings of a GAN on points.

    R1 draws D's gradient to 0 where the real points are, so that the game comes to rest there; without momentum
    (beta1 = 0) it does not swing, and falling learning rates let G's points settle on the modes.
    """

    latent: int = setting(2, "numbers in a latent vector z, drawn from N(0, 1)", at_least=1)
    width: int = setting(128, "units in a hidden layer", at_least=1)
    d_norm: str = setting("auto", "normalisation in D; auto: none", choices=("auto", "none", "spectral"))
    r1: float | None = setting(0.1, "gamma of the R1 penalty on D's gradient at real points; 0 is none", at_least=0)
    ema_decay: float = setting(0.995, "decay per step of the average of G that draws samples", at_least=0, below=1)


class Points(TwoPlayer):
    """Two small networks; a picture shows G's points over D's answer for every place."""

    name = "points"
    summary = "a GAN on points in the plane, and a film of its training"
    Settings = PointSettings
    own: PointSettings
    kind = "points"
    convolves = False
    chunk = 2_000
    count_shown = 2_000
    defaults: ClassVar[Mapping[str, Any]] = {
        "data": "ring8",
        "batch": 256,
        "steps": 3000,
        "lr_end": 0.02,
        "checkpoint_every": 500,
    }
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"points": {}}

    @classmethod
    def open_data(cls, run: RunSettings, own: PointSettings, *, quiet: bool = False) -> PointDataset:
        if run.data not in POINT_SETS:
            raise DataError(f"{run.data} are no points; there are {', '.join(POINT_SETS)}")
        return point_dataset(run.data, run.limit or POINTS_COUNT)

    @classmethod
    def complete(cls, run: RunSettings, own: PointSettings, dataset: Dataset) -> tuple[RunSettings, PointSettings]:
        if len(dataset.shape) != 1:
            raise ConfigError(f"{dataset.name} are images, and system {cls.name} is for points: train another on them")
        for name, value in (("size", run.size), ("channels", run.channels)):
            if value is not None:
                raise ConfigError(f"{name}={value} is for images, and {run.data} are points")
        return run, dataclasses.replace(own, **own.decided(norms=False))

    @classmethod
    def migrated(cls, settings: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in settings.items() if name != "model"}

    def __init__(self, run: RunSettings, own: PointSettings):
        super().__init__(run, own)
        init_g, init_d, fixed, latents, penalty = random_streams(run.seed, 5)
        self.random = {"latents": latents, "penalty": penalty}
        d_norm = "none" if own.d_norm == "auto" else own.d_norm
        self.networks = {
            "generator": make_generator("mlp", (2,), own.latent, own.width, generator=init_g),
            "discriminator": make_discriminator("mlp", (2,), own.width, d_norm, generator=init_d),
        }
        self._shown = self.inputs(fixed, self.count_shown)["z"]

    def title(self) -> str:
        return self.own.loss

    def real(self, dataset: Dataset) -> np.ndarray:
        assert isinstance(dataset, PointDataset)
        self._dataset = dataset
        return dataset.images(np.arange(min(self.count_shown, len(dataset))))

    def picture(self, outputs: np.ndarray, columns: int | None = None) -> np.ndarray:
        return draw_points(outputs[:0], outputs)

    def picture_of_real(self, real: np.ndarray, dataset: Dataset) -> np.ndarray:
        return draw_points(real, None, caption=repr(dataset)[1:-1])

    def picture_of_step(self, outputs: np.ndarray, networks: Networks, real: np.ndarray, step: int) -> np.ndarray:
        """Draw the points over what D answers at every place."""
        with no_grad():
            answers = networks["discriminator"](Tensor(to_device(field_places(), self.run.device)))
        field = to_device(answers.data, "cpu").reshape(FIELD_SIDE, FIELD_SIDE)
        score = self._dataset.score(outputs)
        return draw_points(real, outputs, field=field, caption=f"step {step:,}    {score}")

    def report(self, run: LoadedRun, dataset: Dataset, ask: Ask, **reporting: Any) -> PointReport:
        """Points need no evaluator: their modes are known. The floor is as many real points, of another seed."""
        assert isinstance(dataset, PointDataset)
        score = dataset.score(run.sample(ask.n, ask.seed, ask.truncation))
        floor = dataset.score(point_dataset(dataset.name, ask.n, seed=1).points)
        return PointReport(ask.n, run.step, score, floor)

    def finish(self, folder: RunFolder, text: dict[str, str]) -> None:
        """Make a film of all steps' pictures."""
        assemble_film(sorted(folder.samples.glob("step-*.png")), _film(folder.path), text["Source"])

    def walk(self, inputs: Inputs, frames: int) -> Inputs:
        raise ConfigError(
            "the run was trained on points, and a walk would show one that moves: its film is film.gif in its folder"
        )

    def files(self, out: Path) -> dict[str, Path]:
        return {"film": _film(out)}

    def next_commands(self, out: Path) -> list[str]:
        return [f"scratchgan sample {out} --n 5000 --out points.npz"]


@dataclasses.dataclass(frozen=True)
class PointReport:
    """How many modes of the data generated points find, beside as many real ones."""

    n: int
    step: int
    scores: ModeScore
    floor: ModeScore

    def to_text(self) -> str:
        """Two lines."""
        return f"n = {self.n:,}, step {self.step:,}\ngenerated points: {self.scores}\nreal points:      {self.floor}"

    def to_json(self) -> str:
        """All of it as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def _film(out: Path) -> Path:
    return out / "film.gif"
