"""scratchgan's own operators, as the catalogue's bugs are tried on them: the operator, and cases to run it on."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import strategies
from ..cases import ArraySpec, Case
from ..checker import check_dtypes
from ..graph_programs import Graph, check_engine, graphs
from ..op import Kinks, Op
from ..policy import Policy
from ..report import Report, Verdict
from ..suites import draw

_POLICY = Policy(locate_limit=64)


@dataclass(frozen=True)
class Outcome:
    """Which layers failed over all cases, in how many seconds, and the first failure's text."""

    layers: tuple[str, ...]
    seconds: float
    message: str
    undecided: int


@dataclass(frozen=True)
class Target:
    """An operator and its cases. `run` tries the cases in turn until one of the layers in `until` has failed."""

    op: Op
    cases: Callable[[int], list[Case]]
    dtypes: tuple[str, ...] = ("f8", "f4")
    order: int = 1

    policy: Policy = _POLICY

    def reports(self, seed: int) -> Any:
        for case in self.cases(seed):
            options = {"params": case.params, "order": self.order, "seed": case.seed}
            yield from check_dtypes(self.op, case.args, self.dtypes, policy=self.policy, **options)


@dataclass(frozen=True)
class EngineTarget:
    """The engine itself, on random graphs."""

    programs: int = 25

    def reports(self, seed: int) -> Any:
        yield check_engine(reverse_mode, _programs(self.programs, seed), seed=seed, name="autograd")


@functools.lru_cache(4)
def _programs(count: int, seed: int) -> list[Graph]:
    return draw(graphs(), count, seed)


def run(target: Any, seed: int = 0, until: Sequence[str] = ()) -> Outcome:
    """Goes through the reports of a target; stops once a layer in `until` has failed."""
    start = time.perf_counter()
    layers: dict[str, None] = {}
    message, undecided = "", 0
    reports: Any = target.reports(seed)
    for report in reports:
        assert isinstance(report, Report)
        undecided += report.verdict is Verdict.INCONCLUSIVE
        if report.verdict is Verdict.FAIL:
            failed = _layers_by_order(report)
            layers.update(dict.fromkeys(failed))
            message = message or str(report)
            if not until or set(until) & set(failed):
                break
    return Outcome(tuple(layers), time.perf_counter() - start, message, undecided)


def _layers_by_order(report: Report) -> list[str]:
    """The layers that failed; those that failed on the derivative of the vjp count as "double" too."""
    out = list(report.failing_layers)
    if any(": order " in f.operator for f in report.failures) and "double" not in out:
        out.append("double")
    return out


def reverse_mode(graph: Graph, values: Sequence[Any], gy: Any) -> list[Any]:
    """scratchgan's engine on a program: half of the programs through `grad`, the others through `backward`."""
    from scratchgan import Tensor, grad, ops

    def detach(x: Any) -> Any:
        return x.detach()

    operations: dict[str, Callable[..., Any]] = {
        name: getattr(ops, name) for name in ("add", "subtract", "multiply", "matmul", "tanh", "transpose", "negative")
    }
    leaves = [Tensor(v, requires_grad=True) for v in values]
    y = graph.run(leaves, {**operations, "detach": detach})
    if not y.requires_grad:
        return [np.zeros_like(v) for v in values]
    if len(graph.steps) % 2:
        return [g.data for g in grad(y, leaves, Tensor(gy), allow_unused=True)]
    y.backward(Tensor(gy))
    return [np.zeros_like(v) if t.grad is None else t.grad.data for t, v in zip(leaves, values, strict=True)]


def all_targets() -> dict[str, Any]:
    """Every target by the name the catalogue uses."""
    return {
        **_convolutions(),
        **_resampling(),
        **_elementwise(),
        **_normalisation(),
        "engine": EngineTarget(),
    }


def _drawn(strategy: Any, count: int = 16, extra: tuple[Case, ...] = ()) -> Callable[[int], list[Case]]:
    return functools.lru_cache(4)(lambda seed: [*extra, *draw(strategy, count, seed)])


def _fixed(*shapes: tuple[int, ...], values: str = "normal", **params: Any) -> Callable[[int], list[Case]]:
    return lambda seed: [Case(tuple(ArraySpec(s, values) for s in shapes), params, seed + k) for k in range(2)]


def _convolutions() -> dict[str, Any]:
    from scratchgan import kernels, ops
    from scratchgan.kernels.conv import reference

    def conv_vjp(gy: Any, x: Any, w: Any, **p: Any) -> Any:
        return (
            kernels.conv2d_input_grad(gy, w, x.shape[2:], **p),
            kernels.conv2d_weight_grad(x, gy, w.shape[2:], **p),
        )

    def transpose_vjp(gy: Any, x: Any, w: Any, output_padding: Any, **p: Any) -> Any:
        # An output_padding of at least the stride leaves room for more windows than x has pixels.
        more = [o // s for o, s in zip(output_padding, p["stride"], strict=True)]
        longer = np.pad(x, ((0, 0), (0, 0), (0, more[0]), (0, more[1])))
        gx = kernels.conv2d(gy, w, **p)[:, :, : x.shape[2], : x.shape[3]]
        return gx, kernels.conv2d_weight_grad(gy, longer, w.shape[2:], **p)

    conv = Op(
        lambda x, w, **p: kernels.conv2d(x, w, **p),
        conv_vjp,
        linear_in=("x", "w"),
        reference=lambda x, w, stride, padding, dilation, groups: reference.conv2d(
            x, w, stride, padding, dilation, groups
        ),
        name="conv2d",
    )
    transpose = Op(
        lambda x, w, **p: kernels.conv_transpose2d(x, w, **p),
        transpose_vjp,
        linear_in=("x", "w"),
        name="conv_transpose2d",
    )
    biased = Op.from_function(ops.conv2d, linear_in=("x", "weight"), name="conv2d with bias")
    empty = Case(
        (ArraySpec((0, 2, 5, 4)), ArraySpec((3, 2, 3, 2))),
        {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1},
    )
    geometry = strategies.conv_geometry(2, groups=True)
    return {
        "conv2d": Target(conv, _drawn(geometry, extra=(empty,))),
        "conv_transpose2d": Target(transpose, _drawn(strategies.conv_transpose_geometry(2, groups=True))),
        "conv2d with bias": Target(biased, _drawn(strategies.conv_geometry(2, bias=True), 5), dtypes=("f8",), order=2),
    }


def _resampling() -> dict[str, Any]:
    from scratchgan import kernels
    from scratchgan.kernels.pool import reference as pool
    from scratchgan.kernels.upsample import reference as upsample

    def nearest(x: Any, scale: Any) -> Any:
        return kernels.upsample_nearest2d(x, scale)

    def bilinear(x: Any, scale: Any) -> Any:
        return kernels.upsample_bilinear2d(x, scale)

    def avg_pool(x: Any, kernel_size: Any, stride: Any, padding: Any) -> Any:
        return kernels.avg_pool2d(x, kernel_size, stride=stride, padding=padding)

    def avg_pool_vjp(gy: Any, x: Any, kernel_size: Any, stride: Any, padding: Any) -> Any:
        return kernels.avg_pool2d_grad(gy, x.shape[2:], kernel_size, stride=stride, padding=padding)

    def max_pool(x: Any, kernel_size: Any, stride: Any, padding: Any) -> Any:
        return kernels.max_pool2d(x, kernel_size, stride=stride, padding=padding)[0]

    def max_pool_vjp(gy: Any, x: Any, kernel_size: Any, stride: Any, padding: Any) -> Any:
        index = kernels.max_pool2d(x, kernel_size, stride=stride, padding=padding)[1]
        return kernels.max_pool2d_grad(gy, index, x.shape[2:])

    enlarged = _drawn(strategies.upsample_geometry(2), 12)
    pooled = _drawn(strategies.pool_geometry(2), 12)
    same_size = Case((ArraySpec((1, 2, 3, 4)),), {"scale": (1, 1)})
    return {
        "upsample_nearest2d": Target(
            Op(
                nearest,
                lambda gy, x, scale: kernels.upsample_nearest2d_grad(gy, scale),
                linear_in=("x",),
                reference=upsample.upsample_nearest2d,
                name="upsample_nearest2d",
            ),
            _drawn(strategies.upsample_geometry(2), 12, (same_size,)),
        ),
        "upsample_bilinear2d": Target(
            Op(
                bilinear,
                lambda gy, x, scale: kernels.upsample_bilinear2d_grad(gy, scale),
                linear_in=("x",),
                reference=upsample.upsample_bilinear2d,
                name="upsample_bilinear2d",
            ),
            enlarged,
        ),
        "avg_pool2d": Target(
            Op(
                avg_pool,
                avg_pool_vjp,
                linear_in=("x",),
                reference=lambda x, kernel_size, stride, padding: pool.avg_pool2d(
                    x, kernel_size, stride, padding, True
                ),
                name="avg_pool2d",
            ),
            pooled,
        ),
        "max_pool2d": Target(
            Op(max_pool, max_pool_vjp, kinks=Kinks(ties=True), name="max_pool2d"),
            pooled,
        ),
    }


def _elementwise() -> dict[str, Any]:
    from scratchgan import ops

    def square_root_where_positive(x: Any) -> Any:
        positive = x.data > 0
        return ops.where(positive, ops.sqrt(ops.where(positive, x, 1.0)), 0.0 * x)

    def op(function: Any, **claims: Any) -> Op:
        return Op.from_function(function, **claims)

    two = _drawn(strategies.broadcast_shapes(2), 12)
    return {
        "multiply": Target(op(ops.multiply, linear_in=("a", "b")), two),
        "subtract": Target(op(ops.subtract, linear_in=("a", "b")), two),
        "sum": Target(op(functools.partial(ops.sum, axis=1), linear_in=(0,), name="sum"), _fixed((3, 3))),
        "matmul": Target(op(ops.matmul, linear_in=("a", "b")), _fixed((3, 4), (4, 2)), order=2),
        "max": Target(op(functools.partial(ops.max, axis=1), name="max", kinks=Kinks(ties=True)), _fixed((3, 4))),
        "tanh": Target(op(ops.tanh), _fixed((3, 4))),
        "mean": Target(op(lambda x: ops.mean(x), reference=np.mean, linear_in=("x",), name="mean"), _fixed((3, 5))),
        "square root where positive": Target(
            op(square_root_where_positive, name="square_root_where_positive"), _fixed((3, 4))
        ),
    }


def _normalisation() -> dict[str, Any]:
    from scratchgan import Tensor, nn, ops

    def trained(x: Any, weight: Any, bias: Any) -> Any:
        return ops.batch_norm(x, None, None, weight, bias, training=True)

    def evaluated(x: Any, weight: Any, bias: Any) -> Any:
        mean, var = np.linspace(-1, 1, 3), np.linspace(0.5, 2, 3)
        return ops.batch_norm(x, mean.astype(x.dtype), var.astype(x.dtype), weight, bias)

    def evaluated_reference(x: Any, weight: Any, bias: Any) -> Any:
        mean, var = np.linspace(-1, 1, 3), np.linspace(0.5, 2, 3)
        x_hat = (x - mean[:, None, None]) / np.sqrt(var + 1e-5)[:, None, None]
        return x_hat * weight[:, None, None] + bias[:, None, None]

    def trained_reference(x: Any, weight: Any, bias: Any) -> Any:
        centred = x - x.mean((0, 2, 3), keepdims=True)
        x_hat = centred / np.sqrt((centred**2).mean((0, 2, 3), keepdims=True) + 1e-5)
        return x_hat * weight[:, None, None] + bias[:, None, None]

    # The power iteration has converged on this weight, so sigma is its derivative's too.
    weight = nn.Parameter(np.diag([3.0, 1.0, 0.5]))
    holder = nn.spectral_norm(nn.Linear(3, 3, generator=np.random.default_rng(0)), generator=np.random.default_rng(1))
    norm = getattr(holder.parametrizations.weight, "0")

    def spectral(w: Any) -> Any:
        left, _, right = np.linalg.svd(weight.data)
        norm._u, norm._v = left[:, 0].astype(w.dtype), right[0].astype(w.dtype)
        return norm(w if isinstance(w, Tensor) else Tensor(w))

    shapes = ((4, 3, 2, 5), (3,), (3,))
    return {
        "batch_norm": Target(
            Op.from_function(trained, reference=trained_reference, name="batch_norm"), _fixed(*shapes), order=2
        ),
        "batch_norm in evaluation": Target(
            Op.from_function(evaluated, reference=evaluated_reference, name="batch_norm in evaluation"),
            _fixed(*shapes),
        ),
        "spectral_norm": Target(Op.from_function(spectral, name="spectral_norm"), _fixed((3, 3)), dtypes=("f8",)),
    }
