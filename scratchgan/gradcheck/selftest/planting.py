"""Plants one bug in real code, for as long as a `with` block lasts.

Mutation tools change files and skip what is decorated; a compiled kernel with a cache then goes on running the old
machine code, and the bug "survives" because it never ran. Here the source text of one live function is changed and
compiled in memory, and the new function takes the old one's place. A Numba kernel is replaced by its Python source
and interpreted, so no compile cache can hide the bug; the cases are small enough for that.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Plant:
    """One bug: where it goes, which text becomes which, which target runs it, and which layers are meant to see it.

    where: "package.module:function" or "package.module:Class.method".
    edits: (old, new) pairs; each old text must occur exactly once, so a plant that the code has outgrown is an error.
    names: extra names that the new text uses.
    """

    name: str
    family: str
    target: str
    layers: tuple[str, ...]
    where: str
    edits: tuple[tuple[str, str], ...]
    names: Mapping[str, Any] = field(default_factory=dict)


class PlantError(RuntimeError):
    """The code no longer has the text that a plant changes."""


@contextlib.contextmanager
def planted(plant: Plant) -> Iterator[None]:
    """Runs the block with the bug in place, under every name that the package's modules know the function by."""
    module_name, path = plant.where.split(":")
    owner: Any = importlib.import_module(module_name)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    original = vars(owner)[name]
    edited = _edited(plant, original)
    places = [(owner, name)] if outer else _bindings(original, module_name.split(".")[0])
    for holder, attribute in places:
        setattr(holder, attribute, edited)
    try:
        yield
    finally:
        for holder, attribute in places:
            setattr(holder, attribute, original)


def _bindings(function: Any, package: str) -> list[tuple[Any, str]]:
    """Every global of the package's modules that is the function: `from x import f` makes one more."""
    modules = [m for n, m in list(sys.modules.items()) if n.split(".")[0] == package and m is not None]
    return [(m, n) for m in modules for n, value in list(vars(m).items()) if value is function]


def _edited(plant: Plant, original: Any) -> Any:
    # A Numba dispatcher keeps its Python function, and a cache the one that it wraps.
    function = inspect.unwrap(getattr(original, "py_func", original))
    source = textwrap.dedent(inspect.getsource(function))
    source = source[re.search(r"^def ", source, re.MULTILINE).start() :]  # type: ignore[union-attr]
    for old, new in plant.edits:
        if source.count(old) != 1:
            raise PlantError(
                f"plant {plant.name!r}: {plant.where} has {source.count(old)} places that read {old!r}, not 1; "
                "the code has changed, so change the plant"
            )
        source = source.replace(old, new)
    namespace = {**function.__globals__, **plant.names}
    exec(compile(source, f"<plant: {plant.name}>", "exec"), namespace)
    return namespace[function.__name__]
