"""One operator on one set of arguments: what every layer works on.

A layer is a function from a :class:`Trial` to findings. The trial calls the operator, knows which arguments are
differentiable and in which precision differences can be taken, and turns an operator that misbehaves into a
finding, so that no layer has to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import probes
from .calls import FOREIGN, Array, OperatorError
from .op import Op
from .report import Finding, Mismatch, Verdict

if TYPE_CHECKING:
    from .policy import Policy

#: Where a trial's memo has whether the forward returns a tuple.
_SEVERAL = "several"


class Pair(NamedTuple):
    """A cotangent and the gradients that the vjp gave for it at the trial's arguments.

    `gy` and `gradients` are copies that no operator has seen; `handed` and `returned` are the arrays that went in and
    came out.
    """

    gy: list[Array]
    gradients: tuple[Any, ...]
    handed: list[Array]
    returned: tuple[Any, ...]


@dataclass(frozen=True)
class Trial:
    """An operator, its arguments as NumPy arrays, and the random seed of the check."""

    op: Op
    args: tuple[Any, ...]
    params: Mapping[str, Any]
    seed: int
    policy: Policy
    skipped: list[tuple[str, str]] = field(default_factory=list, compare=False)
    notes: list[str] = field(default_factory=list, compare=False)
    _pairs: dict[int, Pair] = field(default_factory=dict, compare=False, repr=False)
    #: What one layer has worked out and another can use again.
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    #: Arguments whose gradient an adjoint test has proved.
    settled: set[int] = field(default_factory=set, compare=False, repr=False)

    # -- facts -----------------------------------------------------------------------------------------------

    @functools.cached_property
    def wanted(self) -> list[int]:
        """Positions of the arguments whose gradient is checked."""
        return self.op.differentiable(self.args)

    @property
    def unsettled(self) -> list[int]:
        """The `wanted` ones that no adjoint test has settled."""
        return [i for i in self.wanted if i not in self.settled]

    @functools.cached_property
    def linear(self) -> list[int]:
        claimed = self.op.positions(self.op.linear_in, len(self.args))
        return [i for i in self.wanted if i in claimed]

    @functools.cached_property
    def names(self) -> list[str]:
        return self.op.argument_names(len(self.args))

    @functools.cached_property
    def dtype(self) -> np.dtype[Any]:
        """The narrowest dtype among the differentiable arguments: the precision that can be asked of the operator."""
        return min((self.args[i].dtype for i in self.wanted), key=lambda dtype: dtype.itemsize)

    @property
    def eps(self) -> float:
        return float(np.finfo(self.dtype).eps)

    @functools.cached_property
    def outputs(self) -> tuple[Array, ...]:
        """The forward at the arguments as given."""
        return self.apply(self.args)

    @property
    def several(self) -> bool:
        """Whether the forward returns a tuple."""
        if _SEVERAL not in self.memo:
            self.memo[_SEVERAL] = self.op.apply(self.args, self.params)[1]
        return bool(self.memo[_SEVERAL])

    @functools.cached_property
    def wide(self) -> Trial:
        """The same trial in float64, where differences are accurate; itself if the operator has no float64."""
        if self.dtype == np.float64 or not self.supports("f8"):
            return self
        trial = self.cast(np.float64)
        try:
            if any(y.dtype.kind == "f" and y.dtype != np.float64 for y in trial.outputs):
                return self
        except OperatorError:
            return self
        return trial

    def supports(self, dtype: str) -> bool:
        return self.op.dtypes is None or dtype in {np.dtype(d).str[1:] for d in self.op.dtypes}

    def cast(self, dtype: Any) -> Trial:
        """The same trial with every floating argument in another dtype."""
        args = tuple(a.astype(dtype) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in self.args)
        return replace(self, args=args, _pairs={})

    # -- calls -----------------------------------------------------------------------------------------------

    def apply(self, args: Sequence[Any]) -> tuple[Array, ...]:
        outputs, self.memo[_SEVERAL] = self.op.apply(_arrays(args), self.params)
        return outputs

    def gradients(self, cotangents: Sequence[Array], args: Sequence[Any]) -> tuple[Any, ...]:
        """One gradient per argument; those of `wanted` are arrays of the right shape or OperatorError is raised."""
        args = _arrays(args)
        result = self.op.pullback(_arrays(cotangents), args, self.params, self.several)
        out = list(result)
        for i in self.wanted:
            gradient = result[i]
            if gradient is None:
                raise OperatorError(f"vjp returned None for {self.names[i]}, which is a floating-point argument")
            if isinstance(gradient, (np.generic, float)):
                gradient = np.asarray(gradient)
            if not isinstance(gradient, np.ndarray) or isinstance(gradient, FOREIGN):
                raise OperatorError(
                    f"vjp returned {type(gradient).__name__} for {self.names[i]}; it must be a NumPy array"
                )
            if gradient.shape != args[i].shape:
                raise OperatorError(
                    f"the gradient of {self.names[i]} has shape {gradient.shape}, "
                    f"but {self.names[i]} has shape {args[i].shape}"
                )
            if gradient.dtype.kind != "f":
                raise OperatorError(f"the gradient of {self.names[i]} is {gradient.dtype}, not floating point")
            out[i] = np.asarray(gradient)
        return tuple(out)

    def pair(self, count: int) -> Pair:
        """The `count`-th cotangent drawn, and its gradients: evaluated once, for all layers."""
        if count not in self._pairs:
            rng = probes.stream(self.seed, "cotangent", str(count), self.op.name)
            gy = self.cotangents(functools.partial(probes.probe, rng))
            handed = [g.copy() for g in gy]
            returned = self.gradients(handed, self.args)
            kept = tuple(g.copy() if isinstance(g, np.ndarray) else g for g in returned)
            self._pairs[count] = Pair(gy, kept, handed, returned)
        return self._pairs[count]

    def note_pair(self, gy: list[Array], gradients: Sequence[Any]) -> None:
        """Makes this cotangent, whose gradients are known, the first one."""
        self._pairs[0] = Pair(gy, tuple(gradients), gy, tuple(gradients))

    def rounding(self, cotangents: Sequence[Array], gradients: Sequence[Any]) -> dict[int, float]:
        """How far another order of summation may move each gradient: measured by moving all that goes in by an ulp.

        Where large terms cancel, that is more than the gradient's size would suggest.
        """
        rng = probes.stream(self.seed, "rounding")
        moved = []
        for _ in range(3):
            args = [probes.nudge(rng, a, self.eps) for a in self.args]
            moved.append(self.gradients([probes.nudge(rng, g, self.eps) for g in cotangents], args))
        # The smaller of two differences: an operator that is wrong now and then is not excused by that.
        drift = {i: min(_apart(moved[0][i], moved[1][i]), _apart(moved[1][i], moved[2][i])) for i in self.wanted}
        largest = max((float(np.max(np.abs(g), initial=0.0)) for g in cotangents if g.dtype.kind == "f"), default=0.0)
        size = {i: float(np.max(np.abs(gradients[i]), initial=0.0)) for i in self.wanted}
        return {i: 32 * drift[i] + self.policy.ulps * self.eps * (size[i] + largest) for i in self.wanted}

    def replaced(self, position: int, value: Array, args: Sequence[Any] | None = None) -> list[Any]:
        out = list(self.args if args is None else args)
        out[position] = value
        return out

    def cotangents(self, draw: Callable[[tuple[int, ...], Any], Array]) -> list[Array]:
        """One per output, drawn by `draw(shape, dtype)`; zeros for outputs that are not floating point."""
        return [draw(y.shape, y.dtype) if y.dtype.kind == "f" else np.zeros(y.shape, y.dtype) for y in self.outputs]

    # -- findings ------------------------------------------------------------------------------------------------

    def finding(
        self,
        layer: str,
        verdict: Verdict,
        position: int | None = None,
        *,
        reason: str = "",
        comparisons: int = 1,
        mismatch: Mismatch | None = None,
        argument: str = "",
    ) -> Finding:
        if position is not None:
            argument = f"gradient of {self.names[position]}"
        return Finding(
            layer=layer,
            verdict=verdict,
            argument=argument,
            dtype=_name(self.dtype) if self.wanted else "",
            reason=reason,
            comparisons=comparisons,
            mismatch=mismatch,
            operator=self.op.name,
        )

    def skip(self, layer: str, reason: str) -> list[Finding]:
        self.skipped.append((layer, reason))
        return []

    def describe(self) -> str:
        """Shapes, dtypes and parameters of the case, on one line."""
        parts = []
        for name, a in zip(self.names, self.args, strict=True):
            parts.append(f"{name} {_name(a.dtype)}{list(a.shape)}" if isinstance(a, np.ndarray) else f"{name}={a!r}")
        parts += [f"{key}={value!r}" for key, value in self.params.items()]
        return ", ".join(parts) or "no arguments"


def _apart(a: Array, b: Array) -> float:
    return float(np.max(np.abs(a - b), initial=0.0))


@functools.lru_cache
def _name(dtype: np.dtype[Any]) -> str:
    """NumPy works a dtype's name out anew every time, which takes as long as a small operator."""
    return str(dtype)


def _arrays(values: Sequence[Any]) -> tuple[Any, ...]:
    """NumPy's arithmetic turns 0-d arrays into scalars; operators are always given arrays."""
    return tuple(np.asarray(v) if isinstance(v, np.generic) else v for v in values)


def apart(a: Sequence[Array], b: Sequence[Array]) -> list[Array]:
    """a - b, output by output; outputs that are not floating point carry no gradient, so they do not differ."""
    return [p - q if p.dtype.kind == "f" else np.zeros(p.shape) for p, q in zip(a, b, strict=True)]


def restore(args: tuple[Any, ...], before: list[Any]) -> None:
    """Undoes what an operator wrote into its arguments: they are the caller's, and the next layer's."""
    for a, kept in zip(args, before, strict=True):
        if (
            isinstance(a, np.ndarray)
            and a.flags.writeable
            and not np.array_equal(a, kept, equal_nan=a.dtype.kind in "fc")
        ):
            a[...] = kept


#: From here on BLAS takes several threads to a dot product, which cost more than they bring, milliseconds on a busy
#: machine.
_THREADED = 8192


def dot(a: Array, b: Array) -> float:
    """The inner product of two flat arrays."""
    return float(np.dot(a, b)) if a.size < _THREADED else float(np.sum(a * b))


def inner(a: Sequence[Array], b: Sequence[Array]) -> float:
    """sum a_i b_i over all arrays, accumulated in float64."""
    total = 0.0
    for p, q in zip(a, b, strict=True):
        if p.dtype.kind == "f" and p.size:
            total += dot(np.asarray(p, np.float64).ravel(), np.asarray(q, np.float64).ravel())
    return total


def magnitude(a: Sequence[Array], b: Sequence[Array]) -> float:
    """sum |a_i b_i|: what rounding in `inner` is relative to."""
    total = 0.0
    for p, q in zip(a, b, strict=True):
        if p.dtype.kind == "f" and p.size:
            total += dot(np.abs(p, dtype=np.float64).ravel(), np.abs(q, dtype=np.float64).ravel())
    return total
