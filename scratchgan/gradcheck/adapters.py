"""Operators out of other people's automatic differentiation: scratchgan's own, torch's and JAX's.

All three give more than a forward and a vjp: the vjp is itself differentiable. So each adapter turns a function f
on the framework's arrays into a `Recipe`, whose derivative is the same adapter applied to the framework's own
(gy, *xs) -> vjp of f. Second and higher order need nothing else. Frameworks are imported when used.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from .calls import Array, positional_names
from .recipe import Recipe


class Tape(Protocol):
    """What is needed of a framework that records operations on its tensors."""

    def wrap(self, array: Array, requires_grad: bool) -> Any:
        """A leaf tensor on the array's values."""

    def unwrap(self, tensor: Any) -> Array:
        """The tensor's values as a NumPy array."""

    def grad(
        self, outputs: Sequence[Any], inputs: Sequence[Any], gys: Sequence[Any], create_graph: bool
    ) -> Sequence[Any]:
        """Gradients of the outputs with cotangents `gys`; zeros where an input is not used."""


class _Scratchgan:
    def wrap(self, array: Array, requires_grad: bool) -> Any:
        from scratchgan import Tensor

        return Tensor(array, requires_grad=requires_grad)

    def unwrap(self, tensor: Any) -> Array:
        return np.asarray(tensor.data)

    def grad(
        self, outputs: Sequence[Any], inputs: Sequence[Any], gys: Sequence[Any], create_graph: bool
    ) -> Sequence[Any]:
        from scratchgan import Tensor, grad

        recorded = [(y, gy) for y, gy in zip(outputs, gys, strict=True) if y.requires_grad]
        if not recorded:
            return [Tensor(np.zeros(x.shape, x.dtype)) for x in inputs]
        ys, cotangents = zip(*recorded, strict=True)
        return grad(list(ys), list(inputs), list(cotangents), create_graph=create_graph, allow_unused=True)


class _Torch:
    def wrap(self, array: Array, requires_grad: bool) -> Any:
        import torch

        if not array.flags.writeable or any(s < 0 for s in array.strides):
            array = array.copy()  # torch has neither read-only tensors nor negative strides
        return torch.from_numpy(array).requires_grad_(requires_grad)

    def unwrap(self, tensor: Any) -> Array:
        return np.asarray(tensor.detach().numpy())

    def grad(
        self, outputs: Sequence[Any], inputs: Sequence[Any], gys: Sequence[Any], create_graph: bool
    ) -> Sequence[Any]:
        import torch

        recorded = [(y, gy) for y, gy in zip(outputs, gys, strict=True) if y.requires_grad]
        if not recorded:
            return [torch.zeros_like(x) for x in inputs]
        ys, cotangents = zip(*recorded, strict=True)
        return torch.autograd.grad(
            ys,
            list(inputs),
            cotangents,
            create_graph=create_graph,
            allow_unused=True,
            materialize_grads=True,
        )


def from_function(function: Any, claims: dict[str, Any]) -> Recipe:
    """See :meth:`scratchgan.gradcheck.Op.from_function`."""
    if not inspect.isclass(function):
        return _from_tape(_Scratchgan(), function, function, claims)
    made: Any = function
    claims = {"arguments": positional_names(made.forward)[1:], "name": made.__name__, **claims}

    def call(*tensors: Any, **params: Any) -> Any:
        return made(**params)(*tensors)

    return _from_tape(_Scratchgan(), call, function, claims)


def from_torch(function: Callable[..., Any], claims: dict[str, Any]) -> Recipe:
    """See :meth:`scratchgan.gradcheck.Op.from_torch`."""
    return _from_tape(_Torch(), function, function, claims)


def _from_tape(tape: Tape, call: Callable[..., Any], named_by: Any, claims: dict[str, Any]) -> Recipe:
    claims = dict(claims)
    claims.setdefault("name", getattr(named_by, "__name__", type(named_by).__name__))
    claims.setdefault("arguments", positional_names(named_by))
    # A framework's tensors are values that it tracks: two of them may share memory.
    claims.setdefault("may_alias", True)
    held = _Held(tuple(claims["arguments"]), tuple(claims.get("constant", ())))

    def forward(*arrays: Any, **params: Any) -> Any:
        tensors = [tape.wrap(a, False) if _floating(a) else a for a in arrays]
        result = call(*tensors, **params)
        if isinstance(result, (tuple, list)):
            return tuple(tape.unwrap(y) for y in result)
        return tape.unwrap(result)

    def vjp(gy: Any, *arrays: Any, **params: Any) -> tuple[Any, ...]:
        wanted = held.differentiable(arrays)
        tensors = [tape.wrap(a, i in wanted) if _floating(a) else a for i, a in enumerate(arrays)]
        outputs = _as_tuple(call(*tensors, **params))
        gys = [tape.wrap(g, False) for g in (gy if isinstance(gy, tuple) else (gy,))]
        found = tape.grad(outputs, [tensors[i] for i in wanted], gys, create_graph=False)
        result: list[Any] = [None] * len(arrays)
        for i, g in zip(wanted, found, strict=True):
            result[i] = tape.unwrap(g)
        return tuple(result)

    def derivative(outputs: int) -> Recipe:
        def pulled_back(*tensors: Any, **params: Any) -> tuple[Any, ...]:
            gys, xs = tensors[:outputs], list(tensors[outputs:])
            wanted = held.differentiable([tape.unwrap(x) if hasattr(x, "requires_grad") else x for x in xs])
            for i in wanted:
                if not xs[i].requires_grad:  # the forward of the derivative wraps without gradients
                    xs[i] = tape.wrap(tape.unwrap(xs[i]), True)
            ys = _as_tuple(call(*xs, **params))
            return tuple(tape.grad(ys, [xs[i] for i in wanted], gys, create_graph=True))

        names = (*(f"gy{k}" if outputs > 1 else "gy" for k in range(outputs)), *claims["arguments"])
        names = tuple(f"g{n}" if n in names[:k] else n for k, n in enumerate(names))
        more: dict[str, Any] = {key: claims[key] for key in ("constant", "dtypes") if key in claims}
        return _from_tape(tape, pulled_back, pulled_back, {"name": "vjp", "arguments": names, **more})

    return Recipe(forward, vjp, derivative, claims)


class _Held:
    """Which arguments have gradients, by the same rule as `Op.differentiable`."""

    def __init__(self, arguments: tuple[str, ...], constant: tuple[str | int, ...]) -> None:
        self.positions = {arguments.index(c) if isinstance(c, str) else c for c in constant}

    def differentiable(self, arrays: Sequence[Any]) -> list[int]:
        return [i for i, a in enumerate(arrays) if i not in self.positions and _floating(a)]


def _floating(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.dtype.kind in "fc"


def _as_tuple(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def from_jax(function: Callable[..., Any], claims: dict[str, Any]) -> Recipe:
    """See :meth:`scratchgan.gradcheck.Op.from_jax`."""
    claims = dict(claims)
    claims.setdefault("name", getattr(function, "__name__", type(function).__name__))
    claims.setdefault("arguments", positional_names(function))
    claims.setdefault("may_alias", True)
    held = _Held(tuple(claims["arguments"]), tuple(claims.get("constant", ())))

    def traced(arrays: Sequence[Any], params: dict[str, Any]) -> tuple[Any, ...]:
        """Outputs, and the function from cotangents to the gradients of the differentiable arguments."""
        jax = importlib.import_module("jax")
        wanted = [
            i
            for i, a in enumerate(arrays)
            if i not in held.positions and np.dtype(getattr(a, "dtype", "i8")).kind == "f"
        ]

        def of_wanted(*values: Any) -> Any:
            full = list(arrays)
            for i, value in zip(wanted, values, strict=True):
                full[i] = value
            return function(*full, **params)

        return (*jax.vjp(of_wanted, *(arrays[i] for i in wanted)), wanted)

    def forward(*arrays: Any, **params: Any) -> Any:
        with _x64():
            result = function(*(_to_jax(a) for a in arrays), **params)
            if isinstance(result, (tuple, list)):
                return tuple(np.asarray(y) for y in result)
            return np.asarray(result)

    def vjp(gy: Any, *arrays: Any, **params: Any) -> tuple[Any, ...]:
        with _x64():
            outputs, pull, wanted = traced([_to_jax(a) for a in arrays], params)
            gys = tuple(_to_jax(g) for g in gy) if isinstance(gy, tuple) else _to_jax(gy)
            found = pull(gys if not isinstance(outputs, list) else list(gys))
            result: list[Any] = [None] * len(arrays)
            for i, g in zip(wanted, found, strict=True):
                result[i] = np.asarray(g)
            return tuple(result)

    def derivative(outputs: int) -> Recipe:
        def pulled_back(*values: Any, **params: Any) -> Any:
            gys, xs = values[:outputs], values[outputs:]
            _, pull, _ = traced(xs, params)
            return tuple(pull(gys[0] if outputs == 1 else tuple(gys)))

        names = (*(f"gy{k}" if outputs > 1 else "gy" for k in range(outputs)), *claims["arguments"])
        names = tuple(f"g{n}" if n in names[:k] else n for k, n in enumerate(names))
        more: dict[str, Any] = {key: claims[key] for key in ("constant", "dtypes") if key in claims}
        return from_jax(pulled_back, {"name": "vjp", "arguments": names, **more})

    return Recipe(forward, vjp, derivative, claims)


def _to_jax(a: Any) -> Any:
    return importlib.import_module("jax.numpy").array(a) if isinstance(a, np.ndarray) else a


def _x64() -> Any:
    """A context in which JAX keeps float64; its place has moved between versions."""
    context = getattr(importlib.import_module("jax"), "enable_x64", None)
    if context is None:
        context = importlib.import_module("jax.experimental").enable_x64
    return context(True)
