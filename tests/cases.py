"""One OpCase per operator: what the generic tests in test_operators.py need to know about it.

The reference is computed independently of the operator: NumPy formulas here, or the plain loops beside a kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scratchgan import Tensor, ops
from scratchgan.gradcheck.op import Kinks
from scratchgan.kernels.conv import reference as conv
from scratchgan.kernels.norm import reference as norm
from scratchgan.kernels.pool import reference as pool
from scratchgan.kernels.resampling import reference as resampling
from scratchgan.kernels.sampling import reference as sampling
from scratchgan.kernels.upfirdn import reference as upfirdn
from scratchgan.kernels.upsample import reference as upsample
from scratchgan.kernels.upsample_conv import reference as upsample_conv

Array = np.ndarray


@dataclass(frozen=True)
class OpCase:
    """An operator at one point.

    operator: its name in `scratchgan.ops`. variant: what tells this case from others of the operator.
    shapes: one input array each. reference: the forward, from arrays to an array.
    call: from Tensors to a Tensor; by default the operator itself with ``params``.
    domain: the inputs lie between these two; "spread" ones are all different, and none is 0.
    """

    operator: str
    shapes: Sequence[tuple[int, ...]]
    reference: Callable[..., Array]
    variant: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    call: Callable[..., Tensor] | None = None
    linear_in: Sequence[int] = ()
    kinks: Kinks | None = None
    domain: tuple[float, float] | str = (-2.0, 2.0)

    @property
    def name(self) -> str:
        return f"{self.operator}-{self.variant}" if self.variant else self.operator

    @property
    def function(self) -> Callable[..., Tensor]:
        return self.call or getattr(ops, self.operator)

    def inputs(self, dtype: Any, seed: int = 0) -> list[Array]:
        rng = np.random.default_rng(seed)
        if self.domain == "spread":  # odd multiples of 1/16, so that no two are equal, over all the inputs
            counts = [int(np.prod(shape)) for shape in self.shapes]
            values = rng.permutation(2 * np.arange(sum(counts)) - sum(counts) | 1) / 16
            parts = np.split(values, np.cumsum(counts)[:-1])
            return [part.reshape(shape).astype(dtype) for part, shape in zip(parts, self.shapes, strict=True)]
        return [rng.uniform(*self.domain, shape).astype(dtype) for shape in self.shapes]  # type: ignore[misc]


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


_UNEVEN = np.array([1.0, -2.0, 0.5, 3.0, 0.25])
_FILTER2D = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def _fir(filter1d: Any) -> Array:
    return np.array(filter1d) / np.sum(filter1d)


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
    OpCase(
        "pad",
        [(3, 4)],
        lambda x: np.pad(x, ((2, 0), (1, 3)), mode="reflect"),
        "reflect",
        call=lambda x: ops.pad(x, [(2, 0), (1, 3)], mode="reflect"),
        linear_in=(0,),
    ),
    OpCase(
        "pad",
        [(2, 3, 4)],
        lambda x: np.pad(x, ((0, 0), (1, 4), (0, 0)), mode="edge")[..., 1:-2],
        "replicate",
        call=lambda x: ops.pad(x, [(0, 0), (1, 4), (-1, -2)], mode="replicate"),
        linear_in=(0,),
    ),
    OpCase(
        "pad",
        [(3, 4)],
        lambda x: np.pad(x, ((0, 2), (4, 1)), mode="wrap"),
        "circular",
        call=lambda x: ops.pad(x, [(0, 2), (4, 1)], mode="circular"),
        linear_in=(0,),
    ),
    OpCase(
        "pad",
        [(3, 4)],
        lambda x: np.pad(x[1:, :-2], ((0, 0), (3, 0))),
        "negative",
        call=lambda x: ops.pad(x, [(-1, 0), (3, -2)]),
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

RESAMPLING += [
    OpCase(
        "upfirdn2d",
        [(2, 2, 3, 4)],
        lambda x: upfirdn.upfirdn2d(x, 1.5 * _UNEVEN, (3, 2), (2, 3), ((4, -1), (2, 3))),
        "separable",
        call=lambda x: ops.upfirdn2d(x, _UNEVEN, (3, 2), (2, 3), ((4, -1), (2, 3)), gain=2.25),
        linear_in=(0,),
    ),
    OpCase(
        "upfirdn2d",
        [(2, 2, 4, 5)],
        lambda x: upfirdn.upfirdn2d(x, 3 * _FILTER2D, (2, 1), (1, 2), ((1, 0), (-1, 2))),
        "full",
        call=lambda x: ops.upfirdn2d(x, _FILTER2D, (2, 1), (1, 2), ((1, 0), (-1, 2)), gain=3.0),
        linear_in=(0,),
    ),
    OpCase(
        "upsample_fir2d",
        [(2, 2, 3, 4)],
        lambda x: upfirdn.upfirdn2d(x, 2 * _fir([1, 3, 3, 1]), (2, 2), (1, 1), ((2, 1), (2, 1))),
        linear_in=(0,),
    ),
    OpCase(
        "downsample_fir2d",
        [(2, 2, 6, 4)],
        lambda x: upfirdn.upfirdn2d(x, _fir([1, 3, 3, 1]), (1, 1), (2, 2), ((1, 1), (1, 1))),
        linear_in=(0,),
    ),
]

_POINTS = np.stack(np.meshgrid([-0.93, -0.26, 0.31, 1.17], [-1.34, -0.1, 0.56]), -1)[None]  # away from pixel centres


def _grid(g: Any) -> Any:
    return _POINTS.astype(g.dtype) + 0.02 * g


def _grid_sample(mode: str, padding_mode: str, align_corners: bool) -> OpCase:
    options = (mode, padding_mode, align_corners)
    if mode == "nearest":
        points = np.repeat(_POINTS, 2, 0)
        return OpCase(
            "grid_sample",
            [(2, 3, 4, 5)],
            lambda x: sampling.grid_sample(x, points.astype(x.dtype), *options),
            "-".join((mode, padding_mode)),
            call=lambda x: ops.grid_sample(x, points.astype(x.dtype), *options),
            linear_in=(0,),
        )
    return OpCase(
        "grid_sample",
        [(1, 2, 4, 5), (1, 3, 4, 2)],
        lambda x, g: sampling.grid_sample(x, _grid(g), *options),
        "-".join((mode, padding_mode, *["corners"] * align_corners)),
        call=lambda x, g: ops.grid_sample(x, _grid(g), *options),
        linear_in=(0,),
    )


def _interpolate(variant: str, shape: tuple[int, ...], **options: Any) -> OpCase:
    return OpCase(
        "interpolate",
        [shape],
        lambda x: resampling.interpolate(x, **options),
        variant,
        call=lambda x: ops.interpolate(x, **options),
        linear_in=(0,),
    )


RESAMPLING += [
    *[_grid_sample("bilinear", mode, corners) for mode in ("zeros", "border", "reflection") for corners in (0, 1)],
    _grid_sample("nearest", "border", False),
    OpCase(
        "affine_grid",
        [(2, 2, 3)],
        lambda theta: np.einsum("nij,hwj->nhwi", theta, sampling.centres(3, 4)).astype(theta.dtype),
        call=lambda theta: ops.affine_grid(theta, (2, 1, 3, 4)),
        linear_in=(0,),
    ),
    _interpolate("nearest", (2, 2, 4, 5), size=(7, 3)),
    _interpolate("nearest-exact", (2, 3, 5), scale_factor=1.7, mode="nearest-exact"),
    _interpolate("bilinear", (2, 2, 4, 5), scale_factor=(1.6, 0.7), mode="bilinear"),
    _interpolate("corners", (2, 2, 4, 5), size=(7, 3), mode="bilinear", align_corners=True),
    _interpolate("whole", (2, 2, 3, 2), scale_factor=(2, 3), mode="bilinear"),
    _interpolate("bicubic", (2, 2, 4, 5), size=(7, 3), mode="bicubic"),
    _interpolate("trilinear", (1, 2, 2, 3, 2), size=(3, 2, 4), mode="trilinear"),
    _interpolate("antialiased", (2, 2, 7, 8), size=(3, 5), mode="bicubic", antialias=True),
    OpCase(
        "adaptive_avg_pool2d",
        [(2, 2, 5, 4)],
        lambda x: resampling.interpolate(x, (3, 3), mode="area"),
        call=lambda x: ops.adaptive_avg_pool2d(x, 3),
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

CASES = [*ELEMENTWISE, *REDUCTIONS, *SHAPES, *PRODUCTS, *CONVOLUTIONS, *RESAMPLING, *NORMS, *LOSSES]
