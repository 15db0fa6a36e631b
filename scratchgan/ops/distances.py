"""Further losses: of distances, of distributions, and of how rough an image is."""

from __future__ import annotations

from typing import Any

from ..autograd import constant
from ..tensor import Tensor
from .arguments import FLAG, FLOATING, NETWORK, REDUCTION, choice, number, operator
from .elementwise import abs, exp, log, multiply, subtract, where
from .loss import reduced, same_shape
from .reduce import sum


@operator(prediction=NETWORK, target=NETWORK, delta=number(above=0), reduction=REDUCTION)
def huber_loss(prediction: Any, target: Any, delta: float = 1.0, reduction: str = "mean") -> Tensor:
    """d**2 / 2 where the difference d is at most ``delta``, delta * (|d| - delta / 2) beyond (Huber, 1964).

    With delta 1 it is the smooth L1 loss. ``reduction``: "mean" or "sum" over all elements, or "none".
    """
    difference = subtract(*same_shape("huber_loss", prediction, target))
    size = abs(difference)
    near = constant(size.data <= delta)
    loss = where(near, difference * difference * 0.5, (size - 0.5 * delta) * delta)
    return reduced("huber_loss", loss, reduction)


@operator(input=NETWORK, target=NETWORK, reduction=choice("mean", "sum", "none", "batchmean"), log_target=FLAG)
def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """target * (log(target) - input), element by element: ``input`` are the logarithms of probabilities.

    ``target`` are probabilities, of which 0 contributes 0, or with ``log_target`` logarithms. ``reduction`` "batchmean"
    divides the sum by the first axis' length, which is the Kullback-Leibler divergence of a batch; "mean" divides by
    the number of all elements, "sum" and "none" are as they say.
    """
    if input.shape != target.shape:
        raise ValueError(f"kl_div: input is {input.shape} but target is {target.shape}")
    if log_target:
        loss = multiply(exp(target), target - input)
    else:
        positive = constant(target.data > 0)
        safe = where(positive, target, 1.0)
        loss = where(positive, target * (log(safe) - input), multiply(target, 0.0))
    if reduction == "batchmean":
        if input.ndim == 0 or input.shape[0] == 0:
            raise ValueError(f"kl_div: reduction 'batchmean' needs a batch, got input {input.shape}")
        return sum(loss) * (1.0 / input.shape[0])
    return reduced("kl_div", loss, reduction)


@operator(x=FLOATING)
def total_variation(x: Any) -> Tensor:
    """How rough images are: the absolute differences of neighbouring pixels, added up, (N,C,H,W) -> (N,).

    The anisotropic form of Rudin, Osher & Fatemi (1992).
    """
    if x.ndim != 4:
        raise ValueError(f"total_variation: x must be (N,C,H,W), got {x.shape}")
    down, across = x[:, :, 1:] - x[:, :, :-1], x[:, :, :, 1:] - x[:, :, :, :-1]
    return sum(abs(down), (1, 2, 3)) + sum(abs(across), (1, 2, 3))
