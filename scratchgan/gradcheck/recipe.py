"""What an adapter makes of somebody's functions: the callables and claims of an `Op`, which it knows nothing of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """derivative: the vjp as a recipe of its own, given the number of outputs; None where there is none.
    claims: the other fields of the `Op`, by name."""

    forward: Callable[..., Any]
    vjp: Callable[..., Any]
    derivative: Callable[[int], Recipe] | None = None
    claims: dict[str, Any] = field(default_factory=dict)
