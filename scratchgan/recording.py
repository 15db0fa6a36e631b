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


@contextmanager
def exchanged(*places: tuple[Any, str, Callable[[Callable[..., Any]], Callable[..., Any]]]) -> Iterator[None]:
    """Within the block, call ``around(original)`` in place of ``owner.name``, for each (owner, name, around).

    This is how something may watch what is called without a question in the path of every call: where nothing is
    exchanged, the code that runs is the code that was written. It holds for every thread, so ``around`` must let the
    calls of others through.
    """
    originals = [(owner, name, vars(owner)[name]) for owner, name, _ in places]
    try:
        for (owner, name, original), (*_, around) in zip(originals, places, strict=True):
            setattr(owner, name, around(original))
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)
