"""Normalisations. All divide by sqrt(variance + eps), then scale by ``weight`` and shift by ``bias``."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .. import ops
from ..tensor import Tensor, as_tensor
from .activation import checked_slope
from .module import Module, Parameter


def _scale_and_shift(shape: int | tuple[int, ...], affine: bool, bias: bool = True) -> tuple[Any, Any]:
    return (
        Parameter(np.ones(shape, np.float32)) if affine else None,
        Parameter(np.zeros(shape, np.float32)) if affine and bias else None,
    )


class _BatchNorm(Module):
    """Normalises each channel by the batch in training, and by running statistics in evaluation.

    The buffers ``running_mean`` and ``running_var`` (num_features,) move by ``momentum`` toward each training batch's
    mean and unbiased variance; ``num_batches_tracked`` counts those batches. With a ``negative_slope`` a leaky ReLU
    follows in the same pass over memory (0.0: a ReLU); in a Sequential, `Identity` can hold its place.
    Source: S. Ioffe and C. Szegedy, "Batch normalization", 2015.
    """

    axes: ClassVar[dict[int, str]]  # which numbers of axes an input can have, and what they are

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        *,
        negative_slope: float = 1.0,
    ):
        self.num_features, self.eps, self.momentum, self.affine = num_features, eps, momentum, affine
        self.negative_slope = checked_slope(self, negative_slope)
        self.weight, self.bias = _scale_and_shift(num_features, affine)
        self.register_buffer("running_mean", np.zeros(num_features, np.float32))
        self.register_buffer("running_var", np.ones(num_features, np.float32))
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64))

    def forward(self, x: Any) -> Tensor:
        x = as_tensor(x)
        if x.ndim not in self.axes or x.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__}: x must be {' or '.join(self.axes.values())} with C={self.num_features}, "
                f"got {x.shape}"
            )
        weight, bias = self.weight, self.bias
        if weight is None:
            weight = Tensor(x.namespace.ones(self.num_features, x.dtype))
            bias = Tensor(x.namespace.zeros(self.num_features, x.dtype))
        running = self.running_mean, self.running_var
        y = ops.batch_norm(x, *running, weight, bias, self.training, self.momentum, self.eps, self.negative_slope)
        if self.training:
            self.num_batches_tracked += 1
        return y

    def extra_repr(self) -> str:
        activation = "" if self.negative_slope == 1 else f", negative_slope={self.negative_slope}"
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}{activation}"


class BatchNorm1d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    axes: ClassVar = {2: "(N,C)", 3: "(N,C,L)"}


class BatchNorm2d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    axes: ClassVar = {4: "(N,C,H,W)"}


class InstanceNorm2d(Module):
    """Normalises each channel of each image alone, in training and evaluation alike: (N,C,H,W) -> (N,C,H,W).

    As in PyTorch, there is no ``weight`` and ``bias`` unless ``affine``. Source: D. Ulyanov et al., "Instance
    normalization", 2016.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, *, affine: bool = False):
        self.num_features, self.eps, self.affine = num_features, eps, affine
        self.weight, self.bias = _scale_and_shift(num_features, affine)

    def forward(self, x: Any) -> Tensor:
        x = as_tensor(x)
        if x.ndim != 4 or x.shape[1] != self.num_features:
            raise ValueError(f"InstanceNorm2d: x must be (N,C,H,W) with C={self.num_features}, got {x.shape}")
        return ops.instance_norm(x, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, affine={self.affine}"


class GroupNorm(Module):
    """Normalises each image's channels in ``num_groups`` equal groups: (N,C,...) -> the same shape.

    Source: Y. Wu and K. He, "Group normalization", 2018.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True):
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: num_channels={num_channels} is not a multiple of num_groups={num_groups}")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.weight, self.bias = _scale_and_shift(num_channels, affine)

    def forward(self, x: Any) -> Tensor:
        x = as_tensor(x)
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ValueError(f"GroupNorm: x must be (N,C,...) with C={self.num_channels}, got {x.shape}")
        return ops.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class LayerNorm(Module):
    """Normalises over the last axes, which must have ``normalized_shape``, an int or a tuple.

    ``weight`` and ``bias`` have that shape too. Source: J. Ba et al., "Layer normalization", 2016.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ):
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self.weight, self.bias = _scale_and_shift(shape, elementwise_affine, bias)

    def forward(self, x: Any) -> Tensor:
        return ops.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
