"""A linear map along one axis: every output is a weighted sum of a few inputs, named by a table.

Interpolation to any size, area averages, and padding that mirrors or repeats are all of this kind. The transposed table
is the gradient, so one kernel does both ways, to any order.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arguments import arrays, namespace, output, run


class Table:
    """A sparse matrix (outputs, inputs) in compressed rows: what each output is made of. It is never changed.

    ``starts`` (outputs + 1,): entries starts[o] to starts[o + 1] are output o's. ``index``: the input of each entry;
    ``weight``: its weight, float64. An output without entries is 0.
    """

    def __init__(self, inputs: int, starts: np.ndarray, index: np.ndarray, weight: np.ndarray):
        self.inputs, self.outputs = inputs, starts.size - 1
        self.starts, self.index, self.weight = starts.astype(np.int64), index.astype(np.int64), weight
        self._kept: dict[Any, tuple[Any, Any, Any]] = {}

    @classmethod
    def from_rows(cls, inputs: int, rows: Sequence[Sequence[tuple[int, float]]]) -> Table:
        """Return a table from the (input, weight) pairs of each output."""
        pairs = np.array([pair for row in rows for pair in row], np.float64).reshape(-1, 2)
        starts = np.cumsum([0, *[len(row) for row in rows]])
        return cls(inputs, starts, pairs[:, 0].astype(np.int64), pairs[:, 1].copy())

    @classmethod
    def from_index(cls, inputs: int, index: np.ndarray) -> Table:
        """Return a table whose output o is a copy of input index[o]."""
        return cls(inputs, np.arange(index.size + 1), index, np.ones(index.size))

    @functools.cached_property
    def transposed(self) -> Table:
        """The table (inputs, outputs) of the gradient."""
        outputs = np.repeat(np.arange(self.outputs), np.diff(self.starts))
        order = np.argsort(self.index, kind="stable")
        starts = np.searchsorted(self.index[order], np.arange(self.inputs + 1))
        table = Table(self.outputs, starts, outputs[order], self.weight[order])
        table.transposed = self
        return table

    def where(self, array: Any) -> tuple[Any, Any, Any]:
        """Return (starts, index, weight) where ``array`` is and in its dtype; a table is copied there once."""
        xp = namespace(array)
        key = (xp, getattr(getattr(array, "device", None), "id", None), array.dtype)
        if key not in self._kept:
            self._kept[key] = (
                xp.asarray(self.starts), xp.asarray(self.index), xp.asarray(self.weight.astype(array.dtype))
            )  # fmt: skip
        return self._kept[key]


def resample_axis(x: np.ndarray, table: Table, axis: int, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return x with ``axis``, which has table.inputs elements, replaced by table.outputs weighted sums of them."""
    name = "resample_axis"
    (x,) = arrays(name, x=x)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"{name}: axis {axis} is outside the {x.ndim} axes of x {x.shape}")
    axis %= x.ndim
    if x.shape[axis] != table.inputs:
        raise ValueError(f"{name}: axis {axis} of x {x.shape} has {x.shape[axis]} elements, the table {table.inputs}")
    outer, inner = int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis + 1 :]))
    y = output(name, out, (*x.shape[:axis], table.outputs, *x.shape[axis + 1 :]), (x,))
    if x.size == 0 or y.size == 0:
        y.fill(0)
    else:
        flat, result = x.reshape(outer, table.inputs, inner), y.reshape(outer, table.outputs, inner)
        run(__package__, "resample", y.size, flat, result, *table.where(x))
    return y
