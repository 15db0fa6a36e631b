"""Calling an operator that may misbehave: what counts as an array, what it raises, what it may return."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
#: Subclasses of ndarray whose arithmetic is not an array's: masked elements have no value, a matrix multiplies by *.
FOREIGN = (np.ma.MaskedArray, np.matrix)
#: Lines of an operator's own error that are repeated: Numba says what it could not compile far below the first one.
_MOST_LINES = 30


class OperatorError(Exception):
    """The operator under test misbehaved (raised, or returned something that is no gradient)."""


def call(what: str, function: Callable[..., Any], arrays: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """function(*arrays, **params). What it raises, and a change of an argument's shape, becomes an OperatorError.

    A call that does not fit the function's signature is no fault of the operator: that is a TypeError.

    what: "forward" or "vjp", for the message.
    """
    before = [(a, a.shape, a.dtype) for a in arrays if isinstance(a, np.ndarray)]
    try:
        with np.errstate(all="ignore"):
            result = function(*arrays, **params)
    except (Exception, SystemExit) as error:
        wrong = _misfit(function, arrays, params) if isinstance(error, TypeError) else ""
        if wrong:
            raise TypeError(f"check: the {what} cannot be called with what `check` was given: {wrong}") from None
        raise OperatorError(f"{what} raised {_told(error)}") from error
    for a, shape, dtype in before:
        if a.shape != shape or a.dtype != dtype:
            became = f"{a.dtype}{list(a.shape)}"
            with contextlib.suppress(ValueError):  # a view of another's memory may not be resized: it stays as it is
                a.resize(shape, refcheck=False)
            raise OperatorError(f"{what} changed an argument in place from {dtype}{list(shape)} to {became}")
    return result


def _told(error: BaseException) -> str:
    """The exception's type and first line, the user's line that raised it, and the rest of a long message."""
    text = [line.rstrip() for line in str(error).strip().splitlines()]
    head = f"{type(error).__name__}: {text[0][:400]}" if text else type(error).__name__
    rest = text[1 : _MOST_LINES + 1]
    if len(text) > _MOST_LINES + 1:
        rest.append(f"... and {len(text) - _MOST_LINES - 1} lines more")
    return "\n    ".join([head + _where(error), *(line for line in rest if line.strip())])


def _where(error: BaseException) -> str:
    """File and line of the innermost Python frame of the exception: the user's line, not the checker's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    code = trace.tb_frame.f_code
    return f" (in {code.co_name}, {code.co_filename.replace(chr(92), '/').rsplit('/', 1)[-1]}:{trace.tb_lineno})"


def as_outputs(result: Any, what: str) -> tuple[Array, ...]:
    """What a forward returned as a tuple of arrays; OperatorError if it is none."""
    outputs = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    if not outputs:
        raise OperatorError(f"{what} returned an empty tuple; it must return an array or a tuple of arrays")
    for output in outputs:
        if not isinstance(output, (np.ndarray, np.generic, float)) or isinstance(output, FOREIGN):
            raise OperatorError(
                f"{what} returned {type(output).__name__}; it must return a NumPy array or a tuple of them"
            )
    return tuple(np.asarray(output) for output in outputs)


def positional_names(function: Any) -> tuple[str, ...]:
    """The positional parameters of a callable, none for one without a signature (a ufunc, a C function)."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(p.name for p in parameters if p.kind in kinds)


def _misfit(function: Any, arrays: Sequence[Any], params: Mapping[str, Any]) -> str:
    """Why a callable cannot be called so, by its signature; "" if it can, or has none."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(*arrays, **params)
    except TypeError as error:
        names = ", ".join([*(type(a).__name__ for a in arrays), *(f"{key}=..." for key in params)])
        return f"{error}. Its signature is {signature}, and it was called with ({names})"
    return ""


def floating(a: Any) -> bool:
    """Whether a value is an array that has a gradient."""
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"
