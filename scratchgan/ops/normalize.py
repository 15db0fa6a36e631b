"""Batch, group, layer and instance normalisation.

All are one computation over different sets of elements:  y = (x - mean) / sqrt(var + eps) * weight + bias.
"""

from __future__ import annotations

import math
from typing import Any

from .. import kernels
from ..autograd import Function, is_grad_enabled
from ..device import Array
from ..tensor import Tensor, as_tensor
from .elementwise import sqrt
from .reduce import mean, sum, var
from .shape import reshape


class BatchNorm(Function):
    """Normalises each channel by its own mean and biased variance (Ioffe & Szegedy, 2015, algorithm 1).

    (x, weight, bias) -> y. After the call ``mean`` and ``invstd`` = 1 / sqrt(var + eps), each (C,), are there for the
    running statistics.
    """

    saves_inputs = (True, True, False)
    saves_output = False

    def __init__(self, eps: float):
        self.eps = eps

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        y, self.mean, self.invstd = kernels.batch_norm(x, weight, bias, self.eps)
        return y

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor, weight: Tensor, _: None) -> Any:
        if is_grad_enabled():  # to be differentiated again: the same formula, in operators
            return _batch_norm_grad(gy, x, weight, self.eps)
        return tuple(Tensor(g) for g in kernels.batch_norm_grad(gy.data, x.data, weight.data, self.mean, self.invstd))


def _batch_norm_grad(gy: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and bias.

    Mean and variance depend on x too. Through them the gradient loses its mean, and its component along the
    normalised x:

        gx = weight / std * (gy - mean(gy) - x_hat * mean(gy * x_hat))
    """
    axes = (0, *range(2, x.ndim))
    channels = (1, -1) + (1,) * (x.ndim - 2)
    std = sqrt(var(x, axes, keepdims=True) + eps)
    x_hat = (x - mean(x, axes, keepdims=True)) / std
    along = gy * x_hat
    g_hat = gy - mean(gy, axes, keepdims=True) - x_hat * mean(along, axes, keepdims=True)
    return reshape(weight, channels) / std * g_hat, sum(along, axes), sum(gy, axes)


def batch_norm(
    x: Any,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Any,
    bias: Any,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of x (N,C,...), then scale by ``weight`` (C,) and shift by ``bias`` (C,).

    Training uses the batch's own statistics, and moves the arrays ``running_mean`` and ``running_var`` (C,), in place,
    by ``momentum`` toward its mean and unbiased variance, as PyTorch does. Otherwise the running ones are used.
    """
    x, weight, bias = as_tensor(x), as_tensor(weight), as_tensor(bias)
    if x.ndim < 2 or weight.shape != x.shape[1:2] or bias.shape != weight.shape:
        raise ValueError(
            f"batch_norm: x (N,C,...) is {x.shape}, so weight and bias must be {x.shape[1:2]}, "
            f"got {weight.shape} and {bias.shape}"
        )
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: without training=True it needs running_mean and running_var")
        channels = (1, -1) + (1,) * (x.ndim - 2)
        scale = weight / sqrt(Tensor(running_var) + eps)
        shift = bias - Tensor(running_mean) * scale
        return x * reshape(scale, channels) + reshape(shift, channels)
    count = x.size // max(x.shape[1], 1)
    if count < 2:
        raise ValueError(f"batch_norm: training needs more than one value per channel, got x of shape {x.shape}")
    function = BatchNorm(eps)
    y = function(x, weight, bias)
    if running_mean is not None and running_var is not None:
        variance = (1 / (function.invstd * function.invstd) - eps).clip(0) * (count / (count - 1))
        running_mean += momentum * (function.mean - running_mean)
        running_var += momentum * (variance - running_var)
    return y


def group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Normalise each image's channels in ``groups`` equal groups (Wu & He, 2018); x (N,C,...), weight and bias (C,)."""
    x = as_tensor(x)
    if x.ndim < 2 or groups < 1 or x.shape[1] % groups:
        raise ValueError(f"group_norm: the channels of x (N,C,...) {x.shape} cannot be divided into {groups} groups")
    y = _normalized_rows(x, x.shape[0] * groups, eps)
    channels = (1, -1) + (1,) * (x.ndim - 2)
    if weight is not None:
        y = y * reshape(weight, channels)
    return y if bias is None else y + reshape(bias, channels)


def instance_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Normalise each channel of each image alone (Ulyanov et al., 2016); x (N,C,...), weight and bias (C,)."""
    x = as_tensor(x)
    if x.ndim < 3:
        raise ValueError(f"instance_norm: x must be (N,C,...) with at least 3 axes, got {x.shape}")
    return group_norm(x, x.shape[1], weight, bias, eps)


def layer_norm(x: Any, shape: tuple[int, ...], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Normalise over the last axes, which must be ``shape`` (Ba et al., 2016); weight and bias have that shape."""
    x = as_tensor(x)
    if not shape or x.shape[x.ndim - len(shape) :] != tuple(shape):
        raise ValueError(f"layer_norm: the last axes of x {x.shape} are not {tuple(shape)}")
    y = _normalized_rows(x, math.prod(x.shape[: x.ndim - len(shape)]), eps)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


def _normalized_rows(x: Tensor, rows: int, eps: float) -> Tensor:
    """Normalise each of ``rows`` equal runs of elements: batch norm of one image with a channel per run."""
    xp = x.namespace
    one, zero = Tensor(xp.ones(rows, x.dtype)), Tensor(xp.zeros(rows, x.dtype))
    return reshape(BatchNorm(eps)(reshape(x, (1, rows, x.size // max(rows, 1))), one, zero), x.shape)
