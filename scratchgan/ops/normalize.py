"""Batch, group, layer and instance normalisation.

All are one computation over different sets of elements:  y = (x - mean) / sqrt(var + eps) * weight + bias.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Function, constant
from ..device import Array
from ..recording import is_grad_enabled
from ..tensor import Tensor
from .activation import LeakyReluGrad, leaky_relu
from .arguments import EPS, FLAG, NETWORK, SHAPE, SLOPE, Rule, integer, number, operator, optional
from .elementwise import sqrt
from .reduce import mean, sum
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
        return tuple(constant(g) for g in kernels.batch_norm_grad(*arrays, self.slope))


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
    if x.size == 0:  # no value has a mean
        return gy * reshape(weight, channels), sum(gy * x, axes), sum(gy, axes)
    # In units of the largest deviation, whose square is 1: that of x itself may overflow, or vanish.
    deviation = x - mean(x, axes, keepdims=True)
    unit = _unit(deviation)
    deviation = deviation * (1.0 / unit)
    std = sqrt(mean(deviation * deviation, axes, keepdims=True) + eps / unit / unit)
    x_hat = deviation / std
    if slope != 1:
        y = x_hat.detach() * reshape(weight.detach(), channels) + reshape(bias.detach(), channels)
        gy = LeakyReluGrad(slope)(gy, y)
    along = gy * x_hat
    g_hat = gy - mean(gy, axes, keepdims=True) - x_hat * mean(along, axes, keepdims=True)
    return reshape(weight, channels) / std * (1.0 / unit) * g_hat, sum(along, axes), sum(gy, axes)


def _unit(deviation: Tensor) -> float:
    """Return 1, or a power of 2 near the largest deviation if its square, or that of others, leaves the dtype."""
    if not isinstance(deviation.data, np.ndarray):
        return 1.0  # a look at the numbers would be a wait for the GPU
    largest = float(np.abs(deviation.data).max())
    limit = 1e12 if deviation.dtype == np.float32 else 1e100
    return 1.0 if not 0 < largest < math.inf or 1 / limit < largest < limit else 2.0 ** math.frexp(largest)[1]


def _per_channel(operator: str, x: Tensor, **arrays: Any) -> None:
    """Raise ValueError unless each array that is given has one number for each channel of x (N,C,...)."""
    for name, array in arrays.items():
        if array is not None and array.shape != x.shape[1:2]:
            raise ValueError(
                f"{operator}: {name} must be {x.shape[1:2]}, one for each channel of x {x.shape}, got {array.shape}"
            )


def _running(operator: str, mean: Any, var: Any, x: Tensor) -> None:
    """Raise unless running statistics are both there, or neither, and fit x."""
    if (mean is None) != (var is None):
        raise ValueError(f"{operator}: running_mean and running_var belong together; give both, or neither")
    _per_channel(operator, x, running_mean=mean, running_var=var)
    if mean is not None and not mean.dtype == var.dtype == x.dtype:
        raise TypeError(
            f"{operator}: running_mean is {mean.dtype} and running_var {var.dtype}, but x is {x.dtype}; convert them"
        )


def _statistic(operator: str, argument: str, value: Any) -> Any:
    if isinstance(value, Tensor) or not hasattr(value, "shape") or getattr(value, "dtype", None) not in _FLOATS:
        raise TypeError(
            f"{operator}: {argument} must be an array of float32 or float64, which is changed in place, or None; "
            f"got {type(value).__name__}"
        )
    return value


_FLOATS = (np.float32, np.float64)
_STATISTIC = optional(Rule("an array (C,), changed in place", _statistic, ("a", 1.0, [1.0], {})))
_MOMENTUM = number(0, 1)


@operator(
    x=NETWORK,
    running_mean=_STATISTIC,
    running_var=_STATISTIC,
    weight=optional(NETWORK),
    bias=optional(NETWORK),
    training=FLAG,
    momentum=_MOMENTUM,
    eps=EPS,
    slope=SLOPE,
)
def batch_norm(
    x: Any,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    slope: float = 1.0,
) -> Tensor:
    """Normalise each channel of x (N,C,...), then scale by ``weight`` (C,) and shift by ``bias`` (C,), if given.

    A ``slope`` other than 1 means ``leaky_relu(batch_norm(...), slope)``: in training it is computed in the same pass
    over memory, both ways.

    Training uses the batch's own statistics, and moves the arrays ``running_mean`` and ``running_var`` (C,), in place,
    by ``momentum`` toward its mean and unbiased variance, as PyTorch does. Otherwise the running ones are used.
    """
    if x.ndim < 2:
        raise ValueError(f"batch_norm: x must be (N,C,...), got {x.shape}")
    _per_channel("batch_norm", x, weight=weight, bias=bias)
    _running("batch_norm", running_mean, running_var, x)
    if not training:
        if running_mean is None:
            raise ValueError("batch_norm: without training=True it needs running_mean and running_var")
        y = _by_running(x, running_mean, running_var, weight, bias, eps)
        return y if slope == 1 else leaky_relu(y, slope)
    count = x.size // max(x.shape[1], 1)
    if count < 2:
        raise ValueError(f"batch_norm: training needs more than one value per channel, got x of shape {x.shape}")
    function = BatchNorm(eps, slope)
    y = function(x, *_filled(x, weight, bias))
    if running_mean is not None:
        _move(running_mean, running_var, function, count, momentum)
    return y


def _filled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return weight and bias; ones and zeros for what is not given."""
    xp, size = x.namespace, x.shape[1]
    return (
        constant(xp.ones(size, x.dtype)) if weight is None else weight,
        constant(xp.zeros(size, x.dtype)) if bias is None else bias,
    )


def _by_running(x: Tensor, mean: Array, var: Array, weight: Any, bias: Any, eps: float) -> Tensor:
    """Normalise by statistics that are constants."""
    channels = (1, -1) + (1,) * (x.ndim - 2)
    scale = 1.0 / sqrt(Tensor(var) + eps) if weight is None else weight / sqrt(Tensor(var) + eps)
    middle = Tensor(mean) * scale
    shift = -middle if bias is None else bias - middle
    return x * reshape(scale, channels) + reshape(shift, channels)


def _move(running_mean: Array, running_var: Array, function: BatchNorm, count: int, momentum: float) -> None:
    """Move running statistics (C,) toward those of a batch, or of each of its images: then toward their mean."""
    mean, invstd = function.mean, function.invstd
    variance = (1 / (invstd * invstd) - function.eps).clip(0) * (count / (count - 1))
    if mean.shape != running_mean.shape:
        mean, variance = (a.reshape(-1, running_mean.size).mean(axis=0) for a in (mean, variance))
    running_mean += momentum * (mean - running_mean)
    running_var += momentum * (variance - running_var)


@operator(x=NETWORK, groups=integer(1), weight=optional(NETWORK), bias=optional(NETWORK), eps=EPS)
def group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Normalise each image's channels in ``groups`` equal groups (Wu & He, 2018); x (N,C,...), weight and bias (C,)."""
    if x.ndim < 2 or x.shape[1] % groups:
        raise ValueError(f"group_norm: the channels of x (N,C,...) {x.shape} cannot be divided into {groups} groups")
    return _by_groups("group_norm", x, groups, weight, bias, BatchNorm(eps))


def _by_groups(operator: str, x: Tensor, groups: int, weight: Any, bias: Any, function: BatchNorm) -> Tensor:
    _per_channel(operator, x, weight=weight, bias=bias)
    y = _normalized_rows(operator, x, x.shape[0] * groups, function)
    channels = (1, -1) + (1,) * (x.ndim - 2)
    if weight is not None:
        y = y * reshape(weight, channels)
    return y if bias is None else y + reshape(bias, channels)


@operator(
    x=NETWORK,
    weight=optional(NETWORK),
    bias=optional(NETWORK),
    eps=EPS,
    running_mean=_STATISTIC,
    running_var=_STATISTIC,
    training=FLAG,
    momentum=_MOMENTUM,
)
def instance_norm(
    x: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    training: bool = True,
    momentum: float = 0.1,
) -> Tensor:
    """Normalise each channel of each image alone (Ulyanov et al., 2016); x (N,C,...), weight and bias (C,).

    With ``running_mean`` and ``running_var`` (C,), training moves them, in place, toward the mean over the batch of
    each image's mean and unbiased variance; with training=False they are used instead. PyTorch calls the latter
    use_input_stats=False.
    """
    if x.ndim < 3:
        raise ValueError(f"instance_norm: x must be (N,C,...) with at least 3 axes, got {x.shape}")
    _running("instance_norm", running_mean, running_var, x)
    if not training:
        if running_mean is None:
            raise ValueError("instance_norm: with training=False it needs running_mean and running_var")
        _per_channel("instance_norm", x, weight=weight, bias=bias)
        return _by_running(x, running_mean, running_var, weight, bias, eps)
    function = BatchNorm(eps)
    y = _by_groups("instance_norm", x, max(x.shape[1], 1), weight, bias, function)
    if running_mean is not None and x.size:
        _move(running_mean, running_var, function, math.prod(x.shape[2:]), momentum)
    return y


@operator(x=NETWORK, shape=SHAPE, weight=optional(NETWORK), bias=optional(NETWORK), eps=EPS)
def layer_norm(x: Any, shape: tuple[int, ...], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Normalise over the last axes, which must be ``shape`` (Ba et al., 2016); weight and bias have that shape."""
    if not shape or x.shape[max(x.ndim - len(shape), 0) :] != shape:
        raise ValueError(f"layer_norm: the last axes of x {x.shape} are not {shape}")
    for name, array in (("weight", weight), ("bias", bias)):
        if array is not None and array.shape != shape:
            raise ValueError(f"layer_norm: {name} must be {shape}, got {array.shape}")
    y = _normalized_rows("layer_norm", x, math.prod(x.shape[: x.ndim - len(shape)]), BatchNorm(eps))
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


def _normalized_rows(operator: str, x: Tensor, rows: int, function: BatchNorm) -> Tensor:
    """Normalise each of ``rows`` equal runs of elements: batch norm of one image with a channel per run."""
    count = x.size // max(rows, 1)
    if count == 1:
        raise ValueError(
            f"{operator}: x {x.shape} has one value for each mean, which it is itself, so the result would be 0 "
            "whatever x is; leave the normalisation out here, or give it larger images"
        )
    rows_of_x = reshape(x, (1, rows, count))
    return reshape(function(rows_of_x, *_filled(rows_of_x, None, None)), x.shape)
