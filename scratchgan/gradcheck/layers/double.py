"""Layer 5: second and higher order. The vjp is itself an operator, (gy, *args) -> gradients, so it is checked
as one: it is always linear in gy, and where the forward is multilinear so is its vjp, which keeps the test exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..calls import Array
from ..op import Op
from ..report import Finding, Verdict, compare
from ..trial import Trial

NAME = "double"


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


def arguments_of(trial: Trial) -> tuple[Any, ...]:
    """The cotangent, drawn, and the arguments: what the vjp is called with."""
    return (*(g.copy() for g in trial.pair(0).gy), *trial.args)


def same_vjp(trial: Trial, second: Trial) -> list[Finding]:
    """The vjp that can be differentiated gives the same gradients as the plain one.

    They are often two pieces of code (a fused kernel, and the formula in differentiable operators), and differences
    of the second one can only tell whether it agrees with itself.
    """
    count = len(trial.outputs)
    plain = trial.pair(0).gradients
    differentiable = second.outputs
    wanted = [plain[i] for i in trial.wanted]
    if [g.shape for g in differentiable] != [g.shape for g in wanted]:
        reason = f"the vjp to differentiate returns {len(differentiable)} arrays, the plain one {len(wanted)}"
        return [trial.finding(NAME, Verdict.FAIL, reason=reason)]
    findings = []
    if all(_close(trial, a, b) for a, b in zip(differentiable, wanted, strict=True)):
        return [trial.finding(NAME, Verdict.PASS, i) for i in trial.wanted]
    room = trial.rounding(second.args[:count], plain)
    sides = "got is the vjp that can be differentiated, expected the plain vjp; both are the operator's"
    for i, got, expected in zip(trial.wanted, differentiable, wanted, strict=True):
        mismatch = compare(got, expected, 16 * room[i], sides)
        verdict = Verdict.FAIL if mismatch else Verdict.PASS
        reason = "with a graph to be differentiated again, the gradient is another one" if mismatch else ""
        findings.append(trial.finding(NAME, verdict, i, reason=reason, mismatch=mismatch))
    return findings


def _close(trial: Trial, got: Array, expected: Array) -> bool:
    """Equal but for rounding, by the size of the result alone: what lies further apart is looked at more closely."""
    room = trial.policy.ulps * trial.eps * float(np.max(np.abs(expected), initial=0.0))
    return bool(np.max(np.abs(got - expected), initial=0.0) <= room)
