"""The switch that says whether operators leave a graph behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_switch: ContextVar[bool] = ContextVar("recording", default=True)


@contextmanager
def recording(on: bool) -> Iterator[None]:
    """Record, or do not record, what is computed inside; holds for this thread (or async task) only."""
    token = _switch.set(on)
    try:
        yield
    finally:
        _switch.reset(token)


def no_grad() -> Any:
    """Compute without recording a graph: ``with no_grad(): ...``, or as a decorator."""
    return recording(False)


def enable_grad() -> Any:
    """Record a graph again inside `no_grad`."""
    return recording(True)


#: Return whether operators are recorded here and now. Every operator asks, so it is the switch's own method.
is_grad_enabled: Callable[[], bool] = _switch.get
