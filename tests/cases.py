"""One OpCase per operator: what the generic tests in test_operators.py need to know about it.

The reference is computed independently of the operator: NumPy formulas here, or the plain loops beside a kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from cases_further import FURTHER
from cases_images import IMAGES
from op_case import Array, OpCase

from scratchgan import Tensor, ops
from scratchgan.device import to_device
from scratchgan.gradcheck.op import Kinks
from scratchgan.kernels.conv import reference as conv
from scratchgan.kernels.modulation import reference as modulation
from scratchgan.kernels.norm import reference as norm
from scratchgan.kernels.pool import reference as pool
from scratchgan.kernels.upsample import reference as upsample
from scratchgan.kernels.upsample_conv import reference as upsample_conv


def _softmax(x: Array, axis: int) -> Array:
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


def _standardized(x: Array, axes: tuple[int, ...], eps: float = 1e-5) -> Array:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def _per_channel(v: Array, x: Array) -> Array:
    return v.reshape(1, -1, *[1] * (x.ndim - 2))


def _group_norm(x: Array, w: Array, b: Array, groups: int) -> Array:
    rows = x.reshape(x.shape[0] * groups, -1)
    return _standardized(rows, (1,)).reshape(x.shape) * _per_channel(w, x) + _per_channel(b, x)


def _singular(dtype: Any) -> tuple[Array, Array]:
    return np.array([0.5, 0.75, 0.25], dtype), np.array([0.25, 1.0, 0.5, 0.75], dtype)


def _spectral_normalize(w: Array, dim: int) -> Array:
    u, v = _singular(w.dtype)
    return w / (u @ np.moveaxis(w, dim, 0).reshape(3, 4) @ v)


def _batch_norm_eval(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    mean, var = np.array([0.5, -1.0], x.dtype), np.array([0.25, 4.0], x.dtype)
    return ops.batch_norm(x, mean, var, w, b, training=False, eps=0.0)


def _with_bias(y: Array, b: Array | None) -> Array:
    return y if b is None else y + b[:, None, None]


def _conv2d(x: Array, w: Array, b: Array | None = None, slope: float = 1.0, **p: Any) -> Array:
    y = _with_bias(conv.conv2d(x, w, p["stride"], p["padding"], p["dilation"], p["groups"]), b)
    return np.where(y > 0, y, slope * y)


def _conv_transpose2d(x: Array, w: Array, b: Array | None = None, **p: Any) -> Array:
    y = conv.conv_transpose2d(x, w, p["stride"], p["padding"], p["output_padding"], p["dilation"], p["groups"])
    return _with_bias(y, b)


def _upsample_conv2d(
    x: Array, w: Array, b: Array | None = None, *, scale: Any, padding: Any, slope: float = 1.0
) -> Array:
    y = _with_bias(upsample_conv.upsample_conv2d(x, w, scale, padding), b)
    return np.where(y > 0, y, slope * y)


def _max_pool2d(x: Array, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Array:
    return pool.max_pool2d(x, kernel, stride, padding, dilation)[0]


_ROWS = np.array([2, 0, 2])
_MASK = np.array([[True, False, True], [False, True, True]])
_LABELS = np.array([2, 0, 1, 2])


def _dropped(x: Tensor) -> Tensor:
    return ops.dropout(x, 0.25, np.random.default_rng(7))


def _dropout_reference(x: Array) -> Array:
    return np.where(np.random.default_rng(7).random(x.shape, np.float32) >= 0.25, x / 0.75, 0)


PAIR = [(2, 3), (2, 3)]
BROADCAST = [(2, 1, 3), (4, 1)]

ELEMENTWISE = [
    OpCase("add", PAIR, np.add, linear_in=(0, 1)),
    OpCase("add", BROADCAST, np.add, "broadcast", linear_in=(0, 1)),
    OpCase("subtract", PAIR, np.subtract, linear_in=(0, 1)),
    OpCase("subtract", BROADCAST, np.subtract, "broadcast", linear_in=(0, 1)),
    OpCase("multiply", PAIR, np.multiply, linear_in=(0, 1)),
    OpCase("multiply", BROADCAST, np.multiply, "broadcast", linear_in=(0, 1)),
    OpCase("divide", PAIR, np.divide, linear_in=(0,), domain=(0.5, 2.0)),
    OpCase("divide", BROADCAST, np.divide, "broadcast", linear_in=(0,), domain=(0.5, 2.0)),
    OpCase("negative", [(2, 3)], np.negative, linear_in=(0,)),
    OpCase("power", [(2, 3)], lambda x: x**3, "integer", call=lambda x: ops.power(x, 3)),
    OpCase("power", [(2, 3)], lambda x: x**-1.5, "real", call=lambda x: ops.power(x, -1.5), domain=(0.5, 2.0)),
    OpCase("power", [(2, 3)], lambda x: x**0, "zero", call=lambda x: ops.power(x, 0)),
    OpCase("power", BROADCAST, np.power, "tensor", domain=(0.5, 2.0)),
    OpCase("exp", [(2, 3)], np.exp),
    OpCase("log", [(2, 3)], np.log, domain=(0.5, 2.0)),
    OpCase("sqrt", [(2, 3)], np.sqrt, domain=(0.5, 2.0)),
    OpCase("abs", [(2, 3)], np.abs, domain="spread", kinks=Kinks(at=(0.0,), rule="middle")),
    OpCase("tanh", [(2, 3)], np.tanh),
    OpCase("sigmoid", [(2, 3)], lambda x: 1 / (1 + np.exp(-x))),
    OpCase("softplus", [(2, 3)], lambda x: np.log1p(np.exp(x))),
    OpCase("relu", [(4, 5)], lambda x: x * (x > 0), domain="spread", kinks=Kinks(at=(0.0,), rule="left")),
    OpCase(
        "leaky_relu",
        [(2, 3, 4, 5)],
        lambda x, slope: np.where(x > 0, x, slope * x),
        params={"slope": 0.25},
        domain="spread",
        kinks=Kinks(at=(0.0,), rule="left"),
    ),
    OpCase(
        "clip",
        [(4, 5)],
        lambda x: np.minimum(np.maximum(x, -0.5), 0.75),
        call=lambda x: ops.clip(x, -0.5, 0.75),
        domain="spread",
        kinks=Kinks(at=(-0.5, 0.75)),
    ),
    OpCase(
        "clip", [(4, 5)], lambda x: np.maximum(x, 0.5), "one-sided", call=lambda x: ops.clip(x, 0.5), domain="spread"
    ),
    OpCase(
        "where",
        [(2, 1), (2, 3)],
        lambda a, b: np.where(_MASK, a, b),
        call=lambda a, b: ops.where(_MASK, a, b),
        linear_in=(0, 1),
    ),
    OpCase("maximum", BROADCAST, np.maximum, domain="spread"),
    OpCase("minimum", BROADCAST, np.minimum, domain="spread"),
    OpCase(
        "astype", [(2, 3)], lambda x: x, call=lambda x: ops.astype(ops.astype(x, np.float64), x.dtype), linear_in=(0,)
    ),
    OpCase("to_device", [(2, 3)], lambda x: x, call=lambda x: ops.to_device(x, "cpu"), linear_in=(0,)),
]

REDUCTIONS = [
    OpCase("sum", [(2, 3, 4)], np.sum, linear_in=(0,)),
    OpCase("sum", [(2, 3, 4)], lambda x: x.sum((0, 2)), "axes", call=lambda x: ops.sum(x, (0, -1)), linear_in=(0,)),
    OpCase(
        "sum",
        [(2, 3, 4, 2)],
        lambda x: x.sum((0, 2, 3), keepdims=True),
        "channels",
        call=lambda x: ops.sum(x, (0, 2, 3), keepdims=True),
        linear_in=(0,),
    ),
    OpCase("mean", [(2, 3, 4)], lambda x: x.mean(1), call=lambda x: ops.mean(x, 1), linear_in=(0,)),
    OpCase("var", [(3, 4)], lambda x: x.var(1, ddof=1), call=lambda x: ops.var(x, 1, correction=1)),
    OpCase("max", [(3, 4, 2)], lambda x: x.max((0, 1)), call=lambda x: ops.max(x, (0, 1)), domain="spread"),
    OpCase("min", [(3, 4)], lambda x: x.min(1, keepdims=True), call=lambda x: ops.min(x, 1, True), domain="spread"),
    OpCase("logsumexp", [(3, 4)], lambda x: np.log(np.exp(x).sum(0)), call=lambda x: ops.logsumexp(x, 0)),
    OpCase("softmax", [(3, 4)], lambda x: _softmax(x, 1)),
    OpCase("log_softmax", [(3, 4)], lambda x: np.log(_softmax(x, 0)), call=lambda x: ops.log_softmax(x, 0)),
    OpCase("sum_to", [(4, 2, 3)], lambda x: x.sum((0, 1))[None], call=lambda x: ops.sum_to(x, (1, 3)), linear_in=(0,)),
]

SHAPES = [
    OpCase("reshape", [(2, 6)], lambda x: x.reshape(3, 4), call=lambda x: ops.reshape(x, 3, -1), linear_in=(0,)),
    OpCase("flatten", [(2, 3, 2)], lambda x: x.reshape(2, 6), call=lambda x: ops.flatten(x, 1), linear_in=(0,)),
    OpCase(
        "transpose",
        [(2, 3, 4)],
        lambda x: x.transpose(1, 2, 0),
        call=lambda x: ops.transpose(x, 1, 2, 0),
        linear_in=(0,),
    ),
    OpCase(
        "broadcast_to",
        [(3, 1)],
        lambda x, shape: x + np.zeros(shape, x.dtype),
        params={"shape": (2, 3, 4)},
        linear_in=(0,),
    ),
    OpCase(
        "concatenate",
        [(2, 1), (2, 3)],
        lambda a, b: np.hstack([a, b]),
        call=lambda a, b: ops.concatenate([a, b], -1),
        linear_in=(0, 1),
    ),
    OpCase(
        "stack",
        [(2, 3), (2, 3)],
        lambda a, b: np.stack([a, b], 1),
        call=lambda a, b: ops.stack([a, b], 1),
        linear_in=(0, 1),
    ),
    OpCase("getitem", [(4, 5)], lambda x: x[1:, ::-2], "slices", call=lambda x: x[1:, ::-2], linear_in=(0,)),
    OpCase("getitem", [(4, 5)], lambda x: x[_ROWS], "repeated", call=lambda x: x[_ROWS], linear_in=(0,)),
    OpCase("getitem", [(2, 3)], lambda x: x[_MASK], "mask", call=lambda x: x[_MASK], linear_in=(0,)),
    OpCase(
        "pad",
        [(2, 3)],
        lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=1.5),
        call=lambda x: ops.pad(x, [(1, 0), (0, 2)], 1.5),
        linear_in=(0,),
    ),
    OpCase("flip", [(2, 3)], lambda x: x[:, ::-1], call=lambda x: ops.flip(x, 1), linear_in=(0,)),
    OpCase("embedding", [(4, 3)], lambda w: w[_ROWS], call=lambda w: ops.embedding(_ROWS, w), linear_in=(0,)),
    OpCase("dropout", [(4, 5)], _dropout_reference, call=_dropped, linear_in=(0,)),
]

PRODUCTS = [
    OpCase("matmul", [(2, 3), (3, 4)], lambda a, b: np.einsum("ik,kj->ij", a, b), linear_in=(0, 1)),
    OpCase(
        "matmul",
        [(2, 1, 2, 3), (4, 3, 1)],
        lambda a, b: np.einsum("...ik,...kj->...ij", a, b),
        "batched",
        linear_in=(0, 1),
    ),
    OpCase("matmul", [(3,), (2, 3, 4)], lambda a, b: np.einsum("k,...kj->...j", a, b), "vector-left", linear_in=(0, 1)),
    OpCase("matmul", [(2, 3), (3,)], lambda a, b: np.einsum("ik,k->i", a, b), "vector-right", linear_in=(0, 1)),
    OpCase("matmul", [(3,), (3,)], lambda a, b: np.einsum("k,k->", a, b), "vectors", linear_in=(0, 1)),
    OpCase("linear", [(5, 3), (4, 3), (4,)], lambda x, w, b: np.einsum("ni,oi->no", x, w) + b, linear_in=(0, 1, 2)),
]

CONVOLUTIONS = [
    OpCase(
        "conv2d",
        [(2, 3, 5, 6), (4, 3, 3, 2)],
        _conv2d,
        params={"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1},
        linear_in=(0, 1),
    ),
    OpCase(
        "conv2d",
        [(2, 4, 8, 7), (6, 2, 3, 2), (6,)],
        _conv2d,
        "all-options",
        params={"stride": (2, 3), "padding": (2, 1), "dilation": (1, 2), "groups": 2},
        linear_in=(0, 1, 2),
    ),
    *[
        OpCase(
            "conv2d",
            [(2, 2, 5, 6), (3, 2, 4, 3), (3,)],
            _conv2d,
            f"leaky-{slope}",
            params={"stride": (2, 1), "padding": (1, 0), "dilation": (1, 1), "groups": 1, "slope": slope},
        )
        for slope in (0.0, 0.25)
    ],
    OpCase(
        "conv_transpose2d",
        [(2, 4, 3, 2), (4, 3, 3, 2), (6,)],
        _conv_transpose2d,
        params={"stride": (2, 3), "padding": (1, 0), "output_padding": (1, 2), "dilation": (2, 1), "groups": 2},
        linear_in=(0, 1, 2),
    ),
    OpCase(
        "conv_transpose2d",
        [(2, 2, 3, 4), (2, 3, 3, 3)],
        _conv_transpose2d,
        "padded-beyond-a-stride",
        params={"stride": (1, 2), "padding": (1, 1), "output_padding": (1, 2), "dilation": (2, 3), "groups": 1},
        linear_in=(0, 1),
    ),
    OpCase(
        "upsample_conv2d",
        [(2, 3, 4, 3), (2, 3, 3, 3), (2,)],
        _upsample_conv2d,
        params={"scale": (2, 2), "padding": (1, 1)},
        linear_in=(0, 1, 2),
    ),
    OpCase(
        "upsample_conv2d",
        [(1, 2, 3, 4), (3, 2, 4, 2)],
        _upsample_conv2d,
        "uneven",
        params={"scale": (3, 1), "padding": (0, 2)},
        linear_in=(0, 1),
    ),
    OpCase(
        "upsample_conv2d",
        [(2, 2, 4, 3), (3, 2, 3, 3), (3,)],
        _upsample_conv2d,
        "leaky",
        params={"scale": (2, 3), "padding": (1, 1), "slope": 0.25},
    ),
]

RESAMPLING = [
    OpCase("upsample_nearest2d", [(2, 3, 3, 4)], upsample.upsample_nearest2d, params={"scale": (2, 3)}, linear_in=(0,)),
    OpCase(
        "upsample_bilinear2d", [(2, 3, 3, 4)], upsample.upsample_bilinear2d, params={"scale": (2, 4)}, linear_in=(0,)
    ),
    OpCase(
        "max_pool2d",
        [(2, 2, 7, 6)],
        _max_pool2d,
        params={"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1), "dilation": (1, 2)},
        domain="spread",
    ),
    OpCase(
        "avg_pool2d",
        [(2, 2, 7, 6)],
        pool.avg_pool2d,
        params={"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1), "count_include_pad": False},
        linear_in=(0,),
    ),
]

NORMS = [
    OpCase(
        "batch_norm",
        [(3, 2, 2, 3), (2,), (2,)],
        lambda x, w, b: norm.batch_norm(x, w, b, 1e-5)[0],
        call=lambda x, w, b: ops.batch_norm(x, None, None, w, b, training=True),
        linear_in=(1, 2),
    ),
    *[
        OpCase(
            "batch_norm",
            [(3, 2, 2, 3), (2,), (2,)],
            lambda x, w, b, slope=slope: norm.batch_norm(x, w, b, 1e-5, slope)[0],
            f"leaky-{slope}",
            call=lambda x, w, b, slope=slope: ops.batch_norm(x, None, None, w, b, training=True, slope=slope),
        )
        for slope in (0.0, 0.25)
    ],
    OpCase(
        "batch_norm",
        [(3, 2, 2), (2,), (2,)],
        lambda x, w, b: ((x - np.array([[0.5], [-1.0]])) / np.array([[0.5], [2.0]]) * w[:, None] + b[:, None]).astype(
            x.dtype
        ),
        "evaluation",
        call=_batch_norm_eval,
        linear_in=(0, 1, 2),
    ),
    OpCase(
        "group_norm",
        [(2, 4, 3, 2), (4,), (4,)],
        lambda x, w, b: _group_norm(x, w, b, 2),
        call=lambda x, w, b: ops.group_norm(x, 2, w, b),
        linear_in=(1, 2),
    ),
    OpCase("instance_norm", [(2, 3, 2, 4), (3,), (3,)], lambda x, w, b: _group_norm(x, w, b, 3), linear_in=(1, 2)),
    OpCase(
        "layer_norm",
        [(3, 2, 4), (2, 4), (2, 4)],
        lambda x, w, b: _standardized(x, (1, 2)) * w + b,
        call=lambda x, w, b: ops.layer_norm(x, (2, 4), w, b),
        linear_in=(1, 2),
    ),
    OpCase("scale_shift", [(2, 3, 2, 4), (2, 3), (2, 3)], modulation.scale_shift, linear_in=(0, 1, 2)),
    OpCase("scale_shift", [(4, 3), (4, 3), (4, 3)], modulation.scale_shift, "vectors", linear_in=(0, 1, 2)),
    *[
        OpCase(
            "scale_shift",
            [(2, 3, 2, 4), (2, 3), (2, 3)],
            lambda x, scale, shift, slope=slope: modulation.scale_shift(x, scale, shift, slope),
            f"leaky-{slope}",
            call=lambda x, scale, shift, slope=slope: ops.scale_shift(x, scale, shift, slope),
        )
        for slope in (0.0, 0.25)
    ],
    *[
        OpCase(
            "spectral_normalize",
            [shape],
            lambda w, dim=dim: _spectral_normalize(w, dim),
            f"axis-{dim}",
            call=lambda w, dim=dim: ops.spectral_normalize(
                w, *[Tensor(to_device(vector, w.device)) for vector in _singular(w.dtype)], dim
            ),
            domain=(0.5, 2.0),
        )
        for dim, shape in ((0, (3, 4)), (1, (2, 3, 2)))
    ],
]

LOSSES = [
    OpCase(
        "binary_cross_entropy_with_logits",
        [(4, 1)],
        lambda z: np.mean(-0.75 * np.log(1 / (1 + np.exp(-z))) - 0.25 * np.log(1 - 1 / (1 + np.exp(-z)))),
        call=lambda z: ops.binary_cross_entropy_with_logits(z, 0.75),
    ),
    OpCase(
        "cross_entropy",
        [(4, 3)],
        lambda z: -np.mean(np.log(_softmax(z, 1))[np.arange(4), _LABELS]),
        call=lambda z: ops.cross_entropy(z, _LABELS),
    ),
    OpCase("mse_loss", PAIR, lambda a, b: np.mean((a - b) ** 2)),
    OpCase("l1_loss", PAIR, lambda a, b: np.mean(np.abs(a - b)), domain="spread"),
]


#: Operators that give integers or constants; tests/test_further_operators.py has their values.
WITHOUT_GRADIENT = {"argmax", "argmin", "one_hot"}

CASES = [
    *ELEMENTWISE, *REDUCTIONS, *SHAPES, *PRODUCTS, *CONVOLUTIONS, *RESAMPLING, *NORMS, *LOSSES, *IMAGES, *FURTHER
]  # fmt: skip
