"""A case: the geometry of a call, and a seed that makes its values.

Hypothesis draws (and shrinks) shapes and parameters; NumPy makes the numbers from one seed. So a case is short
enough to print, to paste on a command line, and to keep in a regression test.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import probes
from .calls import Array

Generator = np.random.Generator

_VALUES: dict[str, Callable[[Generator, tuple[int, ...], Any], Array]] = {
    "distinct": probes.distinct,
    "normal": lambda rng, shape, dtype: np.asarray(rng.standard_normal(shape), dtype),
    "probe": probes.probe,
    "positive": lambda rng, shape, dtype: np.asarray(rng.uniform(0.25, 2.0, shape), dtype),
    "unit": lambda rng, shape, dtype: np.asarray(rng.uniform(0.1, 0.9, shape), dtype),
    "large": lambda rng, shape, dtype: 32 * probes.probe(rng, shape, dtype),
    "integers": lambda rng, shape, dtype: probes.integers(rng, shape, (1, 3), dtype),
}
#: How the values of an array may be drawn.
VALUE_MODES = (*_VALUES, "indices")
#: How an array may lie in memory.
LAYOUT_NAMES = ("contiguous", "read-only", "strided", "negative-stride", "Fortran-ordered")


@dataclass(frozen=True)
class ArraySpec:
    """Shape, kind of values, and memory layout of one argument.

    values: one of `VALUE_MODES`: "distinct" (no two equal, none near zero), "normal", "probe" (+-0.5 to 1.5),
        "positive" (0.25 to 2), "unit" (0.1 to 0.9), "integers" (floating, +-1 to 3), "large" (+-16 to 48), and
        "indices": int64 from 0 to `below` - 1, whatever dtype is asked for.
    layout: one of `LAYOUT_NAMES`.
    """

    shape: tuple[int, ...]
    values: str = "distinct"
    layout: str = "contiguous"
    below: int = 0

    def __post_init__(self) -> None:
        if self.values not in VALUE_MODES:
            raise ValueError(f"ArraySpec: no value mode {self.values!r}; the modes are {list(VALUE_MODES)}")
        if self.layout not in LAYOUT_NAMES:
            raise ValueError(f"ArraySpec: no layout {self.layout!r}; the layouts are {list(LAYOUT_NAMES)}")

        if (self.below > 0) != (self.values == "indices"):
            raise ValueError(f"ArraySpec: values={self.values!r} with below={self.below}: indices need below >= 1")

    def make(self, rng: Generator, dtype: Any) -> Array:
        """The array, drawn from `rng`."""
        if self.values == "indices":
            indices = np.asarray(rng.integers(0, self.below, self.shape), np.int64)
            return dict(probes.layouts(indices)).get(self.layout, indices)
        array = _VALUES[self.values](rng, self.shape, np.dtype(dtype))
        return dict(probes.layouts(array)).get(self.layout, array)


@dataclass(frozen=True)
class Case:
    """The arguments of one call: array specifications, keyword parameters, and the seed of all values."""

    arrays: tuple[ArraySpec, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def args(self, dtype: Any) -> tuple[Array, ...]:
        """The arrays, in a dtype; the same seed gives the same values."""
        return tuple(spec.make(probes.stream(self.seed, "case", str(i)), dtype) for i, spec in enumerate(self.arrays))

    def to_json(self) -> str:
        """One line that :meth:`from_json` reads back."""
        arrays = [[list(a.shape), a.values, a.layout] + [a.below] * (a.below > 0) for a in self.arrays]
        return json.dumps({"arrays": arrays, "params": dict(self.params), "seed": self.seed})

    @classmethod
    def from_json(cls, text: str) -> Case:
        """Raises ValueError for text that is no case."""
        try:
            data = json.loads(text)
            arrays = tuple(ArraySpec(tuple(shape), *rest) for shape, *rest in data["arrays"])
            params = {k: tuple(v) if isinstance(v, list) else v for k, v in data.get("params", {}).items()}
            return cls(arrays, params, int(data.get("seed", 0)))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a case: {text!r} ({type(error).__name__}: {error})") from error
