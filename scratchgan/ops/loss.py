"""Losses, each a mean over the batch; those of probabilities are computed from logits, which keeps them finite."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Function, is_grad_enabled
from ..device import Array, to_device
from ..tensor import Tensor, as_tensor
from .activation import sigmoid, softplus
from .elementwise import abs, multiply, subtract
from .reduce import logsumexp, mean
from .shape import getitem


class BinaryCrossEntropy(Function):
    """Logits -> the mean over all of them, for a target that is a number or an array: one pass makes its gradient too.

    The gradient (sigmoid(z) - t) / n is kept for a backward that is not differentiated again.
    """

    saves_output = False

    def __init__(self, target: Any):
        self.target = target

    def forward(self, logits: Array) -> Array:
        loss, self.gradient = kernels.bce_with_logits(logits, self.target)
        return loss

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, logits: Tensor) -> Any:
        if is_grad_enabled():  # to be differentiated again: the same formula, in operators
            return gy * ((sigmoid(logits) - self.target) * (1.0 / logits.size))
        return gy * Tensor(self.gradient)


def binary_cross_entropy_with_logits(logits: Any, target: Any) -> Tensor:
    """The mean of -t*log(s) - (1-t)*log(1-s) with s = sigmoid(logits) and targets t in [0, 1].

    Written as softplus(z) - t*z, which neither overflows nor takes the logarithm of 0. ``target`` is broadcast, so a
    number does for a whole batch.
    """
    logits = as_tensor(logits)
    shape = np.shape(target.data if isinstance(target, Tensor) else target)
    if shape and shape != logits.shape:
        raise ValueError(
            f"binary_cross_entropy_with_logits: target {shape} must be one number "
            f"or have the logits' shape {logits.shape}"
        )
    if not isinstance(target, (int, float)):
        target = as_tensor(target)
        if target.requires_grad or not shape:
            return mean(softplus(logits) - multiply(logits, target))
        target = target.data
    return BinaryCrossEntropy(target)(logits)


def cross_entropy(logits: Any, labels: Any) -> Tensor:
    """The mean of -log softmax(logits)[label]: logits (N,K), labels N integers from 0 to K-1."""
    logits = as_tensor(logits)
    labels = to_device(labels.data, "cpu") if isinstance(labels, Tensor) else np.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            "cross_entropy: logits must be (N,K) and labels N integers, "
            f"got {logits.shape} and {labels.dtype} {labels.shape}"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise ValueError(
            f"cross_entropy: labels run from {labels.min()} to {labels.max()}, but there are {logits.shape[1]} classes"
        )
    return mean(logsumexp(logits, 1) - getitem(logits, (np.arange(len(labels)), labels)))


def mse_loss(prediction: Any, target: Any) -> Tensor:
    """The mean squared difference."""
    difference = subtract(*_same_shape("mse_loss", prediction, target))
    return mean(difference * difference)


def l1_loss(prediction: Any, target: Any) -> Tensor:
    """The mean absolute difference; its gradient where the two are equal is 0."""
    return mean(abs(subtract(*_same_shape("l1_loss", prediction, target))))


def _same_shape(operator: str, prediction: Any, target: Any) -> tuple[Tensor, Tensor]:
    prediction, target = as_tensor(prediction), as_tensor(target)
    if prediction.shape != target.shape:
        raise ValueError(f"{operator}: prediction is {prediction.shape} but target is {target.shape}")
    return prediction, target
