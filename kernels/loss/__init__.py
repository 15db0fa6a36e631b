"""Losses that are fused: their value and their gradient come out of one pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import arrays, empty, kernels_for, number


def bce_with_logits(logits: np.ndarray, target: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of softplus(z) - t*z over all logits z, of shape (), and its gradient by z, (sigmoid(z) - t)/n.

    That is -t*log(s) - (1-t)*log(1-s) for the probability s = sigmoid(z), and neither overflows nor takes the
    logarithm of 0. ``target``: t in [0, 1], a number for all or an array like ``logits``. TypeError or ValueError for
    what does not fit, or if there is nothing to take the mean of.
    """
    name = "bce_with_logits"
    if isinstance(target, (int, float, np.number)):
        (z,), t = arrays(name, logits=logits), logits.dtype.type(number(name, "target", target))
    else:
        z, given = arrays(name, logits=logits, target=target)
        if given.shape != z.shape:
            raise ValueError(f"{name}: target.shape={given.shape} but logits.shape={z.shape}")
        t = given.reshape(-1)
    if z.size == 0:
        raise ValueError(f"{name}: there is nothing to take the mean of in logits {z.shape}")
    gradient: Any = empty(z.shape, z)
    loss = kernels_for(__package__, z).bce_with_logits(z.reshape(-1), t, gradient.reshape(-1))
    return loss, gradient
