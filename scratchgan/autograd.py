"""Reverse-mode automatic differentiation, all of it.

An operator is a `Function`: ``forward`` takes arrays to an array, ``backward`` takes the gradient of its output to
the gradients of its inputs. Applying one to Tensors computes the result and, if a gradient may be asked for,
records a `Node`: which Function, which arrays it saw, and which Nodes those arrays came from. The Nodes form a
graph that points from results back to inputs, and the chain rule is a walk along it:

        x ──► [Mul] ──► a ──► [Sum] ──► loss        forward makes Nodes, oldest first
        x ◄── [Mul] ◄── a ◄── [Sum] ◄── 1           `grad` visits them newest first

``backward`` is itself written with operators on Tensors. So with ``create_graph=True`` the walk records Nodes of
its own, and its results can be differentiated again, to any order, with no second mechanism.

Three rules keep this small:

* A Node is made after everything that it depends on, so *creation order is a topological order*: no recursion,
  and a chain of 100,000 operators is no different from a chain of three.
* A Node keeps arrays and older Nodes, never the Tensor that it made. References only point back in time, so there
  are no cycles: drop the result, and the whole graph is freed on the spot, without the garbage collector.
* What a Node saved must not change. Results are made read-only; an array that its owner can still write to is
  fingerprinted when it is saved, and using it after a change raises.
"""

from __future__ import annotations

import itertools
import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from .device import Array
from .guard import fingerprint, frozen
from .place import Place, describe, users_place
from .recording import exchanged, is_grad_enabled, recording
from .tensor import Tensor, as_tensor

_clock = itertools.count()

# Where a gradient flows to: a Node and which of its outputs, or a leaf Tensor and 0.
Edge: TypeAlias = "tuple[Node | Tensor, int]"
# The shape and dtype of an output.
Kind: TypeAlias = "tuple[tuple[int, ...], Any]"


class AutogradError(RuntimeError):
    """The graph cannot be differentiated as asked; the message names the Function and the user's line."""


class Function:
    """One differentiable operator. Static parameters go to ``__init__``, Tensors to the call::

        class Square(Function):
            def forward(self, x):
                return x * x
            def backward(self, needs, gy, y, x):
                return 2 * x * gy

        y = Square()(x)

    An instance is applied once. ``saves_inputs`` and ``saves_output`` say which arrays ``backward`` reads; what it
    does not read is not kept alive by the graph, and arrives in ``backward`` as None.
    """

    saves_inputs: bool | tuple[bool, ...] = True
    saves_output: bool = True

    def forward(self, *arrays: Any) -> Any:
        """Arrays in, one array (or a tuple of arrays) out. Must not change its inputs."""
        raise NotImplementedError

    def backward(self, needs: tuple[bool, ...], gy: Any, y: Any, *xs: Any) -> Any:
        """Return the gradient for each input, or None where ``needs`` says that none is wanted.

        ``gy``: gradient of the output, same shape (a tuple, if forward returned one). ``y`` and ``xs`` are the saved
        output and inputs. Everything is a Tensor, and everything computed from them must use operators on Tensors:
        that is what makes the gradient differentiable. Read nothing from ``self`` but constants.
        """
        raise NotImplementedError

    def __call__(self, *inputs: Any) -> Any:
        # Plain loops here and in Node: this is the cost of every operator, and it shows in small networks.
        arrays, tracked = [], False
        for x in inputs:
            if not isinstance(x, Tensor):
                return self(*[as_tensor(x) for x in inputs])
            arrays.append(x.data)
            if x.requires_grad:
                tracked = True
        result = self.forward(*arrays)
        tracked = tracked and is_grad_enabled()
        if type(result) is tuple:
            outputs = tuple([frozen(y, arrays) for y in result])
            node = Node(self, inputs, outputs, several=True) if tracked else None
            return tuple([Tensor._made_by(node, i, y) for i, y in enumerate(outputs)])
        y = frozen(result, arrays)
        return Tensor._made_by(Node(self, inputs, (y,)) if tracked else None, 0, y)


def constant(array: Any) -> Tensor:
    """Return what an operator computed on the way, a mask or a share, as a constant; it is made read-only."""
    return Tensor._made_by(None, 0, frozen(array, ()))


def _edge(tensor: Tensor) -> Edge | None:
    """Return where the gradient of ``tensor`` flows to: None for a constant."""
    if tensor._node is not None:
        return tensor._node, tensor._index
    return (tensor, 0) if tensor.requires_grad else None


class Node:
    """One recorded application of a Function.

    ``edges``: where each input came from, None for a constant. ``inputs``: the arrays that backward reads, None for
    the others, and ``outputs``: None if it reads none; both None once they were freed. ``order``: a number that grows
    with time.
    """

    __slots__ = (
        "__weakref__", "edges", "fingerprints", "function", "hooks", "inputs", "kinds", "order", "outputs", "place",
        "several",
    )  # fmt: skip

    def __init__(
        self, function: Function, tensors: Sequence[Tensor], outputs: tuple[Array, ...], several: bool = False
    ):
        self.function = function
        self.order = next(_clock)
        self.place: Place = users_place(3)
        self.several = several
        self.hooks: list[tuple[int, Callable[[Tensor], Tensor | None]]] | None = None
        self.fingerprints: dict[int, int | bytes] | None = None  # of the inputs that someone may still write to
        self.edges: list[Edge | None] = [  # `_edge` of each, without the call
            (t._node, t._index) if t._node is not None else (t, 0) if t.requires_grad else None for t in tensors
        ]
        self.inputs: list[Array | None] | None = [None] * len(tensors)
        keep = function.saves_inputs
        if keep:
            for i, t in enumerate(tensors):
                if keep is True or (keep and keep[i]):
                    self.inputs[i] = t.data
                    mark = fingerprint(t.data, t._given)
                    if mark is not None:
                        self.fingerprints = {**(self.fingerprints or {}), i: mark}
        self.outputs: tuple[Array, ...] | None = outputs if function.saves_output else None
        self.kinds: tuple[Kind, ...] = ((outputs[0].shape, outputs[0].dtype),)
        if several:
            self.kinds = tuple([(y.shape, y.dtype) for y in outputs])

    def __repr__(self) -> str:
        return f"<{self.name} at {self.where}>"

    @property
    def name(self) -> str:
        """The Function's class name."""
        return type(self.function).__name__

    @property
    def where(self) -> str:
        """``file:line`` of the user's program that made this Node."""
        return describe(self.place)

    def free(self) -> None:
        """Forget the saved arrays; the shapes of the outputs, and the way to older Nodes, stay."""
        self.inputs = self.outputs = None

    def saved(self, live: bool) -> tuple[Any, list[Tensor | None]]:
        """Return the saved output(s) and inputs as Tensors: part of the graph if ``live``, else constants."""
        if self.inputs is None:
            raise AutogradError(
                f"{self.name}, applied at {self.where}: its part of the graph was freed by an earlier gradient with "
                "retain_graph=False; leave that out to use the graph again"
            )
        if self.fingerprints is not None:
            for i, mark in self.fingerprints.items():
                saved: Any = self.inputs[i]
                if fingerprint(saved) != mark:
                    raise AutogradError(
                        f"{self.name}, applied at {self.where}, saved its input {i} {saved.shape} for the gradient, "
                        "and the array was changed in place since: compute the gradient before that, or change a copy"
                    )
        xs: list[Any] = self.inputs
        if self.function.saves_inputs:
            xs = [
                x if x is None else self._recalled(i, x) if live else Tensor._made_by(None, 0, x)
                for i, x in enumerate(xs)
            ]
        maker = self if live else None
        if self.outputs is None:
            return ((None,) * len(self.kinds) if self.several else None), xs
        if self.several:
            return tuple([Tensor._made_by(maker, i, y) for i, y in enumerate(self.outputs)]), xs
        return Tensor._made_by(maker, 0, self.outputs[0]), xs

    def _recalled(self, i: int, x: Array) -> Tensor:
        """Return input ``i`` as a part of the graph, as it was when the Function was applied."""
        edge = self.edges[i]
        if edge is None:
            return Tensor._made_by(None, 0, x)
        if isinstance(edge[0], Node):
            return Tensor._made_by(edge[0], edge[1], x)
        if edge[0].data is not x:
            raise AutogradError(
                f"{self.name}, applied at {self.where}: the leaf that is its input {i} was given new data since, "
                "so the gradient cannot be part of a new graph; compute it before the update"
            )
        return edge[0]

    def backward(self, needs: tuple[bool, ...], gys: list[Any], live: bool) -> tuple[Tensor | None, ...]:
        """Run the Function's ``backward``, and return the gradient of each input after a check; None of some."""
        y, xs = self.saved(live)
        if self.several:  # those outputs that nothing used have a gradient of zero
            like = next(g for g in gys if g is not None).namespace
            pairs = zip(gys, self.kinds, strict=True)
            gys = [tuple([Tensor(like.zeros(*kind)) if g is None else g for g, kind in pairs])]
        try:
            gxs = self.function.backward(needs, gys[0], y, *xs)
        except Exception as error:
            error.add_note(f"in the gradient of {self.name}, applied at {self.where}")
            raise
        gxs = gxs if type(gxs) is tuple else (gxs,)
        if len(gxs) != len(xs):
            raise AutogradError(
                f"{self.name}.backward returned {len(gxs)} gradients for {len(xs)} inputs (applied at {self.where})"
            )
        for i, gx in enumerate(gxs):
            if gx is not None and needs[i]:
                edge: Any = self.edges[i]
                source, index = edge
                kind = source.kinds[index] if isinstance(source, Node) else (source.data.shape, source.data.dtype)
                if not isinstance(gx, Tensor) or (gx.data.shape, gx.data.dtype) != kind:
                    got = f"{gx.dtype} {gx.shape}" if isinstance(gx, Tensor) else f"a {type(gx).__name__}"
                    raise AutogradError(
                        f"{self.name}.backward must return a Tensor {kind[1]} {kind[0]} for input {i}, "
                        f"got {got} (applied at {self.where})"
                    )
        return gxs


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Iterable[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
    retain_graph: bool = True,
) -> tuple[Tensor, ...]:
    """Return the gradients of ``outputs`` with respect to each of ``inputs``.

    With several outputs, of the sum of all their elements weighted by ``grad_outputs`` (a vector-Jacobian product).
    ``grad_outputs`` may be left out for outputs of one element. Only what lies between ``outputs`` and ``inputs`` is
    computed: ``grad(loss, generator.parameters())`` passes through a discriminator without one of its weight
    gradients. ``create_graph=True`` records the computation, so that the results can be differentiated again.

    An input that the outputs do not depend on raises ValueError; with ``allow_unused`` its gradient is zero.
    ``retain_graph=False`` frees what each operator saved as soon as its gradient is known, which lowers the peak of
    memory; the part of the graph that was used cannot be used again.
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for i, x in enumerate(inputs):
        if not x.requires_grad:
            raise ValueError(f"grad: inputs[{i}] {x.shape} does not require a gradient: use requires_grad=True")
    if create_graph and not retain_graph:
        raise ValueError("grad: create_graph=True makes a graph that leads through this one; do not free it")
    found = _sweep(outputs, _cotangents("grad", outputs, grad_outputs), inputs, create_graph, retain_graph)
    if not allow_unused and None in [g if g is None else 0 for g in found]:
        i = next(i for i, g in enumerate(found) if g is None)
        raise ValueError(
            f"grad: the outputs do not depend on inputs[{i}] {inputs[i].shape}; "
            "pass allow_unused=True for a zero gradient"
        )
    return tuple(
        [Tensor(x.namespace.zeros_like(x.data)) if g is None else g for x, g in zip(inputs, found, strict=True)]
    )


def backward(
    outputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    create_graph: bool = False,
) -> None:
    """Add the gradients of ``outputs`` to ``.grad`` of every leaf that they depend on."""
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    cotangents = _cotangents("backward", outputs, grad_outputs)
    leaves = {id(t): t for t in outputs if t._node is None}
    for node in _ancestors(outputs):
        leaves.update({id(e[0]): e[0] for e in node.edges if e is not None and isinstance(e[0], Tensor)})
    for leaf, g in zip(leaves.values(), _sweep(outputs, cotangents, list(leaves.values()), create_graph), strict=True):
        if g is None:
            continue
        if not create_graph:  # one gradient array can reach several leaves; each .grad is its leaf's own
            g = Tensor(g.data.copy())
        with recording(create_graph):
            leaf.grad = g if leaf.grad is None else leaf.grad + g


def _cotangents(caller: str, outputs: list[Tensor], given: Any) -> list[Tensor]:
    cotangents = [None] * len(outputs) if given is None else [given] if isinstance(given, Tensor) else list(given)
    if len(cotangents) != len(outputs):
        raise ValueError(f"{caller}: {len(outputs)} outputs but {len(cotangents)} grad_outputs")
    result = []
    for i, (y, gy) in enumerate(zip(outputs, cotangents, strict=True)):
        if not y.requires_grad:
            raise ValueError(f"{caller}: outputs[{i}] {y.shape} was not computed from anything with a gradient")
        if gy is None:
            if y.size != 1:
                raise ValueError(
                    f"{caller}: outputs[{i}] has shape {y.shape}, and only a single number has a gradient of its own; "
                    "reduce it (.sum(), .mean()) or pass grad_outputs"
                )
            gy = Tensor(y.namespace.ones_like(y.data))
        elif (gy.shape, gy.dtype) != (y.shape, y.dtype):
            raise ValueError(
                f"{caller}: grad_outputs[{i}] is {gy.dtype} {gy.shape}, but outputs[{i}] is {y.dtype} {y.shape}"
            )
        result.append(gy)
    return result


def _ancestors(outputs: list[Tensor]) -> list[Node]:
    """Return every Node that ``outputs`` depend on, oldest first."""
    stack = [t._node for t in outputs if t._node is not None]
    seen = {node.order: node for node in stack}
    while stack:
        for source, _ in filter(None, stack.pop().edges):
            if isinstance(source, Node) and source.order not in seen:
                seen[source.order] = source
                stack.append(source)
    return [seen[order] for order in sorted(seen)]


def _sweep(
    outputs: list[Tensor],
    cotangents: list[Tensor],
    targets: list[Tensor],
    create_graph: bool,
    retain_graph: bool = True,
) -> list[Tensor | None]:
    """Walk the graph once, newest Node first, and return the gradient that reached each target."""
    edges = [_edge(t) for t in targets]
    result: dict[Edge, Tensor | None] = {edge: None for edge in edges if edge is not None}

    # Oldest first: a Node is useful if a target lies behind it. The rest of the graph is not visited.
    asked = {vertex for vertex, _ in result}
    useful = set(asked)
    visits: list[tuple[Node, tuple[bool, ...]]] = []  # and which of its inputs need a gradient
    for node in _ancestors(outputs):
        needs = tuple([edge is not None and edge[0] in useful for edge in node.edges])
        if True in needs:
            useful.add(node)
        if node in useful:
            visits.append((node, needs))

    arrived: dict[Edge, Tensor] = {}  # the sum, so far, of what flows into each output or leaf
    add = operator.add if create_graph else _sum
    with recording(create_graph):
        for y, gy in zip(outputs, cotangents, strict=True):
            edge: Any = _edge(y)
            arrived[edge] = add(arrived[edge], gy) if edge in arrived else gy
        while visits:
            node, needs = visits.pop()
            gys = [arrived.pop((node, 0), None)]
            if node.several:
                gys += [arrived.pop((node, i), None) for i in range(1, len(node.kinds))]
            if gys[0] is None and all([g is None for g in gys]):
                continue
            if node.hooks is not None:
                for i, hook in node.hooks:
                    gys[i] = _hooked(hook, gys[i])
            if node in asked:
                result.update({(node, i): g for i, g in enumerate(gys) if (node, i) in result})
            if True in needs:
                for i, gx in enumerate(node.backward(needs, gys, create_graph)):
                    if gx is not None and needs[i]:
                        edge = node.edges[i]
                        before = arrived.get(edge)
                        arrived[edge] = gx if before is None else add(before, gx)
                if not retain_graph:
                    node.free()
        for leaf, edge in zip(targets, edges, strict=True):  # what is left in `arrived` has reached its leaf
            if leaf._node is None and edge in arrived:
                g = arrived.pop(edge)
                for leaf_hook in leaf._hooks or ():
                    g = _hooked(leaf_hook, g)
                result[edge] = g
    return [None if edge is None else result[edge] for edge in edges]


def _sum(a: Tensor, b: Tensor) -> Tensor:
    """Return a + b of two gradients, where nothing is recorded: without the ceremony of an operator."""
    return Tensor._made_by(None, 0, frozen(a.data + b.data, ()))


def _hooked(hook: Callable[[Tensor], Tensor | None], g: Tensor | None) -> Any:
    replacement = None if g is None else hook(g)
    return g if replacement is None else replacement


def watched(apply: Any, pull: Any, walk: Any) -> Any:
    """Stand round every application, vjp and walk in a block; the methods are exchanged, so it costs others nothing."""
    return exchanged((Function, "__call__", apply), (Node, "backward", pull), (sys.modules[__name__], "_sweep", walk))
