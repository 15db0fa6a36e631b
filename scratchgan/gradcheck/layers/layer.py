"""What a layer is: a name, a function from a trial to findings, and what the checker has to know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..report import Finding
from ..trial import Trial


@dataclass(frozen=True)
class Layer:
    """run: asks the layer's question of one operator at one point.
    float64: it looks at the operator in float64, whatever the dtype of the arguments: one dtype of a case is enough.
    settles: what it passes is proved, and differences need not estimate it.
    stops: what it finds can leave the later layers without anything to compare.
    repeats: after a failure it would only say the same again.
    """

    name: str
    run: Callable[[Trial], list[Finding]]
    float64: bool = False
    settles: bool = False
    stops: bool = False
    repeats: bool = False
