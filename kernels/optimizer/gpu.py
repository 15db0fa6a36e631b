"""Adam and the moving average on a GPU: the functions of ``cpu.py`` for lists of arrays, one launch for up to 64."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..arguments import empty
from ..cuda_source import MANY
from ..launch import THREADS, Kernel

_adam = Kernel(__file__, "adam")
_ema = Kernel(__file__, "ema")
_square_sums = Kernel(__file__, "square_sums")
_add_up = Kernel(__file__, "add_up", types=(np.float64,))

_Arrays = Sequence[Any]  # flat, not empty, of one dtype


def adam(
    parameters: _Arrays,
    gradients: _Arrays,
    means: _Arrays,
    squares: _Arrays,
    results: _Arrays,
    constant: Sequence[Any],
    changing: Sequence[Any],
    live: Any,
) -> None:
    """``constant`` is decay, beta1, 1-beta1, beta2, 1-beta2, eps; ``changing`` keep, step_size, root, or ``live``."""
    for *lists, counts, grid in _launches(parameters, gradients, means, squares, results):
        _adam(grid, (THREADS,), *lists, counts, *constant, *changing, live)


def ema(averages: _Arrays, parameters: _Arrays, results: _Arrays, changing: Sequence[Any], live: Any) -> None:
    """``changing`` is decay and 1-decay, or they are in ``live``."""
    for *lists, counts, grid in _launches(averages, parameters, results):
        _ema(grid, (THREADS,), *lists, counts, *changing, live)


def square_sum(xs: _Arrays) -> Any:
    """Return the sum of the squares of all elements of all arrays, float64 of shape ()."""
    launches = list(_launches(xs))
    partial = empty((sum(grid[0] for _, _, grid in launches),), xs[0], np.float64)
    first = 0
    for arrays, counts, grid in launches:
        _square_sums(grid, (THREADS,), arrays, counts, partial[first : first + grid[0]])
        first += grid[0]
    total = empty((), xs[0], np.float64)
    _add_up((1,), (THREADS,), partial, partial.size, total)
    return total


def _launches(*lists: _Arrays) -> Iterator[list[Any]]:
    """Yield the lists by up to MANY arrays each, their sizes, and a grid of one block for each part of each array."""
    part = 4 * THREADS * (16 // lists[0][0].itemsize)
    for first in range(0, len(lists[0]), MANY):
        some = [arrays[first : first + MANY] for arrays in lists]
        counts = [array.size for array in some[0]]
        yield [*some, counts, (sum(-(-count // part) for count in counts),)]
