"""Is this checker, in this environment, worth trusting? Negative controls first.

A checker that passes everything looks exactly like a codebase without bugs. So before it says anything good, the
doctor hands it operators that are wrong in known ways; only if each is refused does it try right ones.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

import numpy as np

from ..checker import check
from ..op import Op
from ..report import Verdict
from .mutants import generic_mutants


def examine() -> Iterator[tuple[bool, str]]:
    """(healthy, what was found), line by line."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((3, 4)), rng.standard_normal((4, 2))
    matmul = Op(
        lambda x, w: x @ w,
        lambda gy, x, w: (gy @ w.T, x.T @ gy),
        linear_in=("x", "w"),
        reference=lambda x, w: np.einsum("ij,jk->ik", x, w),
        name="matmul",
    )
    tanh = Op(lambda x: np.tanh(x), lambda gy, x: gy * (1 - np.tanh(x) ** 2), name="tanh")
    for op, args in ((matmul, (x, w)), (tanh, (x,))):
        for mutant in generic_mutants(op):
            report = check(mutant.op, *args)
            refused = report.verdict is Verdict.FAIL
            yield refused, f"negative control: {op.name}, {mutant.name}: {'refused' if refused else 'NOT REFUSED'}"
    for op, args in ((matmul, (x, w)), (tanh, (x,))):
        for dtype in (np.float32, np.float64):
            report = check(op, *(a.astype(dtype) for a in args))
            yield bool(report), f"right operator: {op.name}, {np.dtype(dtype)}: {report.verdict.value}"
    for name, probe in _FLOATS.items():
        yield probe(), f"arithmetic: {name}"
    for name in ("hypothesis", "pytest", "torch", "jax", "cupy"):
        try:
            version = getattr(importlib.import_module(name), "__version__", "version unknown")
        except Exception:
            version = "not here"
        yield True, f"optional: {name} {version}"


#: What the exact layers rely on: a processor that flushes denormals or keeps excess precision would break them.
_FLOATS: dict[str, Callable[[], bool]] = {
    "sums of integers below 2^24 are exact in float32, in any order": lambda: _sums_are_exact(),
    "denormal numbers are kept": lambda: bool(np.float64(2.0**-1060) * np.float64(0.5) > 0),
    "float32 results are rounded to float32": lambda: bool(np.float32(1) + np.float32(2.0**-25) == np.float32(1)),
    "NaN is not equal to itself": lambda: bool(np.array(np.nan) != np.array(np.nan)),
}


def _sums_are_exact() -> bool:
    values = np.random.default_rng(0).integers(-24, 25, 4096)
    forward, backward = values.astype(np.float32).sum(), values[::-1].astype(np.float32).cumsum()[-1]
    return int(forward) == int(backward) == int(values.sum())
