"""A recording, and what can be asked of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..nn import Module
from .events import Application, Event, Flow, Leaf, Pullback, Update, Walk
from .values import Store

if TYPE_CHECKING:
    from .checks import Verdicts
    from .names import Names
    from .replay import Row


class Tape:
    """What `record` recorded: ``events`` in the order in which they began, the ``leaves``, and ``store.values``.

    ``calls``: (name, class, number of the call around it) of each call of a network.
    ``error``: the exception that ended the program, with its notes, and ``failed``: the event that raised it.
    ``skipped``: how many applications and vjps beyond the limit there were, and their nanoseconds, by name.
    """

    names: Names

    def __init__(self, store: Store):
        self.store = store
        self.events: list[Event] = []
        self.leaves: list[Leaf] = []
        self.calls: list[tuple[str, str, int | None]] = []
        self.error: tuple[str, list[str]] | None = None
        self.failed: int | None = None
        self.skipped: Counter[str] = Counter()
        self.skipped_ns: Counter[str] = Counter()
        self.verdicts: Verdicts | None = None
        self._parts: list[str] = []
        self._parts_of: dict[int, Iterator[str]] = {}
        self._oldest: int | None = None

    # What the recorded program may say

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Say what is computed in a block is part of ``name``, such as "D on real"; the innermost part counts."""
        self._parts.append(name)
        try:
            yield
        finally:
            self._parts.pop()

    def parts_of(self, module: Module, names: Sequence[str]) -> None:
        """Say which part each call of a network is, in order: for a program whose lines cannot be put in blocks."""
        self._parts_of[id(module)] = iter(names)

    def current_part(self) -> str:
        return self._parts[-1] if self._parts else ""

    @contextmanager
    def part_of_call(self, module: Module) -> Iterator[None]:
        name = next(self._parts_of.get(id(module), iter(())), None)
        if name is None:
            yield
        else:
            with self.part(name):
                yield

    # What the recorder writes

    def beyond(self, name: str, ns: int) -> None:
        """Count what came after the limit."""
        self.skipped[name] += 1
        self.skipped_ns[name] += ns

    def first_order(self, node: Any) -> int:
        """Return the number of the first Node of the recording; before there is one, every Node is older."""
        return self._oldest if self._oldest is not None else node.order + 1

    def noted(self, order: int) -> None:
        """Note the number of a Node that was made while recording."""
        if self._oldest is None:
            self._oldest = order

    def shared(self, flows: list[Flow], whole: int | None) -> list[Flow]:
        """Fill in which share of the gradient ``whole`` each flow is; they add up to 1."""
        total = None if whole is None else self.store.values[whole].array
        for flow in flows:
            part = self.store.values[flow.value].array
            if len(flows) == 1:
                flow.share = 1.0
            elif part is not None and total is not None and part.shape == total.shape:
                a, b = part.astype(np.float64).ravel(), total.astype(np.float64).ravel()
                with np.errstate(all="ignore"):
                    square = float(b @ b)
                    share = float(a @ b) / square if square else np.nan
                flow.share = share if np.isfinite(share) else None
        return flows

    # What it holds

    @property
    def applications(self) -> list[Application]:
        return [event for event in self.events if isinstance(event, Application)]

    @property
    def pullbacks(self) -> list[Pullback]:
        return [event for event in self.events if isinstance(event, Pullback)]

    @property
    def walks(self) -> list[Walk]:
        return [event for event in self.events if isinstance(event, Walk)]

    @property
    def updates(self) -> list[Update]:
        return [event for event in self.events if isinstance(event, Update)]

    def application(self, index: int) -> Application:
        """Return the Application with this number of an event. KeyError for any other number."""
        event = self.events[index] if 0 <= index < len(self.events) else None
        if not isinstance(event, Application):
            raise KeyError(f"event {index} is no application of a Function; `tape.summary()` lists them")
        return event

    # What it is asked

    def summary(self) -> str:
        """Return the recording as text: the operators, with shapes, times and gradients, and what went wrong."""
        from .summary import summary

        return summary(self)

    def row(self, pullback: int, of: int, element: Sequence[int]) -> Row:
        """Return where one element of a gradient came from: see `scratchgan.inspect.replay.row`."""
        from .replay import row

        return row(self, pullback, of, tuple(element))

    def check(self, **options: Any) -> Verdicts:
        """Check every vjp of the recording with `scratchgan.gradcheck`; see `scratchgan.inspect.checks.check`."""
        from .checks import check

        self.verdicts = check(self, **options)
        return self.verdicts

    def document(self, *, full: bool = False, title: str = "") -> dict[str, Any]:
        """Return the recording as JSON values: what a page shows, and what two recordings are compared by."""
        from .document import document

        return document(self, full=full, title=title)

    def save(self, path: str | Path, *, full: bool = False, title: str = "") -> Path:
        """Write the page: one HTML file that needs nothing else. ``full``: with every number of every array kept.

        Raises OSError, and then an older file of that name is as it was.
        """
        from .page import write_page

        return write_page(Path(path), self.document(full=full, title=title or Path(path).stem))
