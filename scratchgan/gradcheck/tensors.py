"""gradcheck and gradgradcheck under PyTorch's names, for functions of scratchgan Tensors.

They differ from PyTorch's where it counts: no step or tolerance needs choosing, float32 inputs are welcome, and a
comparison that cannot decide is never a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .checker import check
from .op import Op
from .policy import Policy
from .report import GradcheckError, Report, Verdict


def gradcheck(
    func: Callable[..., Any],
    inputs: Any | Sequence[Any],
    *,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    linear_in: Sequence[str | int] = (),
    kinks: Any = None,
    seed: int = 0,
) -> bool:
    """Checks the gradient of `func` with respect to the inputs that require one.

    func: Tensors -> a Tensor or a tuple of them. inputs: one Tensor or several; those without requires_grad, and
    objects that are no Tensors, are passed as they are.
    eps: the step of the differences, relative to the argument; by default it is chosen, and its error measured.
    atol, rtol: tolerance on top of the measured error bar; rtol is relative to the derivative. By default none.
    Returns True, or raises :class:`GradcheckError` (False with raise_exception=False) on a gradient that is wrong
    *or could not be decided*.
    """
    return _run(func, inputs, 1, eps, atol, rtol, raise_exception, nondet_tol, linear_in, kinks, seed)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any | Sequence[Any],
    *,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    linear_in: Sequence[str | int] = (),
    kinks: Any = None,
    seed: int = 0,
) -> bool:
    """Checks the gradient and the gradient of the gradient; arguments as for :func:`gradcheck`."""
    return _run(func, inputs, 2, eps, atol, rtol, raise_exception, nondet_tol, linear_in, kinks, seed)


def _run(
    func: Callable[..., Any],
    inputs: Any,
    order: int,
    eps: float | None,
    atol: float | None,
    rtol: float | None,
    raise_exception: bool,
    nondet_tol: float,
    linear_in: Sequence[str | int],
    kinks: Any,
    seed: int,
) -> bool:
    tensors = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    positions = [i for i, t in enumerate(tensors) if getattr(t, "requires_grad", False)]
    if not positions:
        raise ValueError("gradcheck: no input requires a gradient; make one with Tensor(array, requires_grad=True)")
    constant = [i for i, t in enumerate(tensors) if i not in positions and hasattr(t, "requires_grad")]
    op = Op.from_function(func, linear_in=linear_in, kinks=kinks, constant=constant)
    arrays = [t.data if hasattr(t, "requires_grad") else t for t in tensors]
    policy = Policy(step=eps, atol=atol or 0.0, rtol=rtol or 0.0, nondet_tol=nondet_tol)
    report: Report = check(op, *arrays, order=order, seed=seed, policy=policy)
    if report.verdict is Verdict.PASS:
        return True
    if raise_exception:
        raise GradcheckError(report)
    return False
