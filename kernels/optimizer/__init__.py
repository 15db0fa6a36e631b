"""Updates of parameters: Adam, AdamW and the exponential moving average.

An update written with NumPy passes over memory a dozen times; these pass once.
"""

from __future__ import annotations

import math

import numpy as np

from ..arguments import arrays, in_place, namespace, number, output, run


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
    name = "adam_step"
    p, g, *_ = arrays(name, parameter=parameter, gradient=gradient, mean=mean, square=square)
    for what, array in (("gradient", gradient), ("mean", mean)):
        if array.shape != parameter.shape:
            raise ValueError(f"{name}: {what}.shape={array.shape} but parameter.shape={parameter.shape}")
    in_place(name, mean=mean, square=square)
    new = _result(name, parameter, out, (gradient, mean, square))
    if any(namespace(gradient).may_share_memory(gradient, changed) for changed in (mean, square)):
        raise ValueError(f"{name}: gradient shares memory with an array that is changed; pass a copy")
    if not isinstance(step, (int, np.integer)) or step < 1:
        raise ValueError(f"{name}: step must be an int that counts from 1, got {step!r}")
    lr = number(name, "lr", lr)
    beta1, beta2 = number(name, "beta1", beta1), number(name, "beta2", beta2)
    eps, weight_decay = number(name, "eps", eps), number(name, "weight_decay", weight_decay)
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise ValueError(f"{name}: beta1 and beta2 must be in [0, 1), got {beta1} and {beta2}")
    if eps < 0 or weight_decay < 0:
        raise ValueError(f"{name}: eps and weight_decay must not be negative, got {eps} and {weight_decay}")
    if parameter.size == 0:
        return new

    step_size = lr / (1 - beta1**step)
    root = math.sqrt(1 - beta2**step)
    keep = 1 - lr * weight_decay if decoupled else 1.0
    decay = 0.0 if decoupled else weight_decay
    scalar = parameter.dtype.type
    scalars = [scalar(s) for s in (keep, decay, beta1, 1 - beta1, beta2, 1 - beta2, step_size, root, eps)]
    flat = [a.reshape(-1) for a in (p, g, mean, square)]
    run(__package__, "adam", parameter.size, *flat, *scalars, new.reshape(-1))
    return new


def ema_update(
    average: np.ndarray, parameter: np.ndarray, decay: float, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Return ``average + (1 - decay) * (parameter - average)``: an exponential moving average, one step on.

    ``decay`` is in [0, 1]: 0 copies the parameter, 1 leaves the average alone. Both arrays have one shape and
    dtype. ``out``: where to write the result; it may be ``average`` itself. TypeError or ValueError otherwise.
    """
    name = "ema_update"
    before, source = arrays(name, average=average, parameter=parameter)
    if average.shape != parameter.shape:
        raise ValueError(f"{name}: average.shape={average.shape} but parameter.shape={parameter.shape}")
    new = _result(name, average, out, (parameter,))
    decay = number(name, "decay", decay)
    if not 0 <= decay <= 1:
        raise ValueError(f"{name}: decay must be in [0, 1], got {decay}")
    if average.size:
        scalar = average.dtype.type
        flat = before.reshape(-1), source.reshape(-1)
        run(__package__, "ema", average.size, *flat, scalar(decay), scalar(1 - decay), new.reshape(-1))
    return new
