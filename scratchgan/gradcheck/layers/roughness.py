"""How much a function jumps about over steps in which a smooth one is a straight line: the rounding that is in it.

Terms that cancel inside f (sqrt(1 + x^2) - 1 near zero) leave rounding that neither the size of its result nor that
of its argument shows. Third differences of neighbours take the line away; those of independent errors are sqrt(20)
times as large as one error (Hamming's difference table, as in J. More and S. Wild, "Estimating computational noise",
2011). A rounded function is also flat between its jumps, so several lengths of step are tried; the longest leaves a
smooth function's own third difference below a rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..calls import Array, OperatorError
from ..trial import Trial

#: Neighbours on a side.
_REACH = 3


def roughness(f: Callable[[float], Array], eps: float) -> Array:
    """Of f around zero, elementwise, where f's argument is in units of something that it is smooth in."""
    longest, shortest = 0.25 * eps ** (1 / 3), 64 * eps
    rough: Array = np.zeros(())
    for step in np.geomspace(shortest, longest, 4):
        table = np.stack([f(k * float(step)) for k in range(-_REACH, _REACH + 1)])
        rough = np.fmax(rough, np.max(np.abs(np.diff(table, 3, axis=0)), axis=0) / math.sqrt(20))
    return rough


def of_outputs(trial: Trial, args: list[Array] | None = None) -> list[Array]:
    """Of every floating output, in the trial's own precision; zero where the forward refuses a neighbour.

    A quarter ulp of one at least: where the argument is tiny, the jumps of 1 + x^2 lie further apart than any step.

    No more is believed than rounding of terms some hundred times as large as one: a forward that works in a shorter
    mantissa inside is rough too.
    """
    base = list(trial.args if args is None else args)

    def outputs(t: float) -> list[Array]:
        moved = list(base)
        for i in trial.wanted:
            x = base[i]
            moved[i] = np.asarray(x + x.dtype.type(t * float(np.max(np.abs(x), initial=0.0))))
        return [y.astype(np.float64) for y in trial.apply(moved) if y.dtype.kind == "f"]

    def flat(t: float) -> Array:
        return np.concatenate([y.ravel() for y in outputs(t)])

    try:
        shapes = [y.shape for y in outputs(0.0)]
        rough = np.clip(np.nan_to_num(roughness(flat, trial.eps)), trial.eps / 4, 256 * trial.eps)
    except (OperatorError, ValueError):  # a step has left the domain
        return [np.zeros(y.shape) for y in trial.outputs if y.dtype.kind == "f"]
    ends = np.cumsum([0, *(math.prod(s) for s in shapes)])
    return [rough[a:b].reshape(s) for a, b, s in zip(ends, ends[1:], shapes, strict=False)]
