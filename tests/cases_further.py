"""Cases of operators beside the usual ones: further functions, reductions, activations, indices, products, losses."""

from __future__ import annotations

import math

import numpy as np
from op_case import Array, OpCase

from scratchgan import ops


def _softmax(x: Array, axis: int) -> Array:
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


def _attention(q: Array, k: Array, v: Array, bias: Array) -> Array:
    return _softmax(np.einsum("nld,nsd->nls", q, k) / np.sqrt(2) + bias, 2) @ v


_SHUFFLED = np.array([[1, 0, 1], [2, 2, 0]])
_erf = np.vectorize(math.erf)

ELEMENTWISE = [
    OpCase("rsqrt", [(2, 3)], lambda x: x**-0.5, domain=(0.5, 2.0)),
    OpCase("sin", [(2, 3)], np.sin),
    OpCase("cos", [(2, 3)], np.cos),
    OpCase("atan2", [(2, 1, 3), (4, 1)], np.arctan2, domain=(0.5, 2.0)),
    OpCase("erf", [(3, 4)], lambda x: _erf(x).astype(x.dtype)),
    OpCase("floor", [(2, 3)], np.floor, domain=(0.2, 0.8)),
    OpCase("round", [(2, 3)], np.round, domain=(0.6, 1.4)),
    OpCase("silu", [(2, 3)], lambda x: x / (1 + np.exp(-x))),
    OpCase("gelu", [(2, 3)], lambda x: (x * (1 + _erf(x / np.sqrt(2))) / 2).astype(x.dtype)),
    OpCase(
        "gelu",
        [(2, 3)],
        lambda x: x / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))),
        "tanh",
        call=lambda x: ops.gelu(x, approximate="tanh"),
    ),
    OpCase(
        "elu",
        [(4, 5)],
        lambda x: np.where(x > 0, x, 1.5 * np.expm1(x)),
        call=lambda x: ops.elu(x, 1.5),
        domain="spread",
    ),
    OpCase(
        "prelu",
        [(2, 3, 2), (3,)],
        lambda x, w: np.where(x > 0, x, w[:, None] * x),
        linear_in=(1,),
        domain="spread",
    ),
    OpCase(
        "hardtanh",
        [(4, 5)],
        lambda x: np.clip(x, -0.5, 0.75),
        call=lambda x: ops.hardtanh(x, -0.5, 0.75),
        domain="spread",
    ),
]

REDUCTIONS = [
    OpCase("std", [(3, 4)], lambda x: x.std(1, ddof=1), call=lambda x: ops.std(x, 1, correction=1)),
    OpCase("norm", [(3, 4)], lambda x: np.sqrt((x * x).sum(1)), call=lambda x: ops.norm(x, axis=1)),
    OpCase(
        "norm",
        [(3, 4)],
        lambda x: (np.abs(x) ** 3).sum() ** (1 / 3),
        "third",
        call=lambda x: ops.norm(x, 3),
        domain="spread",
    ),
    OpCase("prod", [(3, 2, 5)], lambda x: x.prod((0, 2)), call=lambda x: ops.prod(x, (0, 2)), domain=(0.5, 1.5)),
    OpCase("cumsum", [(3, 4)], lambda x: np.cumsum(x, 1), call=lambda x: ops.cumsum(x, 1), linear_in=(0,)),
]

SHAPES = [
    OpCase(
        "gather",
        [(3, 3)],
        lambda x: np.take_along_axis(x[:2], _SHUFFLED, 1),
        call=lambda x: ops.gather(x, 1, _SHUFFLED),
        linear_in=(0,),
    ),
    OpCase(
        "scatter_add",
        [(3, 3), (2, 3)],
        lambda x, s: (
            x + np.array([[s[0, 1], s[0, 0] + s[0, 2], 0], [s[1, 2], 0, s[1, 0] + s[1, 1]], [0, 0, 0]], x.dtype)
        ),
        call=lambda x, s: ops.scatter_add(x, 1, _SHUFFLED, s),
        linear_in=(0, 1),
    ),
    OpCase("sort", [(3, 4)], lambda x: np.sort(x, 0), call=lambda x: ops.sort(x, 0)[0], domain="spread"),
    OpCase("topk", [(3, 4)], lambda x: -np.sort(-x, 1)[:, :2], call=lambda x: ops.topk(x, 2)[0], domain="spread"),
    OpCase("split", [(3, 5)], lambda x: x[:, 2:4], call=lambda x: ops.split(x, 2, 1)[1], linear_in=(0,)),
    OpCase("chunk", [(5, 2)], lambda x: x[3:], call=lambda x: ops.chunk(x, 2)[1], linear_in=(0,)),
]

PRODUCTS = [
    OpCase(
        "einsum",
        [(2, 3, 4), (2, 4, 2)],
        lambda a, b: a @ b,
        call=lambda a, b: ops.einsum("bij,bjk->bik", a, b),
        linear_in=(0, 1),
    ),
    OpCase(
        "einsum",
        [(2, 3, 3), (4, 2), (3,)],
        lambda a, b, c: np.einsum("xii,yx,i->yi", a, b, c),
        "three",
        call=lambda *xs: ops.einsum("xii,yx,i->yi", *xs),
        linear_in=(0, 1, 2),
    ),
    OpCase(
        "scaled_dot_product_attention",
        [(1, 3, 2), (1, 4, 2), (1, 4, 2), (3, 4)],
        _attention,
        linear_in=(2,),
    ),
]

LOSSES = [
    OpCase(
        "huber_loss",
        [(2, 3), (2, 3)],
        lambda a, b: np.mean(np.where(np.abs(a - b) <= 0.6, (a - b) ** 2 / 2, 0.6 * (np.abs(a - b) - 0.3))),
        call=lambda a, b: ops.huber_loss(a, b, 0.6),
        domain="spread",
    ),
    OpCase("kl_div", [(2, 3), (2, 3)], lambda a, b: np.mean(b * (np.log(b) - a)), linear_in=(0,), domain=(0.5, 2.0)),
    OpCase(
        "total_variation",
        [(2, 2, 3, 3)],
        lambda x: np.abs(np.diff(x, axis=2)).sum((1, 2, 3)) + np.abs(np.diff(x, axis=3)).sum((1, 2, 3)),
        domain="spread",
    ),
]

FURTHER = [*ELEMENTWISE, *REDUCTIONS, *SHAPES, *PRODUCTS, *LOSSES]
