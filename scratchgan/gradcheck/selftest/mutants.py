"""Wrong versions of a right operator, to find out what a test can see.

A mutant changes the vjp (or, where said, the forward) of any operator in a way that real mistakes do. The layers
named are those that are meant to notice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..calls import Array
from ..op import Op

NUMERIC = ("exact adjoint", "random adjoint", "differences", "complex step")


@dataclass(frozen=True)
class Mutant:
    """A wrong operator, and the layers of which at least one is meant to fail on it."""

    name: str
    op: Op
    layers: tuple[str, ...]


def generic_mutants(op: Op, argument: int = 0) -> list[Mutant]:
    """Mutants of any operator: its gradient with respect to one argument is spoiled after it was computed.

    A mutant that happens to equal the original on every input (a shift along an axis of length one) is a matter of
    the cases the suite draws, and counts as a survivor.
    """
    spoil: list[tuple[str, Callable[[Array], Array], tuple[str, ...]]] = [
        ("scale: doubled", lambda g: g * g.dtype.type(2), NUMERIC),
        ("scale: 1 + 1e-4", lambda g: g * g.dtype.type(1 + 1e-4), NUMERIC),
        ("sign", lambda g: -g, NUMERIC),
        ("zero", np.zeros_like, NUMERIC),
        ("shift by one", lambda g: np.roll(g, 1, -1) if g.ndim else g * 0, NUMERIC),
        ("transpose", _transposed, NUMERIC),
        ("drop the last slice", lambda g: _dropped(g, g.ndim - 1), NUMERIC),
        ("drop the first slice", lambda g: _dropped(g, 0), NUMERIC),
        ("one element off", _one_off, NUMERIC),
        ("downcast: float16 inside", lambda g: g.astype(np.float16).astype(g.dtype), (*NUMERIC, "precision")),
        ("downcast: float32 inside", lambda g: g.astype(np.float32).astype(g.dtype), ("contract", *NUMERIC)),
        ("wrong dtype", lambda g: g.astype(np.float32 if g.dtype == np.float64 else np.float64), ("contract",)),
        ("wrong shape", lambda g: g[None], ("contract",)),
        ("constant added", lambda g: g + g.dtype.type(0.5), ("contract",)),
    ]
    out = [Mutant(name, _with_gradient(op, argument, change), layers) for name, change, layers in spoil]
    out += [
        Mutant("stale: the previous call's gradient", _stale(op, argument), ("contract",)),
        Mutant("accumulates into one buffer", _accumulating(op, argument), ("contract",)),
        Mutant("contiguous cotangent assumed", _contiguous_assumed(op), ("contract",)),
        Mutant("cotangent changed in place", _in_place(op), ("contract",)),
        Mutant("gradient missing", _missing(op, argument), ("contract",)),
    ]
    return out


def _with_gradient(op: Op, argument: int, change: Callable[[Array], Array]) -> Op:
    def vjp(gy: Any, *arrays: Any, **params: Any) -> tuple[Any, ...]:
        gradients = _gradients(op, gy, arrays, params)
        gradients[argument] = change(gradients[argument])
        return tuple(gradients)

    return op.but(vjp=vjp, derivative=None)


def _gradients(op: Op, gy: Any, arrays: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    several = isinstance(gy, tuple)
    return list(op.pullback(gy if several else (gy,), arrays, params, several))


def _transposed(g: Array) -> Array:
    if g.ndim < 2:
        return g[::-1].copy() if g.ndim else g * 0
    return np.ascontiguousarray(np.swapaxes(g, -1, -2)).reshape(g.shape)


def _dropped(g: Array, axis: int) -> Array:
    if not g.ndim:
        return g * 0
    out = g.copy()
    index: list[Any] = [slice(None)] * g.ndim
    index[axis] = -1 if axis else 0
    out[tuple(index)] = 0
    return out


def _one_off(g: Array) -> Array:
    out = g.copy()
    out.reshape(-1)[out.size // 2 : out.size // 2 + 1] *= 1.5
    return out


def _stale(op: Op, argument: int) -> Op:
    previous: dict[tuple[int, ...], Array] = {}

    def vjp(gy: Any, *arrays: Any, **params: Any) -> tuple[Any, ...]:
        gradients = _gradients(op, gy, arrays, params)
        fresh = gradients[argument]
        gradients[argument] = previous.get(fresh.shape, fresh)
        previous[fresh.shape] = fresh
        return tuple(gradients)

    return op.but(vjp=vjp, derivative=None)


def _accumulating(op: Op, argument: int) -> Op:
    buffers: dict[tuple[tuple[int, ...], Any], Array] = {}

    def vjp(gy: Any, *arrays: Any, **params: Any) -> tuple[Any, ...]:
        gradients = _gradients(op, gy, arrays, params)
        fresh = gradients[argument]
        total = buffers.setdefault((fresh.shape, fresh.dtype), np.zeros_like(fresh))
        total += fresh
        gradients[argument] = total
        return tuple(gradients)

    return op.but(vjp=vjp, derivative=None)


def _contiguous_assumed(op: Op) -> Op:
    """Reads the cotangent's memory from its first element on, as a pointer would."""

    def vjp(gy: Any, *arrays: Any, **params: Any) -> tuple[Any, ...]:
        if isinstance(gy, np.ndarray) and gy.size and not gy.flags.c_contiguous:
            base = gy
            while isinstance(base.base, np.ndarray):
                base = base.base
            flat = base.reshape(-1) if base.flags.c_contiguous else np.asarray(base, order="K").ravel("K")
            gy = np.resize(flat, gy.size).reshape(gy.shape).astype(gy.dtype)
        return tuple(_gradients(op, gy, arrays, params))

    return op.but(vjp=vjp, derivative=None)


def _in_place(op: Op) -> Op:
    def vjp(gy: Any, *arrays: Any, **params: Any) -> tuple[Any, ...]:
        gradients = tuple(_gradients(op, gy, arrays, params))
        for g in gy if isinstance(gy, tuple) else (gy,):
            if g.flags.writeable:
                g *= 2
        return tuple(np.array(g) if isinstance(g, np.ndarray) else g for g in gradients)

    return op.but(vjp=vjp, derivative=None)


def _missing(op: Op, argument: int) -> Op:
    def vjp(gy: Any, *arrays: Any, **params: Any) -> tuple[Any, ...]:
        gradients = _gradients(op, gy, arrays, params)
        gradients[argument] = None
        return tuple(gradients)

    return op.but(vjp=vjp, derivative=None)
