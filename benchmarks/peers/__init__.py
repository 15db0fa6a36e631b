"""The implementations that are measured side by side: one small file each, found by being in this folder.

To add one, write ``peers/NAME.py`` with a subclass of `Implementation` and list an instance of it::

    class Mine(Implementation):
        name = "mine"
        requires = "mylib>=1.2"

        def build(self, problem, arrays):
            if problem.op != "conv" or problem.direction != "FWD_D":
                raise Unimplemented("only forward convolutions")
            x, w = mylib.asarray(arrays["x"]), mylib.asarray(arrays["w"])
            return lambda: mylib.conv(x, w, problem.stride, problem.padding)

    IMPLEMENTATIONS = [Mine()]
"""

from __future__ import annotations

import importlib
import math
import pkgutil
import re
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from ..descriptor import Problem
from ..problem import Arrays


class Unimplemented(Exception):
    """An implementation does not have this pass of this problem; the text says why."""


class Implementation:
    """One way to compute passes of problems."""

    name = ""
    #: A distribution and perhaps the version that it needs at least, such as "torch>=2.1"; empty for none.
    requires = ""
    #: "cpu" or "cuda": which clock times it, and where its arrays lie.
    device = "cpu"
    #: Sums are of products of the inputs. An algorithm that transforms them first (Winograd) rounds even integers.
    exact = True
    #: How many times the usual error bound the algorithm may be off.
    tolerance = 1.0
    #: Left out of the quick profile: far slower than the rest by design, or long to compile.
    slow = False
    #: Beside others, it is left out of passes with more: one call would take as long as all that they do.
    most_flops = math.inf
    #: Run only when it is named: it needs something, such as a compiler, that nobody expects.
    only_by_name = False

    def unavailable(self) -> str:
        """Why this cannot run here, or an empty text."""
        return missing(self.requires) if self.requires else ""

    def is_exact(self, problem: Problem) -> bool:
        """Whether this pass is ``exact``; for who chooses an algorithm by the problem."""
        return self.exact

    def set_threads(self, threads: int) -> None:
        """Use this many threads from now on."""

    def build(self, problem: Problem, arrays: Arrays) -> Callable[[], Any]:
        """Return a function that runs the pass ``problem.direction`` once; Unimplemented if there is none.

        What is not part of the pass (copying the arrays, choosing a layout) is done here and is not timed. The
        function's result is passed to `fetch`.
        """
        raise NotImplementedError

    def fetch(self, result: Any) -> tuple[np.ndarray, ...]:
        """Return what the function of `build` returned as NumPy arrays, N,C,H,W."""
        several = result if isinstance(result, (tuple, list)) else (result,)
        return tuple(np.asarray(array) for array in several)


def missing(requirement: str) -> str:
    """Return why a requirement such as "torch>=2.1" is not met, or an empty text."""
    package, _, wanted = requirement.partition(">=")
    try:
        installed = metadata.version(package)
    except metadata.PackageNotFoundError:
        return f"{package} is not installed"
    if wanted and _numbers(installed) < _numbers(wanted):
        return f"{package} {installed} is installed, and {wanted} or newer is needed"
    return ""


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3]]


def discover() -> list[Implementation]:
    """Return all implementations of this folder, ours first; a file that cannot be imported stands for one."""
    found: list[Implementation] = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: (m.name != "ours", m.name)):
        found += importlib.import_module(f"{__name__}.{module.name}").IMPLEMENTATIONS
    return found


def choose(names: Sequence[str], device: str = "cpu", quick: bool = False) -> tuple[list[Implementation], list[str]]:
    """Return the implementations to run, threads not yet set, and a line for each that is skipped.

    ``names`` are whole names or beginnings (``ours`` is every path of ours, ``pytorch`` both layouts); none is all.
    ValueError names what does not exist.
    """
    everything = discover()
    for name in names:
        if not any(matches(implementation.name, name) for implementation in everything):
            there = ", ".join(implementation.name for implementation in everything)
            raise ValueError(f"no implementation {name!r}; there are {there}")
    chosen, skipped = [], {}
    for implementation in everything:
        if names:
            wanted = any(matches(implementation.name, name) for name in names)
        else:
            wanted = not implementation.only_by_name and not (quick and implementation.slow)
        if not wanted or implementation.device != device:
            continue
        reason = implementation.unavailable()
        if reason:
            family = implementation.name.partition(":")[0]
            skipped[family] = f"{family} is skipped: {reason}"
        else:
            chosen.append(implementation)
    return chosen, list(skipped.values())


def matches(name: str, wanted: str) -> bool:
    """Whether ``wanted`` is the name, or the family before its colon."""
    return wanted in (name, name.partition(":")[0])
