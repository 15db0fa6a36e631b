"""Applying a recorded Function again: rows of its Jacobian, and the gradient of one term of a loss.

There is no second set of formulas: what is asked is always the Function's own ``backward``. For y = f(x) it is the map
M: gy -> gx, linear in gy, and M is J^T if the vjp is right. One element of the gradient is

    gx[i] = sum over j of gy[j] * M[i, j]                                                       (1)

and the row M[i, :], the partial derivatives dy[j]/dx[i], is the vjp of M itself at the unit cotangent of element i:
``backward`` is written with operators, so it can be differentiated by gy. Where it is not (a Function of one's own
that computes its gradient with arrays), M is asked for each unit cotangent of gy in turn.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd import Node, grad
from ..recording import recording
from ..tensor import Tensor
from .events import Application, Input, Pullback, Walk

if TYPE_CHECKING:
    from .tape import Tape

#: Unit cotangents that are tried one after the other at most, where a vjp cannot be differentiated.
_UNITS = 4096


class ReplayError(RuntimeError):
    """A Function cannot be applied again; the message says why."""


@dataclass(frozen=True)
class Row:
    """Equation (1) for one element: ``partials`` and ``gy`` have the output's shape; ``gx`` is the recorded number."""

    element: tuple[int, ...]
    gx: float
    gy: np.ndarray
    partials: np.ndarray

    @property
    def total(self) -> float:
        """What the products add up to, in float64; ``gx`` but for rounding."""
        return float(self.products.sum())

    @property
    def products(self) -> np.ndarray:
        """gy * partials in float64; 0 where y does not depend on the element, whatever gy is there."""
        with np.errstate(all="ignore"):
            return np.where(self.partials != 0, self.gy.astype(np.float64) * self.partials, 0.0)


class Replay:
    """A recorded vjp that can be asked again, at the arrays that it was asked at."""

    def __init__(self, tape: Tape, pullback: Pullback):
        forward = tape.events[pullback.of]
        assert isinstance(forward, Application)
        self.name = forward.name
        if forward.several:
            raise ReplayError(f"{self.name} has several outputs; rows are computed for one")
        if forward.earlier:
            raise ReplayError(f"{self.name} was applied before the recording began, so its inputs are not known")
        gy = None if pullback.gys[0] is None else tape.store.values[pullback.gys[0]].array
        arrays = [tape.store.values[x.value].array for x in forward.inputs]
        if gy is None or any(a is None for a in arrays):
            raise ReplayError(f"{self.name}: its arrays were not kept (record(keep=...) bytes)")
        self.gy: np.ndarray = gy
        self.needs = tuple(g is not None for g in pullback.gxs)
        self._tape, self._pullback = tape, pullback
        xs = [Tensor(a, requires_grad=need) for a, need in zip(arrays, self.needs, strict=True)]
        with recording(True):
            y = copy.copy(forward.function)(*xs)
        self._node: Node = y._node
        self._gxs: tuple[Any, ...] | None = None
        self._cotangent = Tensor(gy, requires_grad=True)

    def row(self, of: int, element: tuple[int, ...]) -> Row:
        """Return where element ``element`` of the gradient of input ``of`` came from."""
        number = self._pullback.gxs[of]
        if number is None:
            raise ReplayError(f"{self.name}: no gradient of input {of} was asked for")
        recorded = self._tape.store.values[number].array
        assert recorded is not None or number is not None
        if self._gxs is None:
            with recording(True), np.errstate(all="ignore"):
                self._gxs = self._node.backward(self.needs, [self._cotangent], True)
        gx: Any = self._gxs[of]
        unit = np.zeros(gx.shape, gx.dtype)
        unit[element] = 1
        if gx.requires_grad:
            with np.errstate(all="ignore"):
                (partials,) = grad(gx, self._cotangent, Tensor(unit), allow_unused=True)
            row = partials.data
        else:
            row = self._by_units(of, element)
        value = float(gx.data[element] if recorded is None else recorded[element])
        return Row(element, value, self.gy, row)

    def _by_units(self, of: int, element: tuple[int, ...]) -> np.ndarray:
        if self.gy.size > _UNITS:
            raise ReplayError(f"{self.name}: its vjp is not differentiable, and {self.gy.size} outputs are too many")
        row = np.zeros(self.gy.shape, self.gy.dtype)
        for j in np.ndindex(self.gy.shape):
            unit = np.zeros(self.gy.shape, self.gy.dtype)
            unit[j] = 1
            with recording(False):
                gx: Any = self._node.backward(self.needs, [Tensor(unit)], False)[of]
            row[j] = gx.data[element]
        return row


def row(tape: Tape, pullback: int, of: int, element: tuple[int, ...]) -> Row:
    """Return where one element of a gradient came from, equation (1).

    ``pullback``: the number of the Pullback; ``of``: which of its inputs; ``element``: an index of that gradient.
    Raises ReplayError where it cannot be told, IndexError for an element that there is not, KeyError for another event.
    """
    event = tape.events[pullback] if 0 <= pullback < len(tape.events) else None
    if not isinstance(event, Pullback):
        raise KeyError(f"event {pullback} is no vjp; `tape.summary()` lists them")
    return Replay(tape, event).row(of, element)


@dataclass(frozen=True)
class Term:
    """A term of a loss: the Application that made it, its value, and the gradient's norm by leaf."""

    application: int
    value: float
    norms: dict[int, float]

    @property
    def norm(self) -> float:
        return math.sqrt(sum(n * n for n in self.norms.values()))


def terms(tape: Tape, walk: Walk, most: int = 8) -> list[Term]:
    """Return the terms that the loss of a reverse pass is a sum of, each with its own gradient by the walk's leaves.

    They are found by taking additions apart; for each the recorded vjps are asked again, with the cotangent that
    reaches it. None for a loss that is no sum, or is a sum of more than ``most``, or whose arrays were not kept.
    """
    wanted = {arrival.leaf for arrival in walk.arrivals}
    if len(walk.roots) != 1 or not wanted:
        return []
    ends = _summands(tape, walk.roots[0])
    if not 2 <= len(ends) <= most:
        return []
    found = []
    for end in ends:
        event = tape.application(end)
        kept = tape.store.values[event.outputs[0]].array
        if kept is None:
            return []
        try:
            found.append(Term(end, float(kept.reshape(-1)[0]), _gradient(tape, end, wanted)))
        except ReplayError:
            return []
    return found


def _summands(tape: Tape, root: int) -> list[int]:
    event = tape.application(root)
    if event.name != "Add" or any(x.maker is None or not x.flows for x in event.inputs):
        return [root]
    return [end for x in event.inputs for end in _summands(tape, x.maker)]  # type: ignore[arg-type]


def _gradient(tape: Tape, end: int, wanted: set[int]) -> dict[int, float]:
    """Return the norm of the gradient of the scalar that Application ``end`` made, by leaf."""
    stack, seen = [end], {end}
    while stack:
        for x in tape.application(stack.pop()).inputs:
            if x.flows and x.maker is not None and x.maker not in seen:
                seen.add(x.maker)
                stack.append(x.maker)
    last = _array(tape, tape.application(end).outputs[0])
    arrived: dict[tuple[str, int], np.ndarray] = {("made", end): np.ones_like(last)}
    useful: dict[int, bool] = {}
    for index in sorted(seen):
        useful[index] = any(_leads(x, wanted, useful) for x in tape.application(index).inputs)
    with recording(False), np.errstate(all="ignore"):
        for index in sorted(seen, reverse=True):
            gy = arrived.pop(("made", index), None)
            if gy is None or not useful[index]:
                continue
            event = tape.application(index)
            if event.several or event.earlier:
                raise ReplayError(f"{event.name} cannot be asked again")
            needs = tuple(_leads(x, wanted, useful) for x in event.inputs)
            keep = event.function.saves_inputs
            xs = [
                Tensor(_array(tape, x.value)) if keep is True or (keep and keep[i]) else None
                for i, x in enumerate(event.inputs)
            ]
            y = Tensor(_array(tape, event.outputs[0])) if event.function.saves_output else None
            gxs = event.function.backward(needs, Tensor(gy), y, *xs)
            for x, need, gx in zip(event.inputs, needs, gxs if isinstance(gxs, tuple) else (gxs,), strict=True):
                if need and gx is not None:
                    key = ("leaf", x.leaf) if x.leaf is not None else ("made", x.maker)
                    before = arrived.get(key)  # type: ignore[arg-type]
                    arrived[key] = gx.data if before is None else before + gx.data  # type: ignore[index]
    return {leaf: float(np.linalg.norm(arrived[("leaf", leaf)])) for leaf in wanted if ("leaf", leaf) in arrived}


def _leads(x: Input, wanted: set[int], useful: dict[int, bool]) -> bool:
    """Whether a gradient that goes back through an input reaches a leaf that is wanted."""
    if not x.flows:
        return False
    return x.leaf in wanted if x.maker is None else useful.get(x.maker, False)


def _array(tape: Tape, value: int) -> np.ndarray:
    array = tape.store.values[value].array
    if array is None:
        raise ReplayError("its arrays were not kept (record(keep=...) bytes)")
    return array
