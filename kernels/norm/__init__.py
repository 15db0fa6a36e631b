"""Batch normalisation with the batch's own statistics, its gradient, and the sum over all but the channels.

Images are N,C and up to three spatial axes, float32 or float64. Sums are float64 whatever the arrays are, and
do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np

from ..arguments import arrays, empty, namespace, number, output, run, slope_option


def _channels_apart(array: np.ndarray) -> np.ndarray:
    """Return N,C,... as (N,C,S); N,C as (1,C,N), copied so that a channel's values lie together."""
    if array.ndim == 2:
        return namespace(array).ascontiguousarray(array.T)[None]
    n, c = array.shape[:2]
    return array.reshape(n, c, int(np.prod(array.shape[2:])))


def _check_batch(operator: str, x: np.ndarray, name: str = "x") -> None:
    if not 2 <= x.ndim <= 5:
        raise ValueError(f"{operator}: {name} must have 2 to 5 axes (N,C,...), got shape {x.shape}")


def _check_channels(operator: str, x: np.ndarray, **per_channel: np.ndarray) -> None:
    for name, array in per_channel.items():
        if array.shape != (x.shape[1],):
            raise ValueError(
                f"{operator}: {name}.shape={array.shape} but x.shape[1]={x.shape[1]} (x is N,C,...; {name} is C)"
            )


def batch_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float, slope: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalise each channel of ``x`` by its own mean and variance; return (y, mean, invstd).

    y = (x - mean) * invstd * weight + bias, with invstd = 1/sqrt(var + eps), the variance biased (divided by the
    number of values), and both statistics over all axes but 1. x is N,C and up to three more axes; weight and
    bias are C, and so are the mean and invstd returned. A channel without a value has NaN for both. Where that y is
    not positive it is multiplied by ``slope``: a leaky ReLU in the same pass, for 0 a ReLU, for 1 none.

    The variance is that of the differences from the channel's first value, so a large mean costs no accuracy.

    Source: S. Ioffe and C. Szegedy, "Batch normalization", 2015, algorithm 1. Raises TypeError or ValueError for
    dtypes or shapes that do not fit, or a negative eps or slope.
    """
    eps, slope = number("batch_norm", "eps", eps), slope_option("batch_norm", slope)
    if eps < 0:
        raise ValueError(f"batch_norm: eps must not be negative, got {eps}")
    x, weight, bias = arrays("batch_norm", x=x, weight=weight, bias=bias)
    _check_batch("batch_norm", x)
    _check_channels("batch_norm", x, weight=weight, bias=bias)
    if x.size == 0:
        nothing = namespace(x).full(x.shape[1], np.nan, x.dtype)
        return empty(x.shape, x), nothing, nothing.copy()

    values = _channels_apart(x)
    y = empty(values.shape if x.ndim == 2 else x.shape, x)
    mean, invstd = empty(weight.shape, weight), empty(weight.shape, weight)
    run(
        __package__, "batch_norm", x.size, values, weight, bias, eps, x.dtype.type(slope), y.reshape(values.shape),
        mean, invstd,
    )  # fmt: skip
    return _as_given(y, x), mean, invstd


def _as_given(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Undo ``_channels_apart``."""
    return namespace(y).ascontiguousarray(y[0].T) if x.ndim == 2 else y


def batch_norm_grad(
    gy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    mean: np.ndarray,
    invstd: np.ndarray,
    slope: float = 1.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (gx, gweight, gbias), the gradients of ``batch_norm``; ``mean`` and ``invstd`` as it returned them.

    gx takes into account that the mean and the variance depend on x::

        xhat = (x - mean) * invstd
        g = gy where xhat * weight + bias is positive, slope * gy elsewhere
        gx = weight * invstd * (g - average(g) - xhat * average(g * xhat))

    gy and x have one shape, the other four arrays are C. TypeError or ValueError otherwise.
    """
    name = "batch_norm_grad"
    slope = slope_option(name, slope)
    gy, x, weight, bias, mean, invstd = arrays(name, gy=gy, x=x, weight=weight, bias=bias, mean=mean, invstd=invstd)
    _check_batch(name, x)
    if gy.shape != x.shape:
        raise ValueError(f"{name}: gy.shape={gy.shape} but x.shape={x.shape}; they must be equal")
    _check_channels(name, x, weight=weight, bias=bias, mean=mean, invstd=invstd)
    if x.size == 0:
        return empty(x.shape, x), namespace(x).zeros_like(weight), namespace(x).zeros_like(weight)

    values = _channels_apart(x)
    gx = empty(values.shape if x.ndim == 2 else x.shape, x)
    gweight, gbias = empty(weight.shape, weight), empty(weight.shape, weight)
    run(
        __package__, "batch_norm_grad", x.size, _channels_apart(gy), values, weight, bias, mean, invstd,
        x.dtype.type(slope), gx.reshape(values.shape), gweight, gbias,
    )  # fmt: skip
    return _as_given(gx, x), gweight, gbias


def channel_sum(gy: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return the sum of ``gy`` over every axis but 1: the gradient of a bias, shape (C,).

    gy is N,C and up to three more axes. Raises TypeError or ValueError for anything else.
    """
    (gy,) = arrays("channel_sum", gy=gy)
    _check_batch("channel_sum", gy, "gy")
    result = output("channel_sum", out, (gy.shape[1],), (gy,))
    if gy.size == 0 or gy.ndim == 2:  # NumPy adds N,C row by row, which is the order of its memory
        result[...] = gy.sum(axis=(0, *range(2, gy.ndim)), dtype=np.float64)
        return result

    run(__package__, "channel_sum", gy.size, _channels_apart(gy), result)
    return result
