"""Layer 5: second and higher order. The vjp is itself an operator, (gy, *args) -> gradients, so it is checked
as one: it is always linear in gy, and where the forward is multilinear so is its vjp, which keeps the test exact.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from . import probes
from .op import Op
from .trial import Trial


def derivative_of(op: Op, arguments: Sequence[str], outputs: int) -> Op | None:
    """The operator's vjp as an `Op`, carrying over what is known of the forward; None if there is none."""
    if op.derivative is None or (outputs > 1 and isinstance(op.vjp, Op)):
        return None
    second = op.derivative(outputs)
    cotangents = [f"gy{k}" for k in range(outputs)] if outputs > 1 else ["gy"]
    names = tuple(second.arguments) or (*cotangents, *arguments)
    linear = tuple(second.linear_in) or (*names[:outputs], *(a for a in op.linear_in if a in names))
    return second.but(
        linear_in=linear,
        arguments=names,
        constant=tuple(second.constant) or tuple(op.constant),
        dtypes=second.dtypes or op.dtypes,
        may_alias=second.may_alias or op.may_alias,
    )


def arguments_of(trial: Trial, order: int) -> tuple[Any, ...]:
    """The cotangent, drawn, and the arguments: what the vjp is called with."""
    rng = probes.stream(trial.seed, "double", str(order))
    return (*trial.cotangents(functools.partial(probes.probe, rng)), *trial.args)
