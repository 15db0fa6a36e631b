"""An operator to check: a forward, its vector-Jacobian product, and what its author claims about them.

    forward(*arrays, **params) -> array, or a tuple of arrays
    vjp(gy, *arrays, **params) -> one gradient per array (None for an array that has none)

`gy` is the cotangent: an array shaped like the output, or a tuple of them for a tuple. For y = f(x) with Jacobian
J the vjp is J^T gy. Nothing here knows where the arrays live or which framework made the callables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from . import adapters, ctypes_adapter
from .calls import Array, OperatorError, as_outputs, call, positional_names
from .recipe import Recipe


@dataclass(frozen=True)
class Kinks:
    """Where an operator is not differentiable, and which gradient it documents there.

    at: values of an argument's elements at which the slope jumps (ReLU: ``(0.0,)``).
    ties: equal elements are a kink (max, sort, median).
    rule: the documented gradient at `at`: "left" or "right" for the one-sided derivative, "middle" for their
        mean, "between" for any value from one to the other.
    arguments: the arguments concerned, by name or position; empty means all of them.
    """

    at: tuple[float, ...] = ()
    ties: bool = False
    rule: Literal["left", "right", "middle", "between"] = "between"
    arguments: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Backend:
    """Another place to run the same operator: `put` moves a NumPy array there, `get` brings a result back."""

    name: str
    put: Callable[[Array], Any]
    get: Callable[[Any], Array]


@dataclass(frozen=True)
class Op:
    """An operator over arrays.

    linear_in: arguments (names or positions) in which the forward is linear or affine while the others are held.
        They get the exact adjoint test, which needs no tolerance.
    jvp: ``jvp(tangents, *arrays, **params)``, shaped like the output: the forward-mode derivative, if there is one.
    reference: an independent forward, as slow and as plain as can be.
    kinks: where the forward is not differentiable; None means that it is smooth where it will be checked.
    backends: "numpy", "cupy" or :class:`Backend` objects on which the same callables also run.
    constant: floating-point arguments that have no gradient by design (masks, targets).
    dtypes: the dtypes the operator takes, as "f4", "f8"; None lets the checker find out.
    may_alias: results may share memory with arguments (reshape, transposition): a view is then no error.
    derivative: for second order, given the number of outputs: the operator ``(*gys, *arrays) -> gradients``, with a
        vjp of its own. Passing an `Op` as `vjp` sets it.
    arguments: the names of the positional arguments; by default those of the forward's signature.
    """

    forward: Callable[..., Any]
    vjp: Callable[..., Any]
    jvp: Callable[..., Any] | None = field(default=None, kw_only=True)
    linear_in: Sequence[str | int] = field(default=(), kw_only=True)
    reference: Callable[..., Any] | None = field(default=None, kw_only=True)
    kinks: Kinks | None = field(default=None, kw_only=True)
    backends: Sequence[str | Backend] = field(default=("numpy",), kw_only=True)
    name: str = field(default="", kw_only=True)
    constant: Sequence[str | int] = field(default=(), kw_only=True)
    dtypes: Sequence[str] | None = field(default=None, kw_only=True)
    may_alias: bool = field(default=False, kw_only=True)
    derivative: Callable[[int], Op] | None = field(default=None, kw_only=True)
    arguments: Sequence[str] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        for what in ("forward", "vjp"):
            if not callable(getattr(self, what)):
                raise TypeError(f"Op: {what} must be callable, got {type(getattr(self, what)).__name__}")
        if not self.name:
            object.__setattr__(self, "name", getattr(self.forward, "__name__", type(self.forward).__name__))
        if not self.arguments:
            object.__setattr__(self, "arguments", positional_names(self.forward))
        if isinstance(self.vjp, Op) and self.derivative is None:
            second = self.vjp
            object.__setattr__(self, "derivative", lambda outputs: second)

    def __call__(self, *arrays: Any, **params: Any) -> Any:
        return self.forward(*arrays, **params)

    # -- adapters ---------------------------------------------------------------------------------------------

    @classmethod
    def from_function(cls, function: Any, **claims: Any) -> Op:
        """An operator on scratchgan Tensors.

        function: a `Function` subclass, applied as ``F(**params)(*tensors)``, or a callable ``f(*tensors, **params)``.
        claims: what `Op` takes besides the two callables (linear_in, reference, kinks, constant, name, ...).
        Integer arrays are handed over as arrays, floating ones as Tensors.
        """
        return cls._of(adapters.from_function(function, claims))

    @classmethod
    def from_torch(cls, function: Callable[..., Any], **claims: Any) -> Op:
        """A callable from torch tensors to torch tensors, differentiated by torch.autograd; claims as for
        :meth:`from_function`."""
        return cls._of(adapters.from_torch(function, claims))

    @classmethod
    def from_jax(cls, function: Callable[..., Any], **claims: Any) -> Op:
        """A JAX-traceable callable, differentiated by jax.vjp; claims as for :meth:`from_function`.

        Calls run with 64-bit types enabled, in a context that leaves the program's own setting alone.
        """
        return cls._of(adapters.from_jax(function, claims))

    @classmethod
    def from_ctypes(cls, forward: Any, backward: Any, **claims: Any) -> Op:
        """Two C functions over pointers; see :func:`scratchgan.gradcheck.ctypes_adapter.from_ctypes`."""
        return cls._of(ctypes_adapter.from_ctypes(forward, backward, **claims))

    @classmethod
    def _of(cls, recipe: Recipe) -> Op:
        """The operator that an adapter describes; its derivative is described in the same way."""
        second = recipe.derivative
        derivative = None if second is None else lambda outputs: cls._of(second(outputs))
        return cls(recipe.forward, recipe.vjp, derivative=derivative, **recipe.claims)

    # -- calls, normalised --------------------------------------------------------------------------------------

    def apply(self, arrays: Sequence[Any], params: Mapping[str, Any]) -> tuple[tuple[Array, ...], bool]:
        """The forward's outputs, and whether it returned a tuple; :class:`OperatorError` if there are none."""
        result = call("forward", self.forward, arrays, params)
        return as_outputs(result, "forward"), isinstance(result, (tuple, list))

    def pullback(
        self, cotangents: Sequence[Array], arrays: Sequence[Any], params: Mapping[str, Any], several: bool
    ) -> tuple[Any, ...]:
        """The vjp's gradients, one per argument, unchecked but for their number.

        several: the forward returns a tuple, so the vjp is handed one.
        """
        gy = tuple(cotangents) if several else cotangents[0]
        result = call("vjp", self.vjp, (gy, *arrays), params)
        if not isinstance(result, (tuple, list)):
            result = (result,)
        wanted = self.differentiable(arrays)
        if len(result) == len(arrays):
            return tuple(result)
        if len(result) == len(wanted):
            full: list[Any] = [None] * len(arrays)
            for i, gradient in zip(wanted, result, strict=True):
                full[i] = gradient
            return tuple(full)
        raise OperatorError(
            f"vjp returned {len(result)} gradient{'s' if len(result) != 1 else ''} for {len(arrays)} "
            f"argument{'s' if len(arrays) != 1 else ''} ({', '.join(self.argument_names(len(arrays)))}): "
            "it must return one per argument, None where there is none"
        )

    # -- arguments ----------------------------------------------------------------------------------------------

    def argument_names(self, count: int) -> list[str]:
        names = list(self.arguments[:count])
        return names + [f"argument {i}" for i in range(len(names), count)]

    def positions(self, claimed: Sequence[str | int], count: int) -> list[int]:
        """Turns names or positions into positions; a claim about an argument that is absent is left out."""
        names = self.argument_names(count)
        out = []
        for claim in claimed:
            if isinstance(claim, str):
                if claim not in names and claim not in self.arguments:
                    raise ValueError(f"{self.name}: no argument named {claim!r}; the arguments are {names}")
                if claim in names:
                    out.append(names.index(claim))
            elif claim < count:
                out.append(claim)
        return out

    def differentiable(self, arrays: Sequence[Any]) -> list[int]:
        """Positions of the floating-point arrays that are not declared constant."""
        held = set(self.positions(self.constant, len(arrays)))
        return [i for i, a in enumerate(arrays) if i not in held and isinstance(a, np.ndarray) and a.dtype.kind == "f"]

    def but(self, **changes: Any) -> Op:
        """A copy with some fields replaced."""
        return replace(self, **changes)
