"""`TrainConfig`: every setting of a training run, in one place.

A run is a function of its config and its data: the same two give the same weights, bit for bit, on the same machine.
A config has two parts, which are checked apart: `RunSettings`, which the loop reads and every run has, and the
settings of the run's system (``System.Settings``). In config.json, and on the command line, they are one list.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .registry import system_for, system_named, system_names, system_that_wrote
from .settings import ConfigError, Settings, UnknownNameError, differences, setting, unknown

if TYPE_CHECKING:
    from ..data import Dataset
    from .system import System


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings(Settings):
    """What the loop needs to know of a run, whatever is trained in it.

    Those marked ``on_resume`` may change when a run is resumed, for they leave the weights at a given step what they
    are (but for rounding: device, precision).
    """

    data: str = setting(
        "toyfaces",
        "toyfaces, fashion-mnist, mnist, ring8, grid25, swiss-roll; a folder of images, an .npz or IDX file",
        option=True,
        metavar="NAME|PATH",
    )
    data_dir: str | None = setting(
        None,
        "where the files of built-in data sets are looked for first",
        on_resume=True,
        option=True,
        metavar="DIR",
    )
    size: int | None = setting(
        None,
        "make images so many pixels wide and high: 16, 24, 28, 32, 48, 64, 96 or 128 suit (none: the data's own)",
        at_least=8,
        option=True,
        metavar="PX",
    )
    channels: int | None = setting(None, "1 for grey, 3 for RGB (none: as the data is)")
    limit: int | None = setting(None, "use at most so many images", at_least=1, option=True)
    skip_bad: bool = setting(False, "leave out images that can't be read", on_resume=True, option=True)

    batch: int = setting(32, "images in a batch", at_least=2, option=True)
    steps: int = setting(2500, "training steps in all", at_least=1, on_resume=True, option=True)
    lr_end: float = setting(
        0.1, "the learning rates fall along half a cosine to this part of themselves; 1: they stay", at_least=0
    )
    lr_steps: int | None = setting(None, "steps in which they fall (none: those of the run as started)", at_least=1)

    seed: int = setting(0, "of everything random", at_least=0, option=True)
    device: str = setting("cpu", "where to compute", choices=("cpu", "cuda"), on_resume=True, option=True)
    cuda_graph: bool = setting(
        False, "device=cuda: launch a step as one CUDA graph, faster if it is small", on_resume=True, option=True
    )
    precision: str = setting(
        "float32",
        "of convolutions; tf32: inputs rounded to 10 bits, on the tensor cores of device=cuda",
        choices=("float32", "tf32"),
        on_resume=True,
        option=True,
    )

    log_every: int = setting(1, "steps between lines of log.jsonl", at_least=1, on_resume=True)
    sample_every: int = setting(100, "steps between pictures of samples and curves", at_least=1, on_resume=True)
    checkpoint_every: int = setting(100, "steps between checkpoints", at_least=1, on_resume=True)
    eval_every: int = setting(
        0, "judge the samples every so many steps, and keep the best checkpoint; 0: never", at_least=0, on_resume=True,
        option=True,
    )  # fmt: skip
    eval_images: int = setting(2000, "images in an evaluation", at_least=1, on_resume=True)
    keep_checkpoints: int = setting(
        3, "checkpoints kept; a damaged one needs the one before", at_least=1, on_resume=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels not in (None, 1, 3):
            raise ConfigError(f"channels={self.channels} must be 1 (grey) or 3 (RGB)")
        for name, default in (("cuda_graph", False), ("precision", "float32")):
            if getattr(self, name) != default and self.device != "cuda":
                value = str(getattr(self, name)).lower()
                raise ConfigError(f"{name}={value} needs device=cuda; on the CPU, set {name}={str(default).lower()}")


class TrainConfig:
    """The settings of one run: ``TrainConfig("gan", data="fashion-mnist", width=64)``.

    Attributes:
        system: the name of what is trained (`scratchgan.train.registry`).
        run: the loop's settings.
        own: the system's.

    What is not given has the system's default. Raises ConfigError for a system or setting that does not exist, and
    for a value that can't be used.
    """

    __slots__ = ("own", "run", "system")

    system: str
    run: RunSettings
    own: Settings

    def __init__(self, system: str, /, **settings: Any):
        kind = system_named(system)
        parts = _split(kind, {**kind.defaults, **settings})
        self._set(system, RunSettings(**parts[0]), kind.Settings(**parts[1]))

    def _set(self, system: str, run: RunSettings, own: Settings) -> None:
        for name, value in (("system", system), ("run", run), ("own", own)):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a config does not change: use replace({name}=...)")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrainConfig) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash((self.system, self.run, self.own))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.as_dict().items() if name != "system")
        return f"TrainConfig({self.system!r}, {given})"

    @property
    def kind(self) -> type[System]:
        """The class of the run's system."""
        return system_named(self.system)

    def as_dict(self) -> dict[str, Any]:
        """Every setting by name, the system's own name first."""
        return {"system": self.system} | dataclasses.asdict(self.run) | dataclasses.asdict(self.own)

    def replace(self, **settings: Any) -> TrainConfig:
        """Return this config with some settings changed. Raises ConfigError."""
        run, own = _split(self.kind, settings)
        new = object.__new__(TrainConfig)
        new._set(self.system, dataclasses.replace(self.run, **run), dataclasses.replace(self.own, **own))
        return new

    def with_overrides(self, settings: Mapping[str, str]) -> TrainConfig:
        """Return this config with some settings given as text, as in ``--set width=64``. Raises ConfigError."""
        return self.replace(**{name: _owner(self.kind, name).from_text(name, text) for name, text in settings.items()})

    def completed(self, dataset: Dataset) -> TrainConfig:
        """Return the config with everything decided that was left to the data, or to the other settings.

        Raises ConfigError if the data is not what the config asks for.
        """
        run = self.run
        if run.lr_steps is None and run.lr_end != 1:
            run = dataclasses.replace(run, lr_steps=run.steps)
        new = object.__new__(TrainConfig)
        new._set(self.system, *self.kind.complete(run, self.own, dataset))
        return new

    def changes(self, other: TrainConfig) -> dict[str, tuple[Any, Any]]:
        """Return the settings that differ: name -> (value here, value there)."""
        if self.system != other.system:
            return {"system": (self.system, other.system)}
        return differences(self.as_dict(), other.as_dict())

    def resumable(self) -> frozenset[str]:
        """The settings that may change when the run is resumed."""
        fields = (*dataclasses.fields(self.run), *dataclasses.fields(self.own))
        return frozenset(field.name for field in fields if field.metadata["on_resume"])

    def to_json(self) -> str:
        """The settings as JSON text, one to a line, that `from_json` reads."""
        return json.dumps(self.as_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, path: str | Path) -> TrainConfig:
        """Read settings from a JSON file; those that it does not name get their defaults. Raises ConfigError."""
        try:
            settings = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise ConfigError(f"{path}: not JSON ({error})") from error
        if not isinstance(settings, dict):
            raise ConfigError(f"{path}: must hold one JSON object of settings, holds a {type(settings).__name__}")
        try:
            return cls.from_dict(settings)
        except UnknownNameError as error:
            raise UnknownNameError(f"{path}: {error.what}", error.hint) from None
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> TrainConfig:
        """Make a config of JSON values; those left out get their defaults. Raises ConfigError."""
        system = system_that_wrote(settings)
        kind = system_named(system)
        given = {name: value for name, value in settings.items() if name != "system"}
        given = kind.migrated(given)
        return cls(system, **{name: _owner(kind, name).from_json_value(name, value) for name, value in given.items()})


def from_recipe(system: str | None = None, recipe: str | None = None, data: str | None = None) -> TrainConfig:
    """Return the settings that a run starts from: a system's defaults, with those of one of its recipes over them.

    Without a system it is the first that has the recipe, or that learns from the data. Raises ConfigError.
    """
    if system is None:
        system = system_for(data)
        recipes_of = {name: system_named(name).recipes for name in system_names()}
        having = [name for name, recipes in recipes_of.items() if recipe in recipes]
        if recipe is not None and system not in having:
            if not having:
                known = ", ".join(each for recipes in recipes_of.values() for each in recipes)
                raise ConfigError(f"no recipe is named {recipe!r}; there are: {known}")
            system = having[0]
    recipes = system_named(system).recipes
    if recipe is not None and recipe not in recipes:
        known = ", ".join(recipes) or "none"
        raise ConfigError(f"no recipe of system {system} is named {recipe!r}; there are: {known}")
    settings = dict(recipes[recipe]) if recipe is not None else {}
    if data is not None:
        settings["data"] = data
    return TrainConfig(system, **settings)


def _owner(kind: type[System], name: str) -> type[Settings]:
    """Return the group that a setting belongs to: the loop's or the system's. Raises ConfigError if to neither."""
    groups: tuple[type[Settings], ...] = (RunSettings, kind.Settings)
    for group in groups:
        if name in group.names():
            return group
    others = [each for each in system_names() if name in system_named(each).Settings.names()]
    if others:
        owners = " and ".join(others)
        raise UnknownNameError(f"{name} is a setting of system {owners}, not of {kind.name}", ": leave it out")
    raise unknown(name, [known for group in groups for known in group.names()], f"of system {kind.name}")


def _split(kind: type[System], settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of the loop and those of the system, apart."""
    run: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, value in settings.items():
        (run if _owner(kind, name) is RunSettings else own)[name] = value
    return run, own
