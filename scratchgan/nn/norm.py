"""Normalisations. All divide by sqrt(variance + eps), then scale by ``weight`` and shift by ``bias``."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import numpy as np

from .. import ops
from ..ops.arguments import EPS, FLAG, SHAPE, SLOPE, integer, layer, number, optional
from ..tensor import Tensor, as_tensor
from .module import Module, Parameter


def _scale_and_shift(shape: int | tuple[int, ...], affine: bool, bias: bool = True) -> tuple[Any, Any]:
    return (
        Parameter(np.ones(shape, np.float32)) if affine else None,
        Parameter(np.zeros(shape, np.float32)) if affine and bias else None,
    )


class _RunningStatistics(Module):
    """What batch and instance normalisation share: arguments, parameters, and statistics that follow the data.

    The buffers ``running_mean`` and ``running_var`` (num_features,) move by ``momentum`` toward each training batch's
    mean and unbiased variance; with ``momentum=None`` they are the average over all batches so far.
    ``num_batches_tracked`` counts those. Without ``track_running_stats`` there are none, and evaluation normalises as
    training does.
    """

    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def _prepare(
        self, num_features: int, eps: float, momentum: float | None, affine: bool, bias: bool, track: bool
    ) -> None:
        self.num_features, self.eps, self.momentum, self.affine = num_features, eps, momentum, affine
        self.track_running_stats = track
        self.weight, self.bias = _scale_and_shift(num_features, affine, bias)
        if track:
            self.register_buffer("running_mean", np.zeros(num_features, np.float32))
            self.register_buffer("running_var", np.ones(num_features, np.float32))
            self.register_buffer("num_batches_tracked", np.zeros((), np.int64))

    def _statistics(self) -> dict[str, Any]:
        """Return the operator's arguments that are about running statistics; count the batch, if it is training."""
        if not self.track_running_stats:
            return {"running_mean": None, "running_var": None, "training": True, "momentum": 0.0}
        momentum = self.momentum
        if self.training and momentum is None:
            momentum = 1 / (int(self.num_batches_tracked) + 1)
        return {
            "running_mean": self.running_mean,
            "running_var": self.running_var,
            "training": self.training,
            "momentum": 0.0 if momentum is None else momentum,
        }

    def _count(self) -> None:
        if self.training and self.track_running_stats:
            self.num_batches_tracked += 1

    def extra_repr(self) -> str:
        text = f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}"
        return text + ("" if self.bias is not None or not self.affine else ", bias=False")


_BATCH_NORM = {
    "num_features": integer(1),
    "eps": EPS,
    "momentum": optional(number(0, 1)),
    "affine": FLAG,
    "track_running_stats": FLAG,
}


class _BatchNorm(_RunningStatistics):
    """Normalises each channel by the batch in training, and by running statistics in evaluation.

    The buffers ``running_mean`` and ``running_var`` (num_features,) move by ``momentum`` toward each training batch's
    mean and unbiased variance, or with ``momentum=None`` average them all; ``num_batches_tracked`` counts those
    batches. Without ``track_running_stats`` there are none, and the batch's own are used in evaluation too.
    ``bias=False`` leaves the shift out. With a ``negative_slope`` a leaky ReLU follows in the same pass over memory
    (0.0: a ReLU); in a Sequential, `Identity` can hold its place.
    Source: S. Ioffe and C. Szegedy, "Batch normalization", 2015.
    """

    axes: ClassVar[dict[int, str]]  # which numbers of axes an input can have, and what they are

    @layer(**_BATCH_NORM, bias=FLAG, negative_slope=SLOPE)
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        negative_slope: float = 1.0,
    ):
        self._prepare(num_features, eps, momentum, affine, bias, track_running_stats)
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Tensor:
        x = as_tensor(x)
        if x.ndim not in self.axes or x.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__}: x must be {' or '.join(self.axes.values())} with C={self.num_features}, "
                f"got {x.shape}"
            )
        y = ops.batch_norm(
            x, weight=self.weight, bias=self.bias, eps=self.eps, slope=self.negative_slope, **self._statistics()
        )
        self._count()
        return y

    def extra_repr(self) -> str:
        activation = "" if self.negative_slope == 1 else f", negative_slope={self.negative_slope}"
        return f"{super().extra_repr()}{activation}"


class BatchNorm1d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    axes: ClassVar = {2: "(N,C)", 3: "(N,C,L)"}


class BatchNorm2d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    axes: ClassVar = {4: "(N,C,H,W)"}


class InstanceNorm2d(_RunningStatistics):
    """Normalises each channel of each image alone: (N,C,H,W) -> (N,C,H,W), or one image (C,H,W).

    As in PyTorch, there is no ``weight`` and ``bias`` unless ``affine``, and evaluation does what training does, unless
    ``track_running_stats``: then it uses the average of the training images' means and variances, in the buffers
    `BatchNorm2d` has. Source: D. Ulyanov et al., "Instance normalization", 2016.
    """

    @layer(**{**_BATCH_NORM, "momentum": number(0, 1)})
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
    ):
        self._prepare(num_features, eps, momentum, affine, True, track_running_stats)

    def forward(self, x: Any) -> Tensor:
        x = as_tensor(x)
        if x.ndim == 3:  # one image
            y = self.forward(ops.reshape(x, (1, *x.shape)))
            return ops.reshape(y, y.shape[1:])
        if x.ndim != 4 or x.shape[1] != self.num_features:
            raise ValueError(
                f"InstanceNorm2d: x must be (N,C,H,W) or (C,H,W) with C={self.num_features}, got {x.shape}"
            )
        y = ops.instance_norm(x, self.weight, self.bias, self.eps, **self._statistics())
        self._count()
        return y

    def extra_repr(self) -> str:
        return super().extra_repr() + (", track_running_stats=True" if self.track_running_stats else "")


class GroupNorm(Module):
    """Normalises each image's channels in ``num_groups`` equal groups: (N,C,...) -> the same shape.

    Source: Y. Wu and K. He, "Group normalization", 2018.
    """

    @layer(num_groups=integer(1), num_channels=integer(1), eps=EPS, affine=FLAG)
    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True):
        if num_channels % num_groups:
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

    @layer(normalized_shape=SHAPE, eps=EPS, elementwise_affine=FLAG, bias=FLAG)
    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ):
        shape = cast("tuple[int, ...]", normalized_shape)
        if not shape or min(shape) < 1:
            raise ValueError(f"LayerNorm: normalized_shape must be one size or several, at least 1, got {shape}")
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self.weight, self.bias = _scale_and_shift(shape, elementwise_affine, bias)

    def forward(self, x: Any) -> Tensor:
        return ops.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
