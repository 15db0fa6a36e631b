"""Losses. Those of probabilities are computed from logits, which keeps them finite, and exact where they are small.

``reduction`` says what becomes of the losses of the elements: their "mean", their "sum", or "none", all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Function, constant, is_grad_enabled
from ..device import Array
from ..guard import kept
from ..tensor import Tensor
from .activation import sigmoid, softplus
from .arguments import (
    FLOATING,
    INTEGERS,
    NETWORK,
    REDUCTION,
    Rule,
    either,
    integer,
    is_number,
    number,
    operator,
    optional,
)
from .elementwise import abs, multiply, subtract, where
from .reduce import log_softmax, mean, sum
from .shape import GetItem, reshape


class BinaryCrossEntropy(Function):
    """Logits -> the mean over all of them, for a target that is a number or an array: one pass makes its gradient too.

    The gradient (sigmoid(z) - t) / n is kept for a backward that is not differentiated again.
    """

    saves_output = False

    def __init__(self, target: Any):
        self.target = kept(target)

    def forward(self, logits: Array) -> Array:
        loss, self.gradient = kernels.bce_with_logits(logits, self.target)
        return loss

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, logits: Tensor) -> Any:
        if is_grad_enabled():  # to be differentiated again: the same formula, in operators
            t = self.target if is_number(self.target) else constant(self.target)
            return gy * (((1.0 - t) * sigmoid(logits) - t * sigmoid(-logits)) * (1.0 / logits.size))
        return gy * constant(self.gradient)


def reduced(operator: str, losses: Tensor, reduction: str, total: Any = None) -> Tensor:
    """Return what ``reduction`` makes of the losses; the mean is over ``total``, by default their number."""
    if reduction == "none":
        return losses
    if reduction == "mean" and total is None:
        if not losses.size:
            raise ValueError(f"{operator}: there is nothing to take the mean of in {losses.shape}")
        return mean(losses)
    return sum(losses) if reduction == "sum" else sum(losses) / total


_TARGET = either(number(0, 1), NETWORK, is_number)
_WEIGHT = optional(FLOATING)


@operator(logits=NETWORK, target=_TARGET, weight=_WEIGHT, pos_weight=_WEIGHT, reduction=REDUCTION)
def binary_cross_entropy_with_logits(
    logits: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """-t*log(s) - (1-t)*log(1-s) with s = sigmoid(logits) and targets t in [0, 1], reduced.

    It is t*softplus(-z) + (1-t)*softplus(z), which neither overflows nor takes the logarithm of 0. ``target`` has the
    logits' shape, or is one number for all. ``weight`` multiplies the losses, ``pos_weight`` their part of t; both are
    broadcast.
    """
    name = "binary_cross_entropy_with_logits"
    if isinstance(target, Tensor):
        if target.shape and target.shape != logits.shape:
            raise ValueError(
                f"{name}: target {target.shape} must be one number or have the logits' shape {logits.shape}"
            )
        values = target.data
        if isinstance(values, np.ndarray) and values.size and not 0 <= values.min() <= values.max() <= 1:
            raise ValueError(f"{name}: targets must be in [0, 1], got {values.min():g} to {values.max():g}")
    plain = weight is None and pos_weight is None and not (isinstance(target, Tensor) and target.requires_grad)
    if plain and reduction == "mean" and logits.size and (is_number(target) or target.shape):
        return BinaryCrossEntropy(target)(logits)
    positive = target if pos_weight is None else multiply(target, pos_weight)
    shares = [(positive, -logits), (1.0 - target, logits)]
    parts = [_part(share, softplus(z)) for share, z in shares if not (is_number(share) and share == 0)]
    losses = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    return reduced(name, losses if weight is None else losses * weight, reduction)


def _part(share: Any, losses: Tensor) -> Tensor:
    """Return share * losses; what has no share counts 0, even if it is infinite."""
    product = share * losses
    return product if is_number(share) or share.requires_grad else where(share == 0, 0.0, product)


def _labels(operator: str, argument: str, value: Any) -> Any:
    """Integers as an array; floating numbers as a Tensor."""
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    return (NETWORK if kind == "f" else INTEGERS).check(operator, argument, value)


_LABELS = Rule("integers, or probabilities", _labels, INTEGERS.wrong)


@operator(
    logits=NETWORK,
    labels=_LABELS,
    weight=_WEIGHT,
    ignore_index=integer(),
    label_smoothing=number(0, 1),
    reduction=REDUCTION,
)
def cross_entropy(
    logits: Any,
    labels: Any,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """-log softmax(logits)[label] over the classes, axis 1 of logits (N,K,...), reduced.

    ``labels``: integers (N,...) from 0 to K-1, or an array of probabilities like ``logits``. ``weight`` (K,): what a
    class counts; the mean is then over the weights of the labels. A label ``ignore_index`` counts nothing.
    ``label_smoothing`` takes that much from the label and gives it to all classes evenly (Szegedy et al., 2016).
    """
    if logits.ndim < 2:
        raise ValueError(f"cross_entropy: logits must be (N,K,...), got {logits.shape}")
    classes = logits.shape[1]
    if weight is not None and weight.shape != (classes,):
        raise ValueError(f"cross_entropy: weight must be ({classes},), one for each class, got {weight.shape}")
    # What each class counts, ready to be broadcast over the logits.
    each = None if weight is None else reshape(weight, (classes, *[1] * (logits.ndim - 2)))
    if isinstance(labels, Tensor):
        return _of_probabilities(logits, labels, each, label_smoothing, reduction)
    if labels.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            f"cross_entropy: for logits {logits.shape} the labels must be integers "
            f"{(logits.shape[0], *logits.shape[2:])}, or probabilities {logits.shape}; "
            f"got {labels.dtype} {labels.shape}"
        )
    counted = labels != ignore_index
    used = np.where(counted, labels, 0)
    if used.size and not 0 <= used.min() <= used.max() < classes:
        raise ValueError(
            f"cross_entropy: labels run from {used.min()} to {used.max()}, but there are {classes} classes"
        )
    batch, *rest = np.ogrid[tuple(slice(n) for n in labels.shape)]
    logs = log_softmax(logits, 1)
    losses = -GetItem((batch, used, *rest))(logs)
    share = None if weight is None else GetItem(used)(weight)  # what each label counts
    if label_smoothing:
        even = sum(logs if each is None else logs * each, 1) * (-label_smoothing / classes)
        losses = (losses if share is None else losses * share) * (1.0 - label_smoothing) + even
    elif share is not None:
        losses = losses * share
    if counted.all() and share is None:
        return reduced("cross_entropy", losses, reduction)
    mask = Tensor(logits.namespace.asarray(counted))
    losses = where(mask, losses, 0.0)
    total: Any = None
    if reduction == "mean":
        if not counted.any():
            raise ValueError(f"cross_entropy: no label is to be counted; all are ignore_index={ignore_index}")
        total = float(counted.sum()) if share is None else sum(where(mask, share, 0.0))
    return reduced("cross_entropy", losses, reduction, total)


def _of_probabilities(logits: Tensor, target: Tensor, each: Any, label_smoothing: float, reduction: str) -> Tensor:
    if target.shape != logits.shape:
        raise ValueError(f"cross_entropy: probabilities must have the logits' shape {logits.shape}, got {target.shape}")
    if label_smoothing:
        target = target * (1.0 - label_smoothing) + label_smoothing / logits.shape[1]
    terms = _part(target, -log_softmax(logits, 1))
    return reduced("cross_entropy", sum(terms if each is None else terms * each, 1), reduction)


@operator(prediction=NETWORK, target=NETWORK, reduction=REDUCTION)
def mse_loss(prediction: Any, target: Any, reduction: str = "mean") -> Tensor:
    """The squared difference, reduced."""
    difference = subtract(*same_shape("mse_loss", prediction, target))
    return reduced("mse_loss", difference * difference, reduction)


@operator(prediction=NETWORK, target=NETWORK, reduction=REDUCTION)
def l1_loss(prediction: Any, target: Any, reduction: str = "mean") -> Tensor:
    """The absolute difference, reduced; its gradient where the two are equal is 0."""
    return reduced("l1_loss", abs(subtract(*same_shape("l1_loss", prediction, target))), reduction)


def same_shape(operator: str, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return both; ValueError unless they have one shape."""
    if prediction.shape != target.shape:
        raise ValueError(f"{operator}: prediction is {prediction.shape} but target is {target.shape}")
    return prediction, target
