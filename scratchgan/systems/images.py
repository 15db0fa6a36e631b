"""What the systems that draw images have in common: how their data is opened, mirrored, shown and judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..data import POINT_SETS, DataError, Dataset, open_dataset
from ..metrics import Report, evaluate, open_judge
from ..train import ConfigError, Inputs, Panel, Settings, System, setting
from ..train.augment import mirror
from ..train.config import RunSettings
from ..train.curves import BLUE
from ..train.evaluation import Judge
from ..train.loaded import LoadedRun
from ..train.pictures import image_grid, to_uint8
from ..train.system import Ask
from .walk import closed_walk

_SHOWN = 64

#: The curve of an evaluation by FID.
FID_PANEL = Panel("Frechet distance (FID)", (("FID", "fid", BLUE),), best="lowest")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSettings(Settings):
    """The settings of every system that trains on images."""

    mirror: bool = setting(False, "mirror each image or not, at random: twice the data, and G draws both", option=True)


class ImageSystem(System):
    """A system whose data and outputs are square images."""

    own: Any
    kind: ClassVar[str] = "images"

    @classmethod
    def open_data(cls, run: RunSettings, own: Any, *, quiet: bool = False) -> Dataset:
        if run.data in POINT_SETS:
            raise DataError(f"{run.data} are points, and system {cls.name} is for images: train points on them")
        return open_dataset(
            run.data,
            size=run.size,
            channels=run.channels,
            data_dir=run.data_dir,
            skip_bad=run.skip_bad,
            limit=run.limit,
            quiet=quiet,
        )

    @classmethod
    def complete(cls, run: RunSettings, own: Any, dataset: Dataset) -> tuple[RunSettings, Any]:
        if len(dataset.shape) != 3:
            raise ConfigError(f"{dataset.name} are points, and system {cls.name} is for images: train points on them")
        channels, height, width = dataset.shape
        if height != width:
            raise ConfigError(
                f"{dataset.name}: images are {height} x {width}, and must be square: give a size (--size)"
            )
        for name, wanted, found in (("size", run.size, height), ("channels", run.channels, channels)):
            if wanted not in (None, found):
                raise ConfigError(f"{name}={wanted}, but the images of {run.data} have {name}={found}")
        return dataclasses.replace(run, size=height, channels=channels), own

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C,S,S) of an image. Raises ConfigError if the settings were not completed with a data set."""
        if self.run.size is None or self.run.channels is None:
            raise ConfigError("size and channels must be decided in the config of a run")
        return self.run.channels, self.run.size, self.run.size

    def prepare(self, fields: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Mirror each image or not, if that is set, by the random generator "mirror"."""
        if not self.own.mirror:
            return fields
        return {**fields, "image": mirror(fields["image"], self.random["mirror"])}

    def title(self) -> str:
        return f"{self.run.size} px, {self.name}"

    def real(self, dataset: Dataset) -> np.ndarray:
        return to_uint8(dataset.images(np.arange(min(_SHOWN, len(dataset)))))

    def finished(self, outputs: np.ndarray) -> np.ndarray:
        return to_uint8(outputs)

    def picture(self, outputs: np.ndarray, columns: int | None = None) -> np.ndarray:
        return image_grid(outputs, columns)

    def judge(self, dataset: Dataset, n: int, **reporting: Any) -> Judge:
        """Return the judge of n images by FID and more (`scratchgan.metrics.open_judge`)."""
        return open_judge(self.run, dataset, n, **reporting)

    def report(self, run: LoadedRun, dataset: Dataset, ask: Ask, **reporting: Any) -> Report:
        judge = open_judge(self.run, dataset, ask.n, **reporting)
        images = run.sample(ask.n, ask.seed, ask.truncation).transpose(0, 3, 1, 2)
        return evaluate(judge, images, f"step {run.step:,}")

    def walk(self, inputs: Inputs, frames: int) -> Inputs:
        """Walk from each latent vector "z" to the next along the arc between them."""
        return {"z": closed_walk(inputs["z"], frames)}

    def next_commands(self, out: Path) -> list[str]:
        return [f"scratchgan sample {out} --n 64 --out grid.png", f"scratchgan interpolate {out} --out walk.gif"]
