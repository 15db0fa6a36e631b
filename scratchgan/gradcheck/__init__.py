"""Checks the gradient of any operator over arrays.

    from scratchgan.gradcheck import Op, check
    report = check(Op(my_forward, my_vjp, linear_in=("x", "w")), x, w)

It needs two callables and NumPy; `suite` and the strategies also need hypothesis, which is imported when one of
them is asked for. Every framework is optional. `docs/gradcheck.md` has the theory, and ten-line examples for
NumPy, Numba, C, CuPy, torch and JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .calls import OperatorError
from .cases import ArraySpec, Case
from .checker import (
    check,
    check_adjoint,
    check_backends,
    check_complex_step,
    check_contract,
    check_double,
    check_fd,
    check_oracle,
    check_precision,
    check_taylor,
)
from .op import Backend, Kinks, Op
from .policy import LAYERS, Policy
from .report import Finding, GradcheckError, Mismatch, Report, Verdict
from .selftest.mutants import Mutant, generic_mutants
from .tensors import gradcheck, gradgradcheck
from .written import unpacked

if TYPE_CHECKING:
    from .graph_programs import Graph, check_engine, graphs
    from .selftest.scorecard import ScoreCard, score
    from .strategies import (
        arrays,
        broadcast_shapes,
        conv_geometry,
        conv_transpose_geometry,
        pool_geometry,
        upsample_geometry,
    )
    from .suites import suite

_WITH_HYPOTHESIS = {
    "Graph": "graph_programs",
    "ScoreCard": "selftest.scorecard",
    "arrays": "strategies",
    "broadcast_shapes": "strategies",
    "check_engine": "graph_programs",
    "conv_geometry": "strategies",
    "conv_transpose_geometry": "strategies",
    "graphs": "graph_programs",
    "pool_geometry": "strategies",
    "score": "selftest.scorecard",
    "suite": "suites",
    "upsample_geometry": "strategies",
}

__all__ = [
    "LAYERS",
    "ArraySpec",
    "Backend",
    "Case",
    "Finding",
    "GradcheckError",
    "Graph",
    "Kinks",
    "Mismatch",
    "Mutant",
    "Op",
    "OperatorError",
    "Policy",
    "Report",
    "ScoreCard",
    "Verdict",
    "arrays",
    "broadcast_shapes",
    "check",
    "check_adjoint",
    "check_backends",
    "check_complex_step",
    "check_contract",
    "check_double",
    "check_engine",
    "check_fd",
    "check_oracle",
    "check_precision",
    "check_taylor",
    "conv_geometry",
    "conv_transpose_geometry",
    "generic_mutants",
    "gradcheck",
    "gradgradcheck",
    "graphs",
    "pool_geometry",
    "score",
    "suite",
    "unpacked",
    "upsample_geometry",
]


def __getattr__(name: str) -> Any:
    if name not in _WITH_HYPOTHESIS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_WITH_HYPOTHESIS[name]}", __name__), name)
