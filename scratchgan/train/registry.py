"""Which systems there are: each is one line, and is imported when it is used.

The package's own are listed in `scratchgan.systems`, which is loaded at the first look-up; the training itself knows
none of them. Another package's system is registered in the same way, before its name is used:

    from scratchgan.train import register
    register("mine", "my_package.mine:Mine")
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .settings import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from .system import System

_BUILT_IN = f"{__package__.rpartition('.')[0]}.systems"  # by its name: it stands above the training


@dataclass(frozen=True)
class _Entry:
    place: str
    data: Collection[str]
    wrote: Callable[[Mapping[str, Any]], bool] | None


_entries: dict[str, _Entry] = {}


def register(
    name: str,
    place: str,
    *,
    data: Collection[str] = (),
    wrote: Callable[[Mapping[str, Any]], bool] | None = None,
) -> None:
    """Make a system known by its name.

    ``place``: "package.module:Class", imported when the system is used. ``data``: the built-in data sets that only
    this system learns from, for runs that name data and no system. ``wrote``: whether a config.json from before
    systems had names is this system's. Raises ValueError for a name that stands for another system.
    """
    importlib.import_module(_BUILT_IN)  # the package's own come first
    if name in _entries and _entries[name].place != place:
        raise ValueError(f"register: {name!r} is {_entries[name].place} already: choose another name for {place}")
    _entries[name] = _Entry(place, data, wrote)


def system_names() -> list[str]:
    """The names of all systems; the first one is used where none is named."""
    importlib.import_module(_BUILT_IN)
    return list(_entries)


def system_named(name: str) -> type[System]:
    """Return the class of a system. Raises ConfigError for a name that is not registered, with the nearest one."""
    if name not in _entries and name not in system_names():
        nearest = difflib.get_close_matches(name, _entries, n=1)
        hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
        raise UnknownNameError(f"no system is named {name!r}", f"{hint}; there are {', '.join(_entries)}")
    place = _entries[name].place
    module, _, attribute = place.partition(":")
    try:
        system: type[System] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"system {name!r} can't be imported from {place!r} ({error})") from error
    return system


def system_for(data: str | None) -> str:
    """Return the name of the system that learns from a data set, where a person names none."""
    names = system_names()
    return next((name for name in names if data in _entries[name].data), names[0])


def system_that_wrote(settings: Mapping[str, Any]) -> str:
    """Return the name of the system whose settings these are. Raises ConfigError if none knows them."""
    if "system" in settings:
        return str(settings["system"])
    for name in system_names():
        wrote = _entries[name].wrote
        if wrote is not None and wrote(settings):
            return name
    raise ConfigError('settings must name their system: "system": one of ' + ", ".join(_entries))
