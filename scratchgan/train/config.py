"""`TrainConfig`: every setting of a training run, in one place.

A run is a function of its config and its data: the same two give the same weights, bit for bit, on the same machine.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..models import MODELS, model_for
from ..models.gan import NORMS
from .losses import LOSSES


class ConfigError(ValueError):
    """A setting that can't be used. The message is one line: which setting, what is wrong, what to do."""


def _setting(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    on_resume: bool = False,
) -> Any:
    """One setting: its default, a line for people, its range, and whether a resumed run may change it."""
    bounds = {"at least": at_least, "above": above, "below": below}
    metadata = {"help": help, "choices": choices, "bounds": bounds, "on_resume": on_resume}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings of one run. Construction checks each of them and raises ConfigError.

    Those marked ``on_resume`` may change when a run is resumed, for they leave the weights at a given step what they
    are (but for rounding: device, precision); `RESUMABLE` names them.
    """

    data: str = _setting("toyfaces", "data set: a built-in name, a folder of images, an .npz or an IDX file")
    data_dir: str | None = _setting(None, "where the built-in data sets' files are looked for first", on_resume=True)
    size: int | None = _setting(None, "pixels; images are made size x size (None: the data's own)", at_least=8)
    channels: int | None = _setting(None, "1 for grey, 3 for RGB (None: as the data is)")
    limit: int | None = _setting(None, "use at most so many images", at_least=1)
    skip_bad: bool = _setting(False, "leave out images that can't be read", on_resume=True)

    model: str = _setting(
        "auto", "the networks: see scratchgan.models; auto: gan for images, mlp for points", choices=("auto", *MODELS)
    )
    latent: int = _setting(64, "numbers in a latent vector z, drawn from N(0, 1)", at_least=1)
    width: int = _setting(32, "channels at the largest size, doubled at half of it; mlp: units a layer", at_least=1)
    d_norm: str = _setting(
        "auto",
        "normalisation in D; auto: in a gan none with r1, layer for wgan-gp, else batch; in others none",
        choices=("auto", *NORMS),
    )

    loss: str = _setting("bce", "what G and D minimise; see scratchgan.train.losses", choices=tuple(LOSSES))
    label_smoothing: float | None = _setting(
        None, "bce: D's target for real images is 1 minus this (None: 0.1 for bce without r1)", at_least=0, below=0.5
    )
    gradient_penalty: float = _setting(10.0, "wgan-gp: lambda, the weight of its penalty", at_least=0)
    r1: float | None = _setting(
        None,
        "gamma of the R1 penalty on D's gradient at real images; 0 is none (None: 3, but 0 for wgan-gp and for "
        "d_norm=batch)",
        at_least=0,
    )
    d_steps: int = _setting(1, "updates of D for each update of G", at_least=1)

    batch: int = _setting(32, "images in a batch", at_least=2)
    steps: int = _setting(2500, "training steps, each one update of G", at_least=1, on_resume=True)
    lr_g: float = _setting(2e-3, "Adam's learning rate for G", above=0)
    lr_d: float = _setting(2e-3, "Adam's learning rate for D", above=0)
    lr_end: float = _setting(
        0.1, "the learning rates fall along half a cosine to this part of themselves; 1: they stay", at_least=0
    )
    lr_steps: int | None = _setting(None, "steps in which they fall (None: those of the run as started)", at_least=1)
    betas: tuple[float, float] = _setting((0.0, 0.99), "Adam's decay rates", at_least=0, below=1)
    ema_decay: float = _setting(0.998, "decay per step of the average of G that draws samples", at_least=0, below=1)

    seed: int = _setting(0, "of everything random", at_least=0)
    device: str = _setting("cpu", "cpu or cuda", choices=("cpu", "cuda"), on_resume=True)

    cuda_graph: bool = _setting(
        False, "device=cuda: capture a step as a CUDA graph, which launches small networks faster", on_resume=True
    )
    precision: str = _setting(
        "float32",
        "of convolutions; tf32: inputs rounded to 10 bits, on the tensor cores of device=cuda",
        choices=("float32", "tf32"),
        on_resume=True,
    )

    log_every: int = _setting(1, "steps between lines of log.jsonl", at_least=1, on_resume=True)
    sample_every: int = _setting(100, "steps between pictures of samples and curves", at_least=1, on_resume=True)
    checkpoint_every: int = _setting(100, "steps between checkpoints", at_least=1, on_resume=True)
    eval_every: int = _setting(0, "steps between evaluations of the samples; 0: none", at_least=0, on_resume=True)
    eval_images: int = _setting(2000, "images in an evaluation", at_least=1, on_resume=True)
    keep_checkpoints: int = _setting(
        3, "checkpoints kept; a damaged one needs the one before", at_least=1, on_resume=True
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        if self.channels not in (None, 1, 3):
            raise ConfigError(f"channels={self.channels} must be 1 (grey) or 3 (RGB)")
        if self.label_smoothing and not self.loss.startswith("bce"):
            raise ConfigError(f"label_smoothing={self.label_smoothing} is for the bce losses, not for loss={self.loss}")
        for name, default in (("cuda_graph", False), ("precision", "float32")):
            if getattr(self, name) != default and self.device != "cuda":
                value = str(getattr(self, name)).lower()
                raise ConfigError(f"{name}={value} needs device=cuda; on the CPU, set {name}={str(default).lower()}")
        if self.d_norm == "batch" and self.has_penalty:
            penalty = "wgan-gp" if self.loss == "wgan-gp" else "r1"
            raise ConfigError(
                f"d_norm=batch mixes the images of a batch, and the penalty of {penalty} is on the gradient of each "
                "image: use d_norm=layer, spectral or none"
            )

    @property
    def has_penalty(self) -> bool:
        """Whether D's gradient at each image is part of the loss."""
        return self.loss == "wgan-gp" or bool(self.r1)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C,S,S), or (2,) of points. Raises ConfigError if it was not `completed` with that of the data."""
        if self.model == "mlp":
            return (2,)
        undecided = None in (self.size, self.channels, self.r1) or "auto" in (self.model, self.d_norm)
        if undecided or self.size is None or self.channels is None:
            raise ConfigError("model, size, channels, d_norm and r1 must be decided in the config of a run")
        return self.channels, self.size, self.size

    def completed(self, shape: tuple[int, ...]) -> TrainConfig:
        """Return the config with everything decided that was left to the data, or to the other settings.

        ``shape`` is the data's: (C,S,S), or (2,) of points. Raises ConfigError if the config asks for others.
        """
        channels, size = (None, None) if len(shape) == 1 else shape[:2]
        for name, wanted, found in (("size", self.size, size), ("channels", self.channels, channels)):
            if wanted is not None and found is None:
                raise ConfigError(f"{name}={wanted} is for images, and {self.data} are points")
            if wanted not in (None, found):
                raise ConfigError(f"{name}={wanted}, but the images of {self.data} have {name}={found}")
        model = model_for(shape) if self.model == "auto" else self.model
        if model == "gan28" and self.width != type(self).width:
            raise ConfigError(f"width={self.width} is not for model=gan28, whose widths are fixed")
        r1, d_norm = self.r1, self.d_norm
        if r1 is None:
            r1 = 0.0 if self.loss == "wgan-gp" or d_norm == "batch" else 3.0
        if d_norm == "auto":
            d_norm = "none" if model != "gan" or r1 > 0 else "layer" if self.loss == "wgan-gp" else "batch"
        smoothing = self.label_smoothing
        if smoothing is None:
            smoothing = 0.1 if self.loss == "bce" and r1 == 0 else 0.0
        lr_steps = self.steps if self.lr_steps is None and self.lr_end != 1 else self.lr_steps
        return dataclasses.replace(
            self, size=size, channels=channels, model=model, d_norm=d_norm, r1=r1, lr_steps=lr_steps,
            label_smoothing=smoothing,
        )  # fmt: skip

    def to_json(self) -> str:
        """The settings as JSON text, one to a line, that `from_json` reads."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

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
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> TrainConfig:
        """Make a config of JSON values; those left out get their defaults. Raises ConfigError."""
        values = {}
        for name, value in settings.items():
            kind = typing.get_type_hints(cls)[_known(name).name]
            if typing.get_origin(kind) is tuple and isinstance(value, list):
                value = tuple(value)
            elif float in _members(kind) and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)  # JSON writes 10.0 as 10 in the hands of many programs
            values[name] = value
        return cls(**values)

    def with_overrides(self, settings: Mapping[str, str]) -> TrainConfig:
        """Return this config with some settings given as text, as in ``--set width=64``. Raises ConfigError.

        A pair is written ``0.5,0.999``, a bool ``true`` or ``false``, and ``none`` where None is allowed.
        """
        hints = typing.get_type_hints(type(self))
        return dataclasses.replace(self, **{_known(n).name: _parse(n, hints[n], text) for n, text in settings.items()})

    def changes(self, other: TrainConfig) -> dict[str, tuple[Any, Any]]:
        """Return the settings that differ: name -> (value here, value there)."""
        here, there = dataclasses.asdict(self), dataclasses.asdict(other)
        return {name: (here[name], there[name]) for name in here if here[name] != there[name]}


#: The settings that may change when a run is resumed.
RESUMABLE = frozenset(field.name for field in dataclasses.fields(TrainConfig) if field.metadata["on_resume"])


def _known(name: str) -> dataclasses.Field[Any]:
    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}
    if name not in fields:
        nearest = difflib.get_close_matches(name.replace("-", "_"), fields, n=1, cutoff=0.4)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; the settings are {', '.join(fields)}"
        raise ConfigError(f"unknown setting {name!r}{hint}")
    return fields[name]


def _members(kind: Any) -> tuple[Any, ...]:
    """Return the types that a hint allows: (int, NoneType) for ``int | None``."""
    return typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", types.NoneType: "none"}


def _wanted(kind: Any) -> str:
    if typing.get_origin(kind) is tuple:
        return "two numbers such as 0.5,0.999"
    return " or ".join(_WORDS[member] for member in _members(kind))


def _parse(name: str, kind: Any, text: str) -> Any:
    """Turn the text of a setting into a value of its type."""
    word = text.strip().lower()
    try:
        if typing.get_origin(kind) is tuple:
            return tuple(float(part) for part in text.split(","))
        members = _members(kind)
        if types.NoneType in members and word == "none":
            return None
        if members[0] is bool:
            return {"true": True, "false": False}[word]
        return members[0](text)
    except (ValueError, KeyError):
        raise ConfigError(f"{name}={text} must be {_wanted(kind)}") from None


def _check(field: dataclasses.Field[Any], value: Any) -> None:
    """Raise ConfigError unless ``value`` has the setting's type and lies in its range."""
    name = field.name
    kind = typing.get_type_hints(TrainConfig)[name]
    parts = (value,)
    if typing.get_origin(kind) is tuple:
        good = type(value) is tuple and len(value) == 2 and all(type(part) is float for part in value)
        parts = value if good else parts
    else:
        good = type(value) in _members(kind)
    if not good:
        raise ConfigError(f"{name}={value!r} must be {_wanted(kind)}")
    choices = field.metadata["choices"]
    if choices and value not in choices:
        nearest = difflib.get_close_matches(value, choices, n=1)
        hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
        raise ConfigError(f"{name}={value} must be one of {', '.join(choices)}{hint}")
    holds = {"at least": float.__ge__, "above": float.__gt__, "below": float.__lt__}
    for part in parts:
        if isinstance(part, float) and not math.isfinite(part):
            raise ConfigError(f"{name}={value} must be finite")
        for relation, bound in field.metadata["bounds"].items():
            if bound is not None and part is not None and not holds[relation](float(part), float(bound)):
                raise ConfigError(f"{name}={value} must be {relation} {bound:g}")
