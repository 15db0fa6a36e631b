"""OpCase: what the generic tests need to know about an operator at one point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scratchgan import Tensor, ops
from scratchgan.gradcheck.op import Kinks

Array = np.ndarray


@dataclass(frozen=True)
class OpCase:
    """An operator at one point.

    operator: its name in `scratchgan.ops`. variant: what tells this case from others of the operator.
    shapes: one input array each. reference: the forward, from arrays to an array.
    call: from Tensors to a Tensor; by default the operator itself with ``params``.
    domain: the inputs lie between these two; "spread" ones are all different, and none is 0.
    """

    operator: str
    shapes: Sequence[tuple[int, ...]]
    reference: Callable[..., Array]
    variant: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    call: Callable[..., Tensor] | None = None
    linear_in: Sequence[int] = ()
    kinks: Kinks | None = None
    domain: tuple[float, float] | str = (-2.0, 2.0)

    @property
    def name(self) -> str:
        return f"{self.operator}-{self.variant}" if self.variant else self.operator

    @property
    def function(self) -> Callable[..., Tensor]:
        return self.call or getattr(ops, self.operator)

    def inputs(self, dtype: Any, seed: int = 0) -> list[Array]:
        rng = np.random.default_rng(seed)
        if self.domain == "spread":  # odd multiples of 1/16, so that no two are equal, over all the inputs
            counts = [int(np.prod(shape)) for shape in self.shapes]
            values = rng.permutation(2 * np.arange(sum(counts)) - sum(counts) | 1) / 16
            parts = np.split(values, np.cumsum(counts)[:-1])
            return [part.reshape(shape).astype(dtype) for part, shape in zip(parts, self.shapes, strict=True)]
        return [rng.uniform(*self.domain, shape).astype(dtype) for shape in self.shapes]  # type: ignore[misc]
