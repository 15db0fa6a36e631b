"""Recording: what stands round the engine while a program runs, and writes down each step.

`record` exchanges the engine's three methods (`scratchgan.autograd.watched`), the call of a network and the step of an
optimiser for ones that call the original and then note what went in and out. Outside of the block nothing is exchanged
and nothing is paid. Only the thread that records is recorded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from time import perf_counter_ns as now
from typing import Any

from .. import kernels
from ..autograd import Node, watched
from ..nn import Module
from ..optim import Optimizer
from ..recording import exchanged
from ..tensor import Tensor
from .events import Application, Arrival, Event, Flow, Input, Leaf, Pullback, Update, Walk
from .names import Names, source_here
from .tape import Tape
from .values import Store

_current: ContextVar[Tape | None] = ContextVar("tape", default=None)

#: Bytes of copies, Applications in full detail, and sampled elements of an array, unless given.
KEEP, LIMIT, ELEMENTS = 1 << 30, 20_000, 1024


@contextmanager
def record(
    *, keep: int = KEEP, limit: int = LIMIT, elements: int = ELEMENTS, **names: Module | Tensor
) -> Iterator[Tape]:
    """Record what is computed with Tensors in a ``with`` block, forward and backward, on this thread.

    ``keep``: bytes of arrays to copy, in the host's memory; rows and checks need them. ``limit``: applications that
    are recorded in full; what comes after them is counted. ``elements``: numbers that are shown of a larger array.
    ``names``: what networks and leaves are called on the page; the others take the names of the program's variables.

    An exception ends the recording and goes on; the tape has it, with all that came before.
    """
    recorder = Recorder(keep, limit, elements, names)
    tape = recorder.tape
    token = _current.set(tape)
    around = [(Module, "__call__", recorder.module_call), (Optimizer, "step", recorder.optimizer_step)]
    try:
        with (
            kernels.on_compile(recorder.compiling),
            watched(recorder.apply, recorder.pull, recorder.walk),
            exchanged(*around),
        ):
            yield tape
    except BaseException as error:
        tape.error = f"{type(error).__name__}: {error}", [str(n) for n in getattr(error, "__notes__", ())]
        raise
    finally:
        _current.reset(token)
        tape.store.close()


def part(name: str) -> AbstractContextManager[None]:
    """Say what is computed in a block is part of ``name``, for whoever records; nothing happens if nobody does."""
    tape = _current.get()
    return nullcontext() if tape is None else tape.part(name)


class Recorder:
    """Writes one `Tape`. ``cost``: nanoseconds of its own work so far, which no event's time includes."""

    def __init__(self, keep: int, limit: int, elements: int, names: dict[str, Any]):
        self.names = Names(names)
        self.tape = Tape(Store(keep, elements, lambda: len(self.tape.events) - 1))
        self.tape.names = self.names
        self.limit, self.thread = limit, threading.get_ident()
        self.cost, self.applications = 0, 0
        self._nodes: dict[int, int] = {}  # a Node's order -> the Application that it is of
        self._leaves: dict[int, int] = {}  # a leaf's id -> its number
        self._held: list[Tensor] = []  # so that no id of a leaf is used again
        self._parents: list[Event] = []
        self._calls: list[int] = []  # of the networks that are running, outermost first
        self._walks: list[dict[Any, list[Flow]]] = []  # what has flowed to each output or leaf

    @property
    def events(self) -> list[Event]:
        return self.tape.events

    def _elsewhere(self) -> bool:
        return threading.get_ident() != self.thread

    def _begin(self, event: Event, vjp: Any = None) -> None:
        event.index = len(self.events)
        event.parent = self._parents[-1].index if self._parents else None
        event.part = self.tape.current_part()
        if self.names.stack:
            event.module = self.names.stack[-1][0]
            event.call = self._calls[-1]
        event.source = source_here(vjp)
        self.events.append(event)

    def compiling(self, kernel: str) -> None:
        """Mark the event that is running, and those around it: a kernel is compiled in its time."""
        if self.events and not self._elsewhere():
            for event in (self.events[-1], *self._parents):
                event.compiled = True

    # Forward

    def apply(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(function: Any, *inputs: Any) -> Any:
            if self._elsewhere() or not all(isinstance(x, Tensor) for x in inputs):
                return plain(function, *inputs)  # which calls itself again, once they are Tensors
            if self.applications >= self.limit:
                return self._counted(plain, function, inputs)
            before = now()
            event = Application(-1, function=function, name=type(function).__name__)
            over = self._parents[-1] if self._parents else None
            inside = self.events[over.of] if isinstance(over, Pullback) else None
            vjp = type(inside.function).backward.__code__ if isinstance(inside, Application) else None
            self._begin(event, vjp)
            if over is not None:
                event.part, event.module, event.call = over.part, over.module, over.call
            self.applications += 1
            event.inputs = [self._input(x, event) for x in inputs]
            start = now()
            self.cost += start - before
            try:
                result = plain(function, *inputs)
            except Exception:
                if self.tape.failed is None:
                    self.tape.failed = event.index
                raise
            end = now()
            event.ns = end - start
            self._applied(event, result)
            self.cost += now() - end
            return result

        return call

    def _counted(self, plain: Callable[..., Any], function: Any, inputs: Sequence[Any]) -> Any:
        start = now()
        result = plain(function, *inputs)
        self.tape.beyond(type(function).__name__, now() - start)
        return result

    def _input(self, tensor: Tensor, event: Application) -> Input:
        value = self.tape.store.number(tensor.data)
        if tensor._node is not None:
            maker = self._application_of(tensor._node)
            return Input(value, maker, tensor._index, None, True)
        made = self.tape.store.maker(tensor.data)
        if made is not None and not tensor.requires_grad:
            return Input(value, *made, None, False)
        if not tensor.requires_grad and tensor.ndim == 0:
            return Input(value)  # a number of the formula, and no part of the graph
        return Input(value, leaf=self._leaf(tensor, value, event.index), flows=tensor.requires_grad)

    def _leaf(self, tensor: Tensor, value: int, first: int) -> int:
        # A constant is wrapped in a new Tensor each time, so its array tells whether it is the same one.
        key = id(tensor) if tensor.requires_grad else ~value
        known = self._leaves.get(key)
        if known is None:
            known = self._leaves[key] = len(self.tape.leaves)
            self.tape.leaves.append(Leaf(known, self.names.leaf(tensor), value, tensor.requires_grad, first))
            if tensor.requires_grad:
                self._held.append(tensor)
        return known

    def _application_of(self, node: Node) -> int | None:
        """Return the Application of a Node; one that is older than the recording gets a place in it now."""
        known = self._nodes.get(node.order)
        if known is None and node.order < self.tape.first_order(node):
            event = Application(
                -1, function=node.function, name=node.name, tracked=True, several=node.several, earlier=True
            )
            self._begin(event)
            event.inputs = []
            self._nodes[node.order] = known = event.index
        return known

    def _applied(self, event: Application, result: Any) -> None:
        outputs = result if type(result) is tuple else (result,)
        event.several = type(result) is tuple
        for i, y in enumerate(outputs):
            event.outputs.append(self.tape.store.made(y.data, event.index, i))
        node = outputs[0]._node if outputs else None
        if node is not None and node.function is event.function:
            event.tracked = True
            self._nodes[node.order] = event.index
            self.tape.noted(node.order)
            kept = [event.inputs[i].value for i, x in enumerate(node.inputs or ()) if x is not None]
            event.saved = kept + (list(event.outputs) if node.outputs is not None else [])

    # Backward

    def pull(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def backward(node: Node, needs: tuple[bool, ...], gys: list[Any], live: bool) -> Any:
            if self._elsewhere() or not self._walks:
                return plain(node, needs, gys, live)
            of = self._application_of(node)
            if of is None:
                start = now()
                gxs = plain(node, needs, gys, live)
                self.tape.beyond(f"{node.name}.backward", now() - start)
                return gxs
            before = now()
            event = Pullback(-1, of=of)
            self._begin(event)
            forward = self.events[of]
            event.part, event.module, event.call = forward.part, forward.module, forward.call
            event.source = forward.source
            number = self.tape.store.number
            event.gys = [None if g is None else number(g.data) for g in gys]
            arrived = self._walks[-1]
            event.flows = [self.tape.shared(arrived.pop((node.order, i), []), g) for i, g in enumerate(event.gys)]
            self._parents.append(event)
            start = now()
            self.cost += start - before
            inner = self.cost
            try:
                gxs = plain(node, needs, gys, live)
            except Exception:
                if self.tape.failed is None:
                    self.tape.failed = event.index
                raise
            finally:
                self._parents.pop()
            end = now()
            event.ns = end - start - (self.cost - inner)
            for i, (gx, need, edge) in enumerate(zip(gxs, needs, node.edges, strict=True)):
                event.gxs.append(number(gx.data) if gx is not None and need else None)
                if gx is not None and need and edge is not None:
                    key = (edge[0].order, edge[1]) if isinstance(edge[0], Node) else id(edge[0])
                    arrived.setdefault(key, []).append(Flow(number(gx.data), of, i))
            self.cost += now() - end
            return gxs

        return backward

    def walk(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def sweep(outputs: list[Tensor], cotangents: list[Tensor], targets: list[Tensor], *options: Any) -> Any:
            if self._elsewhere():
                return plain(outputs, cotangents, targets, *options)
            before = now()
            roots = [None if y._node is None else self._application_of(y._node) for y in outputs]
            event = Walk(-1, roots=[r for r in roots if r is not None], targets=len(targets))
            event.create_graph = bool(options[0])
            self._begin(event)
            arrived: dict[Any, list[Flow]] = {}
            for y, gy in zip(outputs, cotangents, strict=True):
                key = id(y) if y._node is None else (y._node.order, y._index)
                arrived.setdefault(key, []).append(Flow(self.tape.store.number(gy.data)))
            self._walks.append(arrived)
            self._parents.append(event)
            start = now()
            self.cost += start - before
            inner = self.cost
            try:
                found = plain(outputs, cotangents, targets, *options)
            finally:
                self._walks.pop()
                self._parents.pop()
            end = now()
            event.ns = end - start - (self.cost - inner)
            for target, g in zip(targets, found, strict=True):
                if g is not None and target._node is None:
                    value = self.tape.store.number(g.data)
                    leaf = self._leaf(target, self.tape.store.number(target.data), event.index)
                    event.arrivals.append(Arrival(leaf, value, self.tape.shared(arrived.get(id(target), []), value)))
            self.cost += now() - end
            return found

        return sweep

    # Networks and optimisers

    def module_call(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(module: Module, *inputs: Any, **options: Any) -> Any:
            if self._elsewhere():
                return plain(module, *inputs, **options)
            before = now()
            name = self.names.module(module)
            self.names.stack.append((name, module))
            self.tape.calls.append((name, type(module).__name__, self._calls[-1] if self._calls else None))
            self._calls.append(len(self.tape.calls) - 1)
            self.cost += now() - before
            try:
                with self.tape.part_of_call(module):
                    return plain(module, *inputs, **options)
            finally:
                self.names.stack.pop()
                self._calls.pop()

        return call

    def optimizer_step(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def step(optimizer: Optimizer, gradients: Sequence[Tensor | None] | None = None) -> None:
            if self._elsewhere():
                return plain(optimizer, gradients)
            before, store = now(), self.tape.store
            event = Update(-1, optimizer=type(optimizer).__name__)
            self._begin(event)
            given = [p._grad for p in optimizer.parameters] if gradients is None else list(gradients)
            old = [(self._leaf(p, store.number(p.data), event.index), p.data) for p in optimizer.parameters]
            for (leaf, _), name in zip(old, optimizer.names, strict=True):
                self.tape.leaves[leaf].name = self.tape.leaves[leaf].name or name
            start = now()
            self.cost += start - before
            plain(optimizer, gradients)
            end = now()
            event.ns = end - start
            for p, g, (leaf, data) in zip(optimizer.parameters, given, old, strict=True):
                if g is not None:
                    event.changes.append((leaf, store.number(data), store.number(g.data), store.number(p.data)))
            self.cost += now() - end

        return step
