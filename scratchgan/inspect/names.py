"""What things are called, and where in the program they happened: for people, who think in names and lines.

Nobody has to register anything. A Tensor or a network that a name was not given for takes that of a variable of the
program that holds it, as it is found in the frames that are running when it is first seen; a parameter takes its place
in its network. All of it is read only while something is recorded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from ..nn import Module
from ..tensor import Tensor
from .events import Source

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep

#: The rooms through which every operator passes: what stands above them is the program.
_ENGINE = tuple(
    _PACKAGE + room
    for room in ("autograd.py", "tensor.py", "recording.py", "ops" + os.sep, "nn" + os.sep, "inspect" + os.sep)
)


def _frames(depth: int) -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        yield frame
        frame = frame.f_back


def program_frame() -> FrameType | None:
    """Return the nearest frame that is neither the engine's nor a network's."""
    return next((f for f in _frames(2) if not f.f_code.co_filename.startswith(_ENGINE)), None)


def source_here(vjp: CodeType | None = None) -> Source | None:
    """Return the line of the program that is running; within a vjp, the line of that ``backward``."""
    frame = None
    if vjp is not None:
        frame = next((f for f in _frames(2) if f.f_code is vjp), None)
    frame = frame or program_frame()
    if frame is None:
        return None
    return Source(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)


def variable_of(thing: Any) -> str | None:
    """Return the name of a variable of the running program that holds ``thing``: local, attribute of self, global."""
    for frame in _frames(2):
        if frame.f_code.co_filename.startswith(_ENGINE):
            continue
        for name, value in frame.f_locals.items():
            if value is thing and name != "self":
                return name
        owner = frame.f_locals.get("self")
        for name, value in (vars(owner) if hasattr(owner, "__dict__") else {}).items():
            if value is thing:
                return name.lstrip("_")
        for name, value in frame.f_globals.items():
            if value is thing:
                return name
    return None


class Names:
    """The names of networks, parameters and other leaves. ``given``: by the program, name -> Module or Tensor."""

    def __init__(self, given: dict[str, Any]):
        self._of: dict[int, str] = {}
        self._held: list[Any] = []  # an id is another object's once its first owner is gone
        self.stack: list[tuple[str, Module]] = []
        for name, thing in given.items():
            if not isinstance(thing, (Module, Tensor)):
                raise TypeError(f"record: {name} must be a Module or a Tensor to be named, got {type(thing).__name__}")
            self._name(thing, name)

    def _name(self, thing: Any, name: str) -> None:
        self._of[id(thing)] = name
        self._held.append(thing)
        if isinstance(thing, Module):
            for below, module in thing.named_modules():
                if module is not thing and id(module) not in self._of:
                    self._of[id(module)] = f"{name}.{below}"
                    self._held.append(module)
            for below, parameter in thing.named_parameters():
                if id(parameter) not in self._of:
                    self._of[id(parameter)] = f"{name}.{below}"
                    self._held.append(parameter)

    def module(self, module: Module) -> str:
        """Return the dotted name of a network or of a part of one that is about to run."""
        if id(module) not in self._of:
            self._name(module, variable_of(module) or type(module).__name__)
        return self._of[id(module)]

    def leaf(self, tensor: Tensor) -> str:
        """Return the name of a leaf; an empty one if the program has none for it."""
        if id(tensor) in self._of:
            return self._of[id(tensor)]
        found = variable_of(tensor) or ""
        if found:
            self._of[id(tensor)] = found
            self._held.append(tensor)
        return found
