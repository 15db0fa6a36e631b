"""Right operators, drawn anew from a seed: chains of functions, contractions, stencils, norms, gathers, choices.

Each is a forward and a vjp in plain NumPy, put together from parts whose derivatives are known, on shapes and with
coefficients that the seed decides. Nobody has looked at them before the checker does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..calls import Array
from ..op import Kinks, Op

Generator = np.random.Generator


@dataclass(frozen=True)
class DrawnOperator:
    """An operator, and arguments for it in float64."""

    op: Op
    args: tuple[Any, ...]


#: Smooth functions that take any argument, and their derivatives.
_SMOOTH: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "sin": (np.sin, np.cos),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "softsign": (lambda x: x / np.sqrt(1 + x * x), lambda x: (1 + x * x) ** -1.5),
    "exp": (lambda x: np.exp(x / 4), lambda x: np.exp(x / 4) / 4),
    "log": (lambda x: np.log1p(x * x), lambda x: 2 * x / (1 + x * x)),
    "square": (lambda x: x * x / 2, lambda x: x),
    "sigmoid": (lambda x: 0.5 + 0.5 * np.tanh(x / 2), lambda x: 0.25 * (1 - np.tanh(x / 2) ** 2)),
    "arctan": (np.arctan, lambda x: 1 / (1 + x * x)),
}
#: Products of two arrays, by einsum's notation.
_PRODUCTS = ("ij,jk->ik", "bij,bjk->bik", "nchw,oc->nohw", "i,j->ij", "ijk,kl->ijl", "nchw,c->nhw", "ij,ij->i")


def draw(rng: Generator) -> list[DrawnOperator]:
    """One operator of every family."""
    return [family(rng) for family in FAMILIES]


def _shape(rng: Generator, low: int = 2, high: int = 4) -> tuple[int, ...]:
    return tuple(int(n) for n in rng.integers(2, 5, int(rng.integers(low, high + 1))))


def _normal(rng: Generator, *shape: int) -> Array:
    return np.asarray(rng.standard_normal(shape))


def _chain(rng: Generator) -> DrawnOperator:
    """f(a g(x) + b), elementwise."""
    outer, inner = (str(name) for name in rng.choice(list(_SMOOTH), 2))
    (f, df), (g, dg) = _SMOOTH[outer], _SMOOTH[inner]
    a, b = float(rng.uniform(0.5, 1.5)), float(rng.uniform(-0.5, 0.5))
    op = Op(
        lambda x: np.asarray(f(_in(x, a) * g(x) + _in(x, b))),
        lambda gy, x: np.asarray(gy * df(_in(x, a) * g(x) + _in(x, b)) * _in(x, a) * dg(x)),
        name=f"{outer}_of_{inner}",
    )
    return DrawnOperator(op, (_normal(rng, *_shape(rng)),))


def _in(x: Array, number: float) -> Any:
    return x.dtype.type(number)


def _product(rng: Generator) -> DrawnOperator:
    spec = str(rng.choice(_PRODUCTS))
    inputs, output = spec.split("->")
    first, second = inputs.split(",")
    sides = {letter: int(rng.integers(2, 5)) for letter in sorted(set(first + second))}
    missing = "".join(c for c in first if c not in second + output)
    assert not missing

    def vjp(gy: Array, x: Array, w: Array) -> tuple[Array, Array]:
        return (
            np.einsum(f"{output},{second}->{first}", gy, w),
            np.einsum(f"{output},{first}->{second}", gy, x),
        )

    args = tuple(_normal(rng, *(sides[c] for c in letters)) for letters in (first, second))
    return DrawnOperator(Op(lambda x, w: np.einsum(spec, x, w), vjp, linear_in=("x", "w"), name="product"), args)


def _stencil(rng: Generator) -> DrawnOperator:
    """y_i = sum_k c_k x_(s i + k) along the last axis: a convolution with fixed weights and a stride."""
    size, stride = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    weights = rng.integers(1, 5, size) * rng.choice((-1.0, 1.0), size) / 4
    length = size + stride * int(rng.integers(1, 4)) + int(rng.integers(0, stride))
    count = (length - size) // stride + 1

    def forward(x: Array) -> Array:
        return sum(_in(x, c) * x[..., k : k + stride * count : stride] for k, c in enumerate(weights)) + 0 * x[..., :1]

    def vjp(gy: Array, x: Array) -> Array:
        out = np.zeros(x.shape, x.dtype)
        for k, c in enumerate(weights):
            out[..., k : k + stride * count : stride] += _in(x, c) * gy
        return out

    return DrawnOperator(
        Op(forward, vjp, linear_in=("x",), name="stencil"), (_normal(rng, *_shape(rng, 1, 3), length),)
    )


def _reduction(rng: Generator) -> DrawnOperator:
    """The mean over an axis of a function of x."""
    name = str(rng.choice(list(_SMOOTH)))
    f, df = _SMOOTH[name]
    shape = _shape(rng)
    axis = int(rng.integers(len(shape)))
    op = Op(
        lambda x: f(x).mean(axis),
        lambda gy, x: np.expand_dims(gy, axis) * df(x) / x.shape[axis],
        name=f"mean_of_{name}",
    )
    return DrawnOperator(op, (_normal(rng, *shape),))


def _softmax(rng: Generator) -> DrawnOperator:
    def forward(x: Array) -> Array:
        e = np.exp(x - x.max(-1, keepdims=True))
        return np.asarray(e / e.sum(-1, keepdims=True))

    def vjp(gy: Array, x: Array) -> Array:
        y = forward(x)
        return np.asarray(y * (gy - (gy * y).sum(-1, keepdims=True)))

    return DrawnOperator(Op(forward, vjp, name="softmax"), (_normal(rng, *_shape(rng)),))


def _norm(rng: Generator) -> DrawnOperator:
    """Layer normalisation with a weight."""
    eps = float(rng.uniform(0.01, 0.1))

    def hat(x: Array) -> tuple[Array, Array]:
        centred = x - x.mean(-1, keepdims=True)
        inverse = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + _in(x, eps))
        return centred * inverse, inverse

    def vjp(gy: Array, x: Array, w: Array) -> tuple[Array, Array]:
        x_hat, inverse = hat(x)
        g = gy * w
        gx = inverse * (g - g.mean(-1, keepdims=True) - x_hat * (g * x_hat).mean(-1, keepdims=True))
        return gx, (gy * x_hat).reshape(-1, x.shape[-1]).sum(0)

    shape = (*_shape(rng, 1, 3), int(rng.integers(3, 6)))
    args = (_normal(rng, *shape), _normal(rng, shape[-1]))
    return DrawnOperator(Op(lambda x, w: hat(x)[0] * w, vjp, linear_in=("w",), name="norm"), args)


def _scaling(rng: Generator) -> DrawnOperator:
    """x * w with w broadcast over all but one axis."""
    shape = _shape(rng, 3, 4)

    def vjp(gy: Array, x: Array, w: Array) -> tuple[Array, Array]:
        others = (0, *range(2, x.ndim))
        return gy * w, np.asarray((gy * x).sum(others, keepdims=True)[0])

    w = _normal(rng, shape[1], *(1,) * (len(shape) - 2))
    return DrawnOperator(Op(lambda x, w: x * w, vjp, linear_in=("x", "w"), name="scaling"), (_normal(rng, *shape), w))


def _gather(rng: Generator) -> DrawnOperator:
    def vjp(gy: Array, table: Array, rows: Array) -> tuple[Array, None]:
        out = np.zeros(table.shape, table.dtype)
        np.add.at(out, rows, gy)
        return out, None

    op = Op(lambda table, rows: table[rows], vjp, linear_in=("table",), name="gather")
    table = _normal(rng, int(rng.integers(3, 6)), int(rng.integers(2, 5)))
    return DrawnOperator(op, (table, rng.integers(0, len(table), int(rng.integers(4, 8)))))


def _two_outputs(rng: Generator) -> DrawnOperator:
    """f(x), g(x), and which elements are positive."""
    names = [str(name) for name in rng.choice(list(_SMOOTH), 2)]
    (f, df), (g, dg) = (_SMOOTH[name] for name in names)
    op = Op(
        lambda x: (f(x), g(x), x > 0),
        lambda gy, x: gy[0] * df(x) + gy[1] * dg(x),
        name=f"{names[0]}_and_{names[1]}",
    )
    return DrawnOperator(op, (_normal(rng, *_shape(rng)),))


def _bent(rng: Generator) -> DrawnOperator:
    """A leaky ReLU with its kink at some value."""
    at, slope = float(rng.integers(-2, 3)) / 4, float(rng.uniform(0.1, 0.5))

    def vjp(gy: Array, x: Array) -> Array:
        return np.asarray(gy * np.where(x > at, 1, slope).astype(x.dtype))

    def forward(x: Array) -> Array:
        return np.asarray(np.where(x > at, x - at, slope * (x - at)).astype(x.dtype))

    return DrawnOperator(Op(forward, vjp, kinks=Kinks(at=(at,)), name="bent"), (_normal(rng, *_shape(rng)),))


def _largest(rng: Generator) -> DrawnOperator:
    """The maximum over the last axis; a tie is shared."""

    def vjp(gy: Array, x: Array) -> Array:
        first = x == x.max(-1, keepdims=True)
        return np.asarray(gy[..., None] * first / first.sum(-1, keepdims=True).astype(x.dtype))

    return DrawnOperator(
        Op(lambda x: x.max(-1), vjp, kinks=Kinks(ties=True), name="largest"), (_normal(rng, *_shape(rng)),)
    )


def _scalar(rng: Generator) -> DrawnOperator:
    """A loss: the sum of squares of a difference, a scalar."""
    scale = float(rng.uniform(0.5, 2))

    def vjp(gy: Array, x: Array, target: Array) -> tuple[Array, Array]:
        g = _in(x, 2 * scale) * gy * (x - target)
        return g, -g

    shape = _shape(rng)
    op = Op(lambda x, target: np.asarray(_in(x, scale) * np.square(x - target).sum()), vjp, name="loss")
    return DrawnOperator(op, (_normal(rng, *shape), _normal(rng, *shape)))


FAMILIES: tuple[Callable[[Generator], DrawnOperator], ...] = (
    _chain,
    _product,
    _stencil,
    _reduction,
    _softmax,
    _norm,
    _scaling,
    _gather,
    _two_outputs,
    _bent,
    _largest,
    _scalar,
)
