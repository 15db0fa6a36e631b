"""Checks the gradient of any operator over arrays.

    from scratchgan.gradcheck import Op, check
    report = check(Op(my_forward, my_vjp, linear_in=("x", "w")), x, w)

It needs two callables and NumPy (and hypothesis, for `suite` and the strategies); every framework is optional.
`docs/gradcheck.md` has the theory, and ten-line examples for NumPy, Numba, C, CuPy, torch and JAX.
"""

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
from .op import Backend, Kinks, Op, OperatorError
from .policy import LAYERS, Policy
from .report import Finding, GradcheckError, Mismatch, Report, Verdict
from .tensors import gradcheck, gradgradcheck

__all__ = [
    "LAYERS",
    "Backend",
    "Finding",
    "GradcheckError",
    "Kinks",
    "Mismatch",
    "Op",
    "OperatorError",
    "Policy",
    "Report",
    "Verdict",
    "check",
    "check_adjoint",
    "check_backends",
    "check_complex_step",
    "check_contract",
    "check_double",
    "check_fd",
    "check_oracle",
    "check_precision",
    "check_taylor",
    "gradcheck",
    "gradgradcheck",
]
