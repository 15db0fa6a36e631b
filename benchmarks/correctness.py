"""Is the result right? Integers bit by bit, then real numbers within a bound that grows with the sums' length."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import reference
from .descriptor import Problem
from .peers import Implementation, Unimplemented
from .problem import inputs, reduction_length

PASSED, FAILED, MISTRUSTED, UNIMPLEMENTED = "PASSED", "FAILED", "MISTRUSTED", "UNIMPLEMENTED"

#: A reference with more zeros than this says little: a kernel that writes nothing would nearly pass.
MOST_ZEROS = 0.7
#: Passes that do more than add up products round even integers.
_INEXACT = {("resampling", "linear"), ("resampling", "fir"), ("pool", "avg_p"), ("pool", "avg_np"), ("bnorm", "")}


@dataclass(frozen=True)
class Outcome:
    """A verdict, why, and the line that repeats it."""

    verdict: str
    reason: str
    repeat: str

    def __str__(self) -> str:
        return f"{self.verdict}: {self.reason}\n    repeat: {self.repeat}" if self.verdict != PASSED else PASSED


def repeat_line(problem: Problem, implementation: str, mode: str, threads: int | None = None) -> str:
    """Return the command that does one thing again."""
    more = f" --threads {threads}" if threads else ""
    return f"python -m benchmarks run --mode {mode} --impl {implementation}{more} '{problem}'"


def bound(problem: Problem, tolerance: float) -> float:
    """How far a number may be off, for inputs of unit variance: rounding errors of a sum grow with its length.

    N. Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1: at most length * eps times the sum
    of magnitudes; for random signs the sum and the error are each about the square root of that.
    """
    eps = float(np.finfo(problem.dtype).eps)
    return tolerance * eps * (8 + 2 * reduction_length(problem))


@functools.lru_cache(maxsize=2)
def _expected(problem: Problem, fill: str) -> tuple[np.ndarray, ...]:
    """The reference's results, kept for the next implementation of the same pass: `inputs` are the same ones."""
    return reference.compute(problem, inputs(problem, fill))


def check(problem: Problem, implementation: Implementation, threads: int | None = None) -> Outcome:
    """Run one pass of an implementation and compare it with the reference."""
    repeat = repeat_line(problem, implementation.name, "correctness", threads)

    def outcome(verdict: str, reason: str) -> Outcome:
        return Outcome(verdict, reason, repeat)

    exact = (problem.op, problem.algorithm) not in _INEXACT and implementation.is_exact(problem)
    fills = ["integers", "normal"] if exact else ["normal"]
    mistrust = ""
    for fill in fills:
        arrays = inputs(problem, fill)
        before = {name: array.copy() for name, array in arrays.items()}
        try:
            run = implementation.build(problem, arrays)
            found = implementation.fetch(run())
        except Unimplemented as error:
            return outcome(UNIMPLEMENTED, str(error))
        except Exception as error:
            return outcome(FAILED, f"{fill}: raised {type(error).__name__}: {error}")
        changed = [name for name in arrays if not np.array_equal(arrays[name], before[name])]
        if changed:
            return outcome(FAILED, f"{fill}: the kernel changed its input {', '.join(changed)}")
        expected = _expected(problem, fill)
        wrong = _difference(problem, fill, found, expected, implementation.tolerance)
        if wrong:
            return outcome(FAILED, f"{fill}: {wrong}")
        zeros = float(np.mean(expected[0] == 0)) if expected[0].size else 1.0
        limit = 0.95 if problem.op == "pool" and problem.direction == "BWD_D" else MOST_ZEROS
        if fill == fills[0] and zeros > limit:
            mistrust = f"{fill}: {zeros:.0%} of the reference are zeros"
    return outcome(MISTRUSTED, mistrust) if mistrust else outcome(PASSED, "")


def _difference(
    problem: Problem, fill: str, found: Sequence[np.ndarray], expected: Sequence[np.ndarray], tolerance: float
) -> str:
    """Return where the results differ, or an empty text."""
    if len(found) != len(expected):
        return f"{len(found)} results for {len(expected)}"
    for got, want in zip(found, expected, strict=True):
        if got.shape != want.shape or str(got.dtype) != problem.dtype:
            return f"{got.dtype} {got.shape} where {problem.dtype} {want.shape} is right"
        off = np.abs(got.astype(np.float64) - want)
        # A value's own rounding comes on top: the bound is for numbers of unit size.
        allowed = 0.0 if fill == "integers" else bound(problem, tolerance) + np.abs(want) * np.finfo(got.dtype).eps * 4
        bad = ~(off <= allowed)  # a NaN is bad
        if bad.any():
            worst = np.unravel_index(np.argmax(np.where(np.isnan(off), np.inf, off)), off.shape)
            place = ", ".join(map(str, worst))
            return (
                f"{bad.sum():,} of {bad.size:,} are wrong, the worst at [{place}]: {got[worst]:g} for {want[worst]:g}"
            )
    return ""


def check_gradient(problem: Problem, implementation: Implementation, threads: int | None = None) -> Outcome:
    """Check the gradients of the same problem against its own forward: the adjoint test, on integers and reals.

    <F(v), gy> must equal <v, F'gy> for each argument in which the forward is linear; no reference is needed.
    """
    from scratchgan.gradcheck import Op, check, check_adjoint

    repeat = repeat_line(problem, implementation.name, "gradient", threads)
    forward = problem.directed("FWD_D")
    directions = [d for d in problem.directed("").directions if d.startswith("BWD")]

    def call(direction: str, **arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        # An implementation is promised arrays in C order; the check also hands over views and read-only arrays.
        plain = {name: np.array(array, order="C") for name, array in arrays.items()}
        run: Callable[[], Any] = implementation.build(problem.directed(direction), plain)
        return implementation.fetch(run())

    try:
        arrays = inputs(forward, "normal")
        for direction in ("FWD_D", *directions):
            implementation.build(problem.directed(direction), inputs(problem.directed(direction), "normal"))
        if problem.op == "bnorm":
            op = Op(
                lambda x, weight, beta: call("FWD_D", x=x, weight=weight, beta=beta)[0],
                lambda gy, x, weight, beta: call("BWD_D", gy=gy, x=x, weight=weight, beta=beta),
                linear_in=("weight", "beta"), name=f"{implementation.name} bnorm",
            )  # fmt: skip
            report = check(op, *arrays.values())
        elif "w" in arrays:
            op = Op(
                lambda x, w: call("FWD_D", x=x, w=w)[0],
                lambda gy, x, w: (call("BWD_D", gy=gy, w=w)[0], call("BWD_W", x=x, gy=gy)[0]),
                linear_in=("x", "w"), name=f"{implementation.name} {problem.op}",
            )  # fmt: skip
            report = check_adjoint(op, arrays["x"], arrays["w"])
        elif problem.algorithm == "max":
            op = Op(
                lambda x: call("FWD_D", x=x)[0], lambda gy, x: call("BWD_D", gy=gy, x=x)[0],
                name=f"{implementation.name} max pool",
            )  # fmt: skip
            report = check(op, arrays["x"])
        else:
            op = Op(
                lambda x: call("FWD_D", x=x)[0], lambda gy, x: call("BWD_D", gy=gy, x=x)[0],
                linear_in=("x",), name=f"{implementation.name} {problem.op}",
            )  # fmt: skip
            report = check_adjoint(op, arrays["x"])
    except Unimplemented as error:
        return Outcome(UNIMPLEMENTED, str(error), repeat)
    except Exception as error:
        return Outcome(FAILED, f"raised {type(error).__name__}: {error}", repeat)
    if report.verdict.name == "PASS":
        return Outcome(PASSED, "", repeat)
    verdict = FAILED if report.verdict.name == "FAIL" else MISTRUSTED
    return Outcome(verdict, " ".join(str(report).split())[:600], repeat)
