"""Batch, group, layer and instance normalisation.

All are one computation over different sets of elements:  y = (x - mean) / sqrt(var + eps) * weight + bias.
"""

from __future__ import annotations

import math
from typing import Any

from .. import kernels
from ..autograd import Function
from ..device import Array
from ..recording import is_grad_enabled
from ..tensor import Tensor, as_tensor
from .activation import LeakyReluGrad, leaky_relu
from .elementwise import sqrt
from .reduce import mean, sum, var
from .shape import reshape


class BatchNorm(Function):
    """Normalises each channel by its own mean and biased variance (Ioffe & Szegedy, 2015, algorithm 1).

    (x, weight, bias) -> y, and a leaky ReLU of ``slope`` in the same pass: 0 is a ReLU, 1 is none. The gradient needs
    no array for it, since the sign of y follows from x. After the call ``mean`` and ``invstd`` = 1 / sqrt(var + eps),
    each (C,), are there for the running statistics.
    """

    saves_output = False

    def __init__(self, eps: float, slope: float = 1.0):
        self.eps, self.slope = eps, slope

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        y, self.mean, self.invstd = kernels.batch_norm(x, weight, bias, self.eps, self.slope)
        return y

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor, weight: Tensor, bias: Tensor) -> Any:
        if is_grad_enabled():  # to be differentiated again: the same formula, in operators
            return _batch_norm_grad(gy, x, weight, bias, self.eps, self.slope)
        arrays = (gy.data, x.data, weight.data, bias.data, self.mean, self.invstd)
        return tuple(Tensor(g) for g in kernels.batch_norm_grad(*arrays, self.slope))


def _batch_norm_grad(
    gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, eps: float, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and bias.

    Mean and variance depend on x too. Through them the gradient loses its mean, and its component along the
    normalised x:

        gx = weight / std * (gy - mean(gy) - x_hat * mean(gy * x_hat))

    where gy has come back through the activation first, if there is one.
    """
    axes = (0, *range(2, x.ndim))
    channels = (1, -1) + (1,) * (x.ndim - 2)
    std = sqrt(var(x, axes, keepdims=True) + eps)
    x_hat = (x - mean(x, axes, keepdims=True)) / std
    if slope != 1:
        y = x_hat.detach() * reshape(weight.detach(), channels) + reshape(bias.detach(), channels)
        gy = LeakyReluGrad(slope)(gy, y)
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
    slope: float = 1.0,
) -> Tensor:
    """Normalise each channel of x (N,C,...), then scale by ``weight`` (C,) and shift by ``bias`` (C,).

    A ``slope`` other than 1 means ``leaky_relu(batch_norm(...), slope)``: in training it is computed in the same pass
    over memory, both ways.

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
        y = x * reshape(scale, channels) + reshape(shift, channels)
        return y if slope == 1 else leaky_relu(y, slope)
    count = x.size // max(x.shape[1], 1)
    if count < 2:
        raise ValueError(f"batch_norm: training needs more than one value per channel, got x of shape {x.shape}")
    function = BatchNorm(eps, slope)
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
