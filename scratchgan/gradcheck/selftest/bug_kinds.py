"""Kinds of bug that any operator can have, with their details drawn from a seed.

Each takes a right operator and makes a wrong one of it, or returns None where it would still be right (the rows of a
scalar cotangent cannot be skipped).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..calls import Array, floating
from ..op import Op
from .drawn_operators import DrawnOperator

Generator = np.random.Generator
Gradients = list[Any]
#: What replaces a vjp: the right vjp, the cotangents (one per output), the arguments -> gradients, one per argument.
Wrong = Callable[[Callable[..., Gradients], tuple[Array, ...], tuple[Any, ...]], Sequence[Any]]


@dataclass(frozen=True)
class Kind:
    """spoil: the wrong operator, or None where this bug would change nothing."""

    name: str
    spoil: Callable[[DrawnOperator, Generator], Op | None]


def _vjp(op: Op, wrong: Wrong) -> Op:
    """The operator with another vjp."""

    def right(gys: Sequence[Array], arrays: Sequence[Any]) -> Gradients:
        return list(op.pullback(gys, arrays, {}, several(op, arrays)))

    def vjp(gy: Any, *arrays: Any) -> tuple[Any, ...]:
        gys = gy if isinstance(gy, tuple) else (gy,)
        return tuple(wrong(right, gys, arrays))

    return op.but(vjp=vjp, arguments=op.arguments, derivative=None)


def several(op: Op, arrays: Sequence[Any]) -> bool:
    return isinstance(op.forward(*arrays), tuple)


def _of_gradient(change: Callable[[Array], Any]) -> Callable[[DrawnOperator, Generator], Op]:
    """Spoils the gradient of one argument after it was computed."""

    def spoil(drawn: DrawnOperator, rng: Generator) -> Op:
        position = int(rng.choice(drawn.op.differentiable(drawn.args)))

        def wrong(right: Any, gys: Any, arrays: Any) -> Gradients:
            gradients = right(gys, arrays)
            gradients[position] = change(gradients[position])
            return gradients

        return _vjp(drawn.op, wrong)

    return spoil


def _of_cotangent(change: Callable[[Array], Array], least: int = 1) -> Callable[[DrawnOperator, Generator], Op | None]:
    """Spoils the cotangents before they are used; `least` is how many elements the output must have."""

    def spoil(drawn: DrawnOperator, rng: Generator) -> Op | None:
        output = np.asarray(_first(drawn.op.forward(*drawn.args)))
        if output.size < least:
            return None
        return _vjp(
            drawn.op,
            lambda right, gys, arrays: right([change(g) if floating(g) else g for g in gys], arrays),
        )

    return spoil


def _first(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) else result


def _by_rows(index: int) -> Callable[[DrawnOperator, Generator], Op | None]:
    """Takes a row of the cotangent to be zero because one of its ends is."""

    def spoil(drawn: DrawnOperator, rng: Generator) -> Op | None:
        output = np.asarray(_first(drawn.op.forward(*drawn.args)))
        if output.ndim < 2 or output.shape[-1] < 2:
            return None

        def change(g: Array) -> Array:
            return np.asarray(g * (g[..., index : index + 1 or None] != 0))

        return _of_cotangent(change)(drawn, rng)

    return spoil


def _when(condition: Callable[[Array], bool], wrong: Callable[[Array], Any], least: int = 1) -> Any:
    """Another path for some cotangents: there the gradients are spoilt."""

    def spoil(drawn: DrawnOperator, rng: Generator) -> Op | None:
        output = np.asarray(_first(drawn.op.forward(*drawn.args)))
        if output.size < least:
            return None

        def vjp(right: Any, gys: Any, arrays: Any) -> Gradients:
            gradients = right(gys, arrays)
            if condition(np.concatenate([g.ravel() for g in gys if floating(g)])):
                gradients = [wrong(g) if isinstance(g, np.ndarray) else g for g in gradients]
            return gradients

        return _vjp(drawn.op, vjp)

    return spoil


def _by_layout(condition: Callable[[Array], bool], deepest: int) -> Any:
    """Mis-indexes an argument, or the cotangent, that lies in memory in some way."""

    def spoil(drawn: DrawnOperator, rng: Generator) -> Op | None:
        arrays = [a for a in drawn.args if floating(a) and a.ndim >= deepest]
        if not arrays:
            return None

        def vjp(right: Any, gys: Any, arrays: Any) -> Gradients:
            gradients = right(gys, arrays)
            if any(condition(a) for a in arrays if floating(a) and a.ndim >= deepest):
                gradients = [np.roll(g, 1) if isinstance(g, np.ndarray) else g for g in gradients]
            return gradients

        return _vjp(drawn.op, vjp)

    return spoil


def _channels_last(a: Array) -> bool:
    return not a.flags.c_contiguous and np.moveaxis(a, 1, -1).flags.c_contiguous


def _fortran(a: Array) -> bool:
    return a.flags.f_contiguous and not a.flags.c_contiguous


def _keeping(drawn: DrawnOperator, rng: Generator, key: Callable[[Any], Any]) -> Op:
    """Keeps a copy of its arguments under some key, and goes on using it."""
    kept: dict[Any, Any] = {}

    def wrong(right: Any, gys: Any, arrays: Any) -> Gradients:
        old = [kept.setdefault((n, key(a)), (a, a.copy()))[1] if floating(a) else a for n, a in enumerate(arrays)]
        return list(right(gys, old))

    return _vjp(drawn.op, wrong)


def _linear_everywhere(drawn: DrawnOperator) -> bool:
    """A linear operator of one argument does not look at its values: keeping an old one is no bug."""
    return len(drawn.args) == len(drawn.op.linear_in) == 1 or drawn.op.name == "gather"


def _kept(key: Callable[[Any], Any]) -> Any:
    return lambda drawn, rng: None if _linear_everywhere(drawn) else _keeping(drawn, rng, key)


def _reused(drawn: DrawnOperator, rng: Generator) -> Op:
    """Writes every gradient into the same buffer."""
    buffers: dict[Any, Array] = {}

    def wrong(right: Any, gys: Any, arrays: Any) -> Gradients:
        gradients = right(gys, arrays)
        for n, g in enumerate(gradients):
            if isinstance(g, np.ndarray):
                gradients[n] = buffers.setdefault((n, g.shape, g.dtype), np.empty(g.shape, g.dtype))
                gradients[n][...] = g
        return list(gradients)

    return _vjp(drawn.op, wrong)


def _now_and_then(drawn: DrawnOperator, rng: Generator) -> Op:
    """Every third call has a wrong element."""
    calls = itertools.count(int(rng.integers(3)))

    def wrong(right: Any, gys: Any, arrays: Any) -> Gradients:
        gradients = right(gys, arrays)
        if next(calls) % 3 == 2:
            gradients[0] = np.array(gradients[0], order="C")
            gradients[0].reshape(-1)[0] += 0.5
        return list(gradients)

    return _vjp(drawn.op, wrong)


def _in_place(drawn: DrawnOperator, rng: Generator) -> Op:
    """Uses the cotangent as its workspace."""

    def wrong(right: Any, gys: Any, arrays: Any) -> Gradients:
        gradients = [np.array(g) if isinstance(g, np.ndarray) else g for g in right(gys, arrays)]
        for g in gys:
            if floating(g) and g.flags.writeable:
                g *= 2
        return gradients

    return _vjp(drawn.op, wrong)


def _aliased(drawn: DrawnOperator, rng: Generator) -> Op | None:
    """Returns a gradient in the memory of the cotangent, where it has its shape."""
    shapes = {a.shape for a in drawn.args if floating(a)}
    if np.asarray(_first(drawn.op.forward(*drawn.args))).shape not in shapes:
        return None

    def wrong(right: Any, gys: Any, arrays: Any) -> Gradients:
        gradients = right(gys, arrays)
        for n, g in enumerate(gradients):
            if isinstance(g, np.ndarray) and g.shape == gys[0].shape and gys[0].flags.writeable:
                gys[0][...] = g
                gradients[n] = gys[0]
                break
        return list(gradients)

    return _vjp(drawn.op, wrong)


def _without_zero(drawn: DrawnOperator, rng: Generator) -> Op | None:
    """0 / 0 where an element of an argument is zero."""
    if all(i in drawn.op.positions(drawn.op.linear_in, len(drawn.args)) for i in drawn.op.differentiable(drawn.args)):
        return None
    if drawn.op.kinks is not None and (drawn.op.kinks.ties or 0.0 in drawn.op.kinks.at):
        return None
    linear = drawn.op.positions(drawn.op.linear_in, len(drawn.args))
    position = next(i for i in drawn.op.differentiable(drawn.args) if i not in linear)

    def wrong(right: Any, gys: Any, arrays: Any) -> Gradients:
        gradients = right(gys, arrays)
        with np.errstate(all="ignore"):
            gradients[position] = np.asarray(gradients[position] * (arrays[position] / arrays[position]))
        return list(gradients)

    return _vjp(drawn.op, wrong)


def _unwritten(drawn: DrawnOperator, rng: Generator) -> Op:
    """Leaves the last element of a gradient as the allocator gave it."""
    position = int(rng.choice(drawn.op.differentiable(drawn.args)))

    def wrong(right: Any, gys: Any, arrays: Any) -> Gradients:
        gradients = right(gys, arrays)
        g = gradients[position]
        out = np.empty(g.shape, g.dtype)
        out.reshape(-1)[:-1] = g.reshape(-1)[:-1]
        gradients[position] = out
        return list(gradients)

    return _vjp(drawn.op, wrong)


def _forward(change: Callable[[Array], Any]) -> Callable[[DrawnOperator, Generator], Op]:
    """Spoils the forward's first output, the vjp being right."""

    def spoil(drawn: DrawnOperator, rng: Generator) -> Op:
        op = drawn.op

        def forward(*arrays: Any) -> Any:
            result = op.forward(*arrays)
            if isinstance(result, tuple):
                return (change(result[0]), *result[1:])
            return change(result)

        return op.but(forward=forward, arguments=op.arguments)

    return spoil


def _running(drawn: DrawnOperator, rng: Generator) -> Op:
    """A forward that adds a running mean of what it has seen."""
    seen = [0.0]

    def change(y: Array) -> Array:
        seen[0] = 0.9 * seen[0] + 0.1 * float(y.mean())
        return np.asarray(y + y.dtype.type(seen[0]))

    return _forward(change)(drawn, rng)


def _second_output_forgotten(drawn: DrawnOperator, rng: Generator) -> Op | None:
    if not several(drawn.op, drawn.args):
        return None
    return _vjp(drawn.op, lambda right, gys, arrays: right((gys[0], 0 * gys[1], *gys[2:]), arrays))


def _beside_the_kink(drawn: DrawnOperator, rng: Generator) -> Op | None:
    """Twice the slope on the kink itself."""
    kinks = drawn.op.kinks
    if kinks is None or not kinks.at:
        return None
    at = kinks.at[0]
    return _vjp(
        drawn.op,
        lambda right, gys, arrays: [np.asarray(right(gys, arrays)[0] * np.where(arrays[0] == at, 4, 1))],
    )


def _tie_counted_twice(drawn: DrawnOperator, rng: Generator) -> Op | None:
    if drawn.op.kinks is None or not drawn.op.kinks.ties:
        return None
    return _vjp(
        drawn.op,
        lambda right, gys, arrays: [
            np.asarray(gys[0][..., None] * (arrays[0] == arrays[0].max(-1, keepdims=True))).astype(arrays[0].dtype)
        ],
    )


def _one_off(g: Array) -> Array:
    out = np.array(g, order="C")
    out.reshape(-1)[out.size // 2] += out.dtype.type(0.25)
    return out


def _first_lost(g: Array) -> Array:
    out = np.array(g, order="C")
    out[..., 0] = 0
    return out


def _read_only(g: Array) -> Array:
    out = np.array(g, order="C")
    out.flags.writeable = False
    return out


def _as_memory(g: Array) -> Array:
    """Reads the memory under a strided array from its first element on."""
    if g.flags.c_contiguous:
        return g
    base = g
    while isinstance(base.base, np.ndarray):
        base = base.base
    return np.resize(base.ravel("K"), g.size).reshape(g.shape).astype(g.dtype)


def kinds(rng: Generator) -> list[Kind]:
    """Every kind, with numbers drawn from `rng`."""
    scale = 1 + float(rng.choice((-1, 1))) * 10.0 ** float(rng.uniform(-5, 0))
    tiny = 10.0 ** float(rng.uniform(-3.5, -2))
    return [
        Kind(f"a scale of {scale:.6g}", _of_gradient(lambda g: g * g.dtype.type(scale))),
        Kind("the sign", _of_gradient(lambda g: -g)),
        Kind("zero", _of_gradient(np.zeros_like)),
        Kind("one element off", _of_gradient(_one_off)),
        Kind("the first slice lost", _of_gradient(_first_lost)),
        Kind("shifted by one", _of_gradient(lambda g: np.roll(g, 1))),
        Kind("a constant added", _of_gradient(lambda g: g + g.dtype.type(tiny))),
        Kind("float32 inside the vjp", _of_gradient(lambda g: g.astype(np.float32).astype(g.dtype))),
        Kind("another dtype", _of_gradient(lambda g: g.astype(np.float32))),
        Kind("another shape", _of_gradient(lambda g: g[None])),
        Kind("no gradient", _of_gradient(lambda g: None)),
        Kind("a read-only gradient", _of_gradient(_read_only)),
        Kind("sevens for a zero cotangent", _when(lambda g: not g.any(), lambda g: g + 7)),
        Kind("NaN for a zero cotangent", _of_cotangent(lambda g: np.asarray(g / np.abs(g).max() * np.abs(g).max()))),
        Kind("another path for ones", _when(lambda g: bool((g == 1).all()), lambda g: g + 1)),
        Kind("another path for one element", _when(lambda g: np.count_nonzero(g) == 1, lambda g: g + 1, least=2)),
        Kind("small cotangents taken for zero", _of_cotangent(lambda g: np.where(np.abs(g) < 1e-4, 0, g))),
        Kind("large cotangents clipped", _of_cotangent(lambda g: np.clip(g, -100, 100))),
        Kind("rows by their first element", _by_rows(0)),
        Kind("rows by their last element", _by_rows(-1)),
        Kind("a contiguous cotangent assumed", _of_cotangent(_as_memory, least=2)),
        Kind("channels-last mis-indexed", _by_layout(_channels_last, 3)),
        Kind("Fortran order mis-indexed", _by_layout(_fortran, 2)),
        Kind("strides mis-indexed", _by_layout(lambda a: not (a.flags.c_contiguous or a.flags.f_contiguous), 2)),
        Kind("arguments kept by shape", _kept(lambda a: (a.shape, a.dtype))),
        Kind("arguments kept by identity", _kept(id)),
        Kind("arguments kept by address", _kept(lambda a: (a.ctypes.data, a.shape, a.strides, a.dtype))),
        Kind("one buffer for all results", _reused),
        Kind("the cotangent changed in place", _in_place),
        Kind("the gradient lies in the cotangent", _aliased),
        Kind("an element never written", _unwritten),
        Kind("an element wrong now and then", _now_and_then),
        Kind("NaN where an argument is zero", _without_zero),
        Kind("float32 inside the forward", _forward(lambda y: y.astype(np.float32).astype(y.dtype))),
        Kind("a forward with another scale", _forward(lambda y: y * y.dtype.type(scale))),
        Kind("a running mean in the forward", _running),
        Kind("the second output forgotten", _second_output_forgotten),
        Kind("too steep on the kink", _beside_the_kink),
        Kind("a tie counted twice", _tie_counted_twice),
    ]
