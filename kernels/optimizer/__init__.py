"""Updates of parameters: Adam, AdamW and the exponential moving average.

An update written with NumPy passes over memory a dozen times; these pass once. The functions named ``foreach`` take
lists, such as all parameters of a network: on a GPU they are one launch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arguments import arrays, in_place, is_gpu_array, kernels_for, namespace, number, output, run

Arrays = Sequence[np.ndarray]


def _result(operator: str, before: np.ndarray, out: np.ndarray | None, others: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return what the new values of ``before`` are written to, which may be ``before`` itself."""
    if out is before:
        in_place(operator, out=out)
    return output(operator, out, before.shape, others if out is before else (before, *others))


def adam_step(
    parameter: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the parameter after one step of Adam, and update ``mean`` and ``square`` in place::

        g = gradient + weight_decay * parameter                     (Adam)
        parameter *= 1 - lr * weight_decay                          (AdamW: decoupled=True, and g = gradient)
        mean   += (1 - beta1) * (g - mean)
        square += (1 - beta2) * (g**2 - square)
        parameter -= lr / (1 - beta1**step) * mean / (sqrt(square) / sqrt(1 - beta2**step) + eps)

    ``step`` counts from 1. The four arrays have one shape and dtype; those that change must be writable and in C
    order. ``mean`` and ``square`` start as zeros. ``out``: where to write the result; it may be ``parameter`` itself.

    Sources: D. Kingma and J. Ba, "Adam", 2015, algorithm 1; I. Loshchilov and F. Hutter, "Decoupled weight decay
    regularization", 2019. ``eps`` stands outside the corrected square root, as in the first paper's algorithm and in
    PyTorch.

    Raises TypeError or ValueError, before anything has changed, for arrays that do not fit or a step below 1, a
    beta outside [0, 1), a negative eps or weight decay.
    """
    (new,) = _adam(
        "adam_step", [parameter], [gradient], [mean], [square], step, lr, beta1, beta2, eps, weight_decay, decoupled,
        None if out is None else [out], None,
    )  # fmt: skip
    return new


def foreach_adam_step(
    parameters: Arrays,
    gradients: Arrays,
    means: Arrays,
    squares: Arrays,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    out: Arrays | None = None,
    live: Any = None,
) -> list[np.ndarray]:
    """Return what `adam_step` returns for each parameter of a list; on a GPU, in one launch for up to 64 of them.

    All arrays have one dtype. ``live``: an array on the GPU of what `adam_numbers` returns, of the same dtype, which
    the kernel then reads in place of what follows from ``step`` and ``lr``; a CUDA graph reads it anew at each launch.
    """
    return _adam(
        "foreach_adam_step", parameters, gradients, means, squares, step, lr, beta1, beta2, eps, weight_decay,
        decoupled, out, live,
    )  # fmt: skip


def adam_numbers(
    dtype: Any, step: int, lr: float, beta1: float, beta2: float, weight_decay: float = 0.0, decoupled: bool = False
) -> np.ndarray:
    """Return what Adam multiplies with and what changes from step to step, of shape (3,) and ``dtype``.

    keep = 1 - lr * weight_decay (1 unless decoupled), step_size = lr / (1 - beta1**step), sqrt(1 - beta2**step).
    """
    keep = 1 - lr * weight_decay if decoupled else 1.0
    return np.array([keep, lr / (1 - beta1**step), math.sqrt(1 - beta2**step)], dtype)


def _adam(
    name: str,
    parameters: Arrays,
    gradients: Arrays,
    means: Arrays,
    squares: Arrays,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    out: Arrays | None,
    live: Any,
) -> list[np.ndarray]:
    lists = _equally_long(name, parameters=parameters, gradients=gradients, means=means, squares=squares, out=out)
    prepared, results = [], []
    for parameter, gradient, mean, square, target in zip(*lists, strict=True):
        p, g, *_ = arrays(name, parameter=parameter, gradient=gradient, mean=mean, square=square)
        for what, array in (("gradient", gradient), ("mean", mean)):
            if array.shape != parameter.shape:
                raise ValueError(f"{name}: {what}.shape={array.shape} but parameter.shape={parameter.shape}")
        in_place(name, mean=mean, square=square)
        results.append(_result(name, parameter, target, (gradient, mean, square)))
        if any(namespace(gradient).may_share_memory(gradient, changed) for changed in (mean, square)):
            raise ValueError(f"{name}: gradient shares memory with an array that is changed; pass a copy")
        prepared.append((p, g, mean, square, results[-1]))
    if not isinstance(step, (int, np.integer)) or step < 1:
        raise ValueError(f"{name}: step must be an int that counts from 1, got {step!r}")
    lr = number(name, "lr", lr)
    beta1, beta2 = number(name, "beta1", beta1), number(name, "beta2", beta2)
    eps, weight_decay = number(name, "eps", eps), number(name, "weight_decay", weight_decay)
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise ValueError(f"{name}: beta1 and beta2 must be in [0, 1), got {beta1} and {beta2}")
    if eps < 0 or weight_decay < 0:
        raise ValueError(f"{name}: eps and weight_decay must not be negative, got {eps} and {weight_decay}")
    _one_kind(name, parameters, live, 3)

    flat = [[array.reshape(-1) for array in row] for row in prepared if row[0].size]
    if not flat:
        return results
    dtype = flat[0][0].dtype
    decay = 0.0 if decoupled else weight_decay
    constant = [dtype.type(s) for s in (decay, beta1, 1 - beta1, beta2, 1 - beta2, eps)]
    changing = list(adam_numbers(dtype, step, lr, beta1, beta2, weight_decay, decoupled))
    if is_gpu_array(flat[0][0]):
        kernels_for(__package__, flat[0][0]).adam(*zip(*flat, strict=True), constant, changing, live)
        return results
    for row in flat:
        run(__package__, "adam", row[0].size, *row, *constant, *changing)
    return results


def ema_update(
    average: np.ndarray, parameter: np.ndarray, decay: float, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``average + (1 - decay) * (parameter - average)``: an exponential moving average, one step on.

    ``decay`` is in [0, 1]: 0 copies the parameter, 1 leaves the average alone. Both arrays have one shape and
    dtype. ``out``: where to write the result; it may be ``average`` itself. TypeError or ValueError otherwise.
    """
    return _ema("ema_update", [average], [parameter], decay, None if out is None else [out], None)[0]


def foreach_ema_update(
    averages: Arrays, parameters: Arrays, decay: float, *, out: Arrays | None = None, live: Any = None
) -> list[np.ndarray]:
    """Return what `ema_update` returns for each average of a list; on a GPU, in one launch for up to 64 of them.

    All arrays have one dtype. ``live``: an array on the GPU with decay and 1 - decay, of the same dtype, which the
    kernel then reads in place of ``decay``.
    """
    return _ema("foreach_ema_update", averages, parameters, decay, out, live)


def _ema(
    name: str, averages: Arrays, parameters: Arrays, decay: float, out: Arrays | None, live: Any
) -> list[np.ndarray]:
    prepared, results = [], []
    lists = _equally_long(name, averages=averages, parameters=parameters, out=out)
    for average, parameter, target in zip(*lists, strict=True):
        before, source = arrays(name, average=average, parameter=parameter)
        if average.shape != parameter.shape:
            raise ValueError(f"{name}: average.shape={average.shape} but parameter.shape={parameter.shape}")
        results.append(_result(name, average, target, (parameter,)))
        prepared.append((before, source, results[-1]))
    decay = number(name, "decay", decay)
    if not 0 <= decay <= 1:
        raise ValueError(f"{name}: decay must be in [0, 1], got {decay}")
    _one_kind(name, averages, live, 2)
    flat = [[array.reshape(-1) for array in row] for row in prepared if row[0].size]
    if not flat:
        return results
    changing = [flat[0][0].dtype.type(s) for s in (decay, 1 - decay)]
    if is_gpu_array(flat[0][0]):
        kernels_for(__package__, flat[0][0]).ema(*zip(*flat, strict=True), changing, live)
        return results
    for row in flat:
        run(__package__, "ema", row[0].size, *row, *changing)
    return results


def foreach_square_sum(xs: Arrays) -> Any:
    """Return the sum of the squares of all elements of a list of arrays of one dtype: float64, where the arrays are.

    Its square root is the Euclidean norm of all of them together. On a GPU it takes two launches, and is an array of
    shape () that nothing has waited for.
    """
    name = "foreach_square_sum"
    flat = [array.reshape(-1) for x in xs for array in arrays(name, xs=x) if array.size]
    _one_kind(name, flat, None, 0)
    if not flat:
        return namespace(xs[0]).zeros((), np.float64) if xs else np.float64(0)
    return kernels_for(__package__, flat[0]).square_sum(flat)


def _equally_long(name: str, **lists: Arrays | None) -> list[Sequence[Any]]:
    """Return the lists, which must be equally long; one that is None as a list of Nones."""
    (first, leader), *_ = lists.items()
    assert leader is not None
    for what, items in lists.items():
        if items is not None and len(items) != len(leader):
            raise ValueError(f"{name}: {what} has {len(items)} arrays but {first} has {len(leader)}")
    return [[None] * len(leader) if items is None else items for items in lists.values()]


def _one_kind(name: str, parameters: Arrays, live: Any, numbers: int) -> None:
    """Check that all parameters have one dtype and place, and ``live`` the same if it is given."""
    if not parameters:
        return
    first = parameters[0]
    for array in parameters:
        if array.dtype != first.dtype or is_gpu_array(array) != is_gpu_array(first):
            raise TypeError(f"{name}: all parameters must have one dtype, on one device; call it once for each kind")
    if live is not None and (not is_gpu_array(first) or live.shape != (numbers,) or live.dtype != first.dtype):
        raise ValueError(
            f"{name}: live must be {first.dtype} ({numbers},) on a GPU, as the parameters are, "
            f"got {live.dtype} {live.shape}"
        )
