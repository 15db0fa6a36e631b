"""Settings: frozen dataclasses whose fields know their help, their range, and how they are written as text.

A field made with `setting` is checked when its class is constructed, parsed from text by its type, listed by
``scratchgan train --settings`` and, if it is an ``option``, by ``scratchgan train --help``: all from this one place.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from typing import Any


class ConfigError(ValueError):
    """A setting that can't be used. The message is one line: which setting, what is wrong, what to do."""


class UnknownNameError(ConfigError):
    """A setting or system that does not exist: ``what`` says so, ``hint`` what to write in its place."""

    def __init__(self, what: str, hint: str):
        super().__init__(what + hint)
        self.what, self.hint = what, hint


def setting(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    on_resume: bool = False,
    option: bool = False,
    metavar: str = "",
) -> Any:
    """One setting: its default, a line for people, its range, whether a resumed run may change it, and whether the
    command line has an option of its name (any setting can be given with ``--set``), with ``metavar`` for its value."""
    bounds = {"at least": at_least, "above": above, "below": below, "at most": at_most}
    metadata = {
        "help": help,
        "choices": choices,
        "bounds": bounds,
        "on_resume": on_resume,
        "option": option,
        "metavar": metavar,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """A group of settings. Construction checks each of them and raises ConfigError.

    Subclasses are frozen dataclasses too; those that check more than single fields extend ``__post_init__``.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(type(self), field, getattr(self, field.name))

    @classmethod
    def names(cls) -> list[str]:
        """The settings' names, in their order."""
        return [field.name for field in dataclasses.fields(cls)]

    @classmethod
    def from_json_value(cls, name: str, value: Any) -> Any:
        """Return a setting's value as Python has it, from one that JSON can hold."""
        kind = typing.get_type_hints(cls)[name]
        if typing.get_origin(kind) is tuple and isinstance(value, list):
            return tuple(value)
        if float in _members(kind) and isinstance(value, int) and not isinstance(value, bool):
            return float(value)  # JSON writes 10.0 as 10 in the hands of many programs
        return value

    @classmethod
    def from_text(cls, name: str, text: str) -> Any:
        """Return a setting's value from text, as in ``--set width=64``. Raises ConfigError.

        A pair is written ``0.5,0.999``, a bool ``true`` or ``false``, and ``none`` where None is allowed.
        """
        return _parse(name, typing.get_type_hints(cls)[name], text)

    @classmethod
    def metavar(cls, field: dataclasses.Field[Any]) -> str:
        """Return what stands for a setting's value in the command line's help."""
        if field.metadata["metavar"]:
            return str(field.metadata["metavar"])
        if 0 < len(field.metadata["choices"]) <= 2:
            return "|".join(field.metadata["choices"])
        kinds = _members(typing.get_type_hints(cls)[field.name])
        return "N" if int in kinds else "X" if float in kinds else "NAME"


def as_text(value: Any) -> str:
    """Return a setting's value as ``--set`` takes it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def unknown(name: str, known: typing.Collection[str], owner: str) -> UnknownNameError:
    """Return the error for a setting that ``owner`` has not, with the nearest name that it has."""
    nearest = difflib.get_close_matches(name.replace("-", "_"), known, n=1, cutoff=0.4)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; the settings {owner} are {', '.join(known)}"
    return UnknownNameError(f"unknown setting {name!r}", hint)


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what differs between two mappings of the same names: name -> (value here, value there)."""
    return {name: (here[name], there[name]) for name in here if here[name] != there[name]}


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


_HOLDS = {"at least": float.__ge__, "above": float.__gt__, "below": float.__lt__, "at most": float.__le__}


def _check(owner: type[Settings], field: dataclasses.Field[Any], value: Any) -> None:
    """Raise ConfigError unless ``value`` has the setting's type and lies in its range."""
    name = field.name
    kind = typing.get_type_hints(owner)[name]
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
    for part in parts:
        if isinstance(part, float) and not math.isfinite(part):
            raise ConfigError(f"{name}={value} must be finite")
        for relation, bound in field.metadata["bounds"].items():
            if bound is not None and part is not None and not _HOLDS[relation](float(part), float(bound)):
                raise ConfigError(f"{name}={value} must be {relation} {bound:g}")
