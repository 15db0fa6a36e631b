"""The catalogue: bugs that people have written, planted one by one in this project's kernels, engine and norms.

Each names the layers that are meant to see it. They are classes of mistake, not a list to be passed: the checks
know nothing of them.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from .catalogue_geometry import ADJOINT, CONTRACT, convolution, resampling
from .planting import Plant

ENGINE = "scratchgan.autograd"


def _as_if_contiguous(array: Any) -> Any:
    """What a kernel sees that takes the pointer of a strided array and reads on from there."""
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    return np.resize(base.ravel("K"), array.size).reshape(array.shape).astype(array.dtype)


def plants() -> list[Plant]:
    return [
        *_broadcast(),
        *convolution(),
        *resampling(),
        *_graph(),
        *_norms(),
        *_second_order(),
        *_memory(),
        *_others(),
    ]


def _broadcast() -> list[Plant]:
    ops = "scratchgan.ops"
    return [
        Plant(
            "missing sum over a broadcast axis",
            "broadcast",
            "multiply",
            CONTRACT,
            f"{ops}.elementwise:Multiply.backward",
            (("sum_to(gy * b, a.shape)", "gy * b"),),
        ),
        Plant(
            "wrong axis index",
            "broadcast",
            "multiply",
            (*CONTRACT, *ADJOINT),
            f"{ops}.shape:SumTo.forward",
            (("enumerate(self.shape, lead)", "enumerate(self.shape)"),),
        ),
        Plant(
            "1-D keepdim",
            "broadcast",
            "sum",
            ADJOINT,
            f"{ops}.reduce:Sum.backward",
            (("reshape(gy, _kept(self.source, self.axes))", "gy"),),
        ),
    ]


def _graph() -> list[Plant]:
    add = "add(before, gx)"
    before = "arrived.get(edge)"

    def sweep(name: str, *edits: tuple[str, str]) -> Plant:
        return Plant(name, "graph", "engine", ("graphs",), f"{ENGINE}:_sweep", edits)

    return [
        sweep("accumulate becomes overwrite", (add, "gx")),
        sweep("diamond counted twice", (add, "add(add(before, gx), gx)")),
        sweep("only the first branch", (add, "before")),
        sweep("f(x, x)", (before, f"None if edge in node.edges[:i] else {before}")),
        Plant(
            "nodes visited in the wrong order",
            "graph",
            "engine",
            ("graphs",),
            f"{ENGINE}:_ancestors",
            (("for order in sorted(seen)", "for order in list(seen)[::-1]"),),
        ),
        Plant(
            "x @ x.T",
            "graph",
            "engine",
            ("graphs",),
            "scratchgan.ops.matmul:Matmul.backward",
            (
                (
                    "Matmul()(_swapped(a), gy)",
                    "Matmul()(_swapped(a), gy) if a.data.base is not b.data.base else 0.0 * b",
                ),
            ),
        ),
        Plant(
            "detached branch",
            "graph",
            "engine",
            ("graphs",),
            "scratchgan.tensor:Tensor.detach",
            (("Tensor._made_by(None, 0, self.data)", "self"),),
        ),
    ]


def _norms() -> list[Plant]:
    family, kernel = "norm and loss", "scratchgan.kernels.norm.cpu:batch_norm_grad"
    return [
        Plant("missing 1/N", family, "batch_norm", ("differences",), kernel, (("count = batch * size", "count = 1"),)),
        Plant(
            "missing 1/N, forward and backward alike",
            family,
            "mean",
            ("oracle",),
            "scratchgan.ops.reduce:_mean",
            ((" * (1.0 / _count(operator, x, axes))", ""),),
        ),
        Plant(
            "stale BatchNorm mean",
            family,
            "batch_norm",
            (*CONTRACT, "differences"),
            "scratchgan.ops.normalize:BatchNorm.forward",
            (
                (
                    "y, self.mean, self.invstd = kernels.batch_norm(x, weight, bias, self.eps, self.slope)",
                    "y, *fresh = kernels.batch_norm(x, weight, bias, self.eps, self.slope)\n"
                    "    self.mean, self.invstd = _kept.pop() if _kept else fresh\n"
                    "    _kept.append([a.astype(x.dtype) for a in fresh])",
                ),
            ),
            {"_kept": []},
        ),
        Plant(
            "missing variance term",
            family,
            "batch_norm",
            ("differences",),
            kernel,
            ((" + factor * d", ""),),
        ),
        Plant(
            "missing variance term in the second derivative",
            family,
            "batch_norm",
            ("double",),
            "scratchgan.ops.normalize:_batch_norm_grad",
            ((" - x_hat * mean(along, axes, keepdims=True)", ""),),
        ),
        Plant(
            "eval mode uses batch statistics",
            family,
            "batch_norm in evaluation",
            (*CONTRACT, "oracle"),
            "scratchgan.ops.normalize:batch_norm",
            (("if not training:", "if False:"),),
        ),
    ]


def _second_order() -> list[Plant]:
    return [
        Plant(
            "missing d/dgy",
            "second order",
            "conv2d with bias",
            ("double",),
            "scratchgan.ops.conv:ConvolveInputGrad.backward",
            (("Convolve(self.geometry)(ggx, w) if needs[0] else None", "None"),),
        ),
        Plant(
            "wrong d/dw of the input gradient",
            "second order",
            "conv2d with bias",
            ("double",),
            "scratchgan.ops.conv:ConvolveInputGrad.backward",
            (("(ggx, gy) if needs[1]", "(ggx, gy) * 2.0 if needs[1]"),),
        ),
        Plant(
            "spectral-norm vector changed in place",
            "second order",
            "spectral_norm",
            (*CONTRACT, "differences"),
            "scratchgan.nn.spectral_norm:SpectralNorm.forward",
            (
                (
                    "    return ops.spectral_normalize(weight, self._u, self._v, self.dim)",
                    "    y = ops.spectral_normalize(weight, self._u, self._v, self.dim)\n"
                    "    self._v *= 0.5\n"
                    "    return y",
                ),
            ),
        ),
    ]


def _memory() -> list[Plant]:
    family, up = "memory and dtype", "scratchgan.kernels.upsample"
    return [
        Plant(
            "contiguous gy assumed",
            family,
            "upsample_nearest2d",
            CONTRACT,
            "scratchgan.kernels.arguments:in_c_order",
            (("namespace(array).ascontiguousarray(array)", "_as_if_contiguous(array)"),),
            {"_as_if_contiguous": _as_if_contiguous},
        ),
        Plant(
            "stale buffer",
            family,
            "upsample_nearest2d",
            CONTRACT,
            f"{up}.cpu:nearest_grad",
            (("gx[p, i, j] = 0", "pass"),),
        ),
        Plant(
            "gx aliases gy",
            family,
            "upsample_nearest2d",
            CONTRACT,
            f"{up}:upsample_nearest2d_grad",
            (("return gx", "return gy if (sh, sw) == (1, 1) else gx"),),
        ),
        Plant(
            "silent downcast",
            family,
            "conv2d",
            (*CONTRACT, "random adjoint"),
            "scratchgan.kernels.conv:conv2d_weight_grad",
            (("    return gw", "    return gw.astype(np.float32).astype(gw.dtype)"),),
        ),
        Plant(
            "wrong gradient dtype",
            family,
            "upsample_bilinear2d",
            CONTRACT,
            f"{up}:upsample_bilinear2d_grad",
            (("return gx", "return gx.astype(np.float32)"),),
        ),
    ]


def _others() -> list[Plant]:
    return [
        Plant(
            "sign",
            "other",
            "subtract",
            ADJOINT,
            "scratchgan.ops.elementwise:Subtract.backward",
            (("sum_to(-gy,", "sum_to(gy,"),),
        ),
        Plant(
            "zero-size",
            "other",
            "conv2d",
            CONTRACT,
            "scratchgan.kernels.conv:conv2d_weight_grad",
            (("return filled_with_bias(gw, empty((0,), gw))", "return gw"),),
        ),
        Plant(
            "where/sqrt NaN",
            "other",
            "square root where positive",
            CONTRACT,
            "scratchgan.ops.elementwise:Where.backward",
            (
                (
                    "where(constant(self.condition), gy, 0.0)",
                    "gy * Tensor(np.where(self.condition, 1.0, np.inf * 0).astype(gy.dtype))",
                ),
            ),
        ),
        Plant(
            "a race between blocks: an update is lost now and then",
            "other",
            "max_pool2d",
            CONTRACT,
            "scratchgan.kernels.pool.cpu:max_pool_grad",
            (("gx[p, i] += gy[p, k]", "gx[p, i] = (gx[p, i] if _seen() else 0) + gy[p, k]"),),
            {"_seen": lambda: random.random() < 0.8},
        ),
        Plant(
            "a scale of 1 + 1e-7",
            "other",
            "tanh",
            ("differences",),
            "scratchgan.ops.activation:Tanh.backward",
            (("return ", "return (1 + 1e-7) * "),),
        ),
    ]
