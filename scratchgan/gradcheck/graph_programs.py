"""Random computation graphs, and the derivative of each by forward mode, for testing a reverse-mode engine.

Operators can all be right while the engine that chains them is wrong: a gradient overwritten where it should be
added, a diamond walked twice, one use of a value forgotten, a detached branch followed. A program here is plain
data: which step uses which earlier values. It can be run on any engine's values, and on dual numbers, which need
no graph at all.

        v0      v1          leaves, matrices of one size
        | \\    / |
        |  \\  /  |
        |  mul   |          v2 = v0 * v1
        |  /  \\ |
        add    matmul       v3 = v0 + v2,  v4 = v2 @ v1
           \\  /
           tanh(mul)        ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from . import probes
from .calls import Array
from .report import Finding, Report, Verdict, compare

#: Steps a program may take, and how many values each uses.
OPERATIONS: dict[str, int] = {
    "add": 2,
    "subtract": 2,
    "multiply": 2,
    "matmul": 2,
    "tanh": 1,
    "transpose": 1,
    "negative": 1,
    "detach": 1,
}


@dataclass(frozen=True)
class Graph:
    """`leaves` values, then one value per step: (operation, the values it uses). All are square matrices.

    The result is the sum over `outputs` of those values.
    """

    leaves: int
    steps: tuple[tuple[str, tuple[int, ...]], ...]
    outputs: tuple[int, ...]

    def run(self, values: Sequence[Any], operations: Mapping[str, Callable[..., Any]]) -> Any:
        """The result on an engine's values, with the engine's operations under the names of `OPERATIONS`."""
        made = list(values)
        for name, uses in self.steps:
            made.append(operations[name](*(made[k] for k in uses)))
        total = made[self.outputs[0]]
        for k in self.outputs[1:]:
            total = operations["add"](total, made[k])
        return total

    def evaluate(self, values: Sequence[Array]) -> Array:
        """The result in NumPy."""
        return np.asarray(self.run(values, _NUMPY))

    def gradients(self, values: Sequence[Array], gy: Array) -> list[Array]:
        """d<result, gy>/d(leaf) for every leaf, by a forward pass of dual numbers: each value has a stack of tangents,
        one for every element of every leaf."""
        ends = np.cumsum([0, *(v.size for v in values)])
        units = np.eye(int(ends[-1]))
        tangents = [units[:, a:b].reshape(-1, *v.shape) for v, a, b in zip(values, ends, ends[1:], strict=False)]
        along = self.run(list(zip(values, tangents, strict=True)), _DUAL)[1]
        slopes = (along * gy).reshape(len(units), -1).sum(1)
        return [slopes[a:b].reshape(v.shape) for v, a, b in zip(values, ends, ends[1:], strict=False)]


_NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "matmul": np.matmul,
    "tanh": np.tanh,
    "transpose": np.transpose,
    "negative": np.negative,
    "detach": np.copy,
}
#: The same on pairs of a value and a stack of tangents.
_DUAL: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "subtract": lambda a, b: (a[0] - b[0], a[1] - b[1]),
    "multiply": lambda a, b: (a[0] * b[0], a[1] * b[0] + a[0] * b[1]),
    "matmul": lambda a, b: (a[0] @ b[0], a[1] @ b[0] + a[0] @ b[1]),
    "tanh": lambda a: (np.tanh(a[0]), a[1] * (1 - np.tanh(a[0]) ** 2)),
    "transpose": lambda a: (a[0].T, np.swapaxes(a[1], -1, -2)),
    "negative": lambda a: (-a[0], -a[1]),
    "detach": lambda a: (a[0], np.zeros_like(a[1])),
}


@st.composite
def graphs(
    draw: st.DrawFn, *, max_leaves: int = 3, max_steps: int = 12, max_fan_out: int = 30, detached: bool = True
) -> Graph:
    """Random programs: diamonds and x used twice by construction, detached branches, one value used up to 30 times.

    detached: whether to detach. The gradient of such a program is by intention not the derivative of its result, so
    it cannot be held against differences.
    """
    names = tuple(name for name in OPERATIONS if detached or name != "detach")
    leaves = draw(st.integers(1, max_leaves))
    steps: list[tuple[str, tuple[int, ...]]] = []
    for _ in range(draw(st.integers(1, max_steps))):
        name = draw(st.sampled_from(names))
        count = leaves + len(steps)
        uses = [draw(st.integers(0, count - 1)) for _ in range(OPERATIONS[name])]
        if len(uses) == 2 and draw(st.booleans()):
            uses[1] = uses[0]  # f(x, x)
        if name in ("multiply", "matmul"):  # keeps the values from growing without bound
            steps.append(("tanh", (uses[0],)))
            uses[0] = leaves + len(steps) - 1
        steps.append((name, tuple(uses)))
    fanned = draw(st.integers(0, leaves + len(steps) - 1))
    fan_out = draw(st.one_of(st.just(1), st.integers(2, max_fan_out)))
    first = leaves + len(steps)
    steps += [("negative" if k % 3 else "tanh", (fanned,)) for k in range(fan_out)]
    outputs = (leaves + draw(st.integers(0, first - leaves - 1)), *range(first, first + fan_out))
    return Graph(leaves, tuple(steps), outputs)


Engine = Callable[[Graph, Sequence[Array], Array], Sequence[Array]]


def check_engine(engine: Engine, programs: Sequence[Graph], *, seed: int = 0, name: str = "engine") -> Report:
    """Holds a reverse-mode engine against forward mode on random programs.

    engine: (graph, leaf values, cotangent) -> one gradient per leaf, zeros where a leaf is not reached; it runs
    ``graph.run(values, operations)`` on its own values. Stops at the first program that fails.
    """
    findings: list[Finding] = []
    for graph in programs:
        rng = probes.stream(seed, repr(graph))
        values = [rng.standard_normal((2, 2)) for _ in range(graph.leaves)]
        gy = rng.standard_normal((2, 2))
        finding = _against_forward_mode(engine, graph, values, gy, name)
        findings.append(finding)
        if finding.verdict is Verdict.FAIL:
            findings[-1] = replace(finding, reproduce=f"check_engine(engine, [{graph!r}], seed={seed})")
            return Report(name, repr(graph), tuple(findings))
    return Report(name, f"{len(programs)} random graphs", tuple(findings))


def _against_forward_mode(engine: Engine, graph: Graph, values: list[Array], gy: Array, name: str) -> Finding:
    expected = graph.gradients(values, gy)
    sides = "got is the engine (reverse mode), expected is forward mode on dual numbers (both analytic)"

    def finding(verdict: Verdict, **more: Any) -> Finding:
        return Finding("graphs", verdict, dtype="float64", operator=name, comparisons=graph.leaves, **more)

    try:
        gradients = [np.asarray(g) for g in engine(graph, values, gy)]
    except Exception as error:
        return finding(Verdict.FAIL, reason=f"the engine raised {type(error).__name__}: {error}")
    for leaf, (got, right) in enumerate(zip(gradients, expected, strict=True)):
        if got.shape != right.shape:
            reason = f"the gradient of leaf {leaf} has shape {got.shape}, not {right.shape}"
            return finding(Verdict.FAIL, reason=reason)
        mismatch = compare(got, right, 1e-9 * (1 + float(np.max(np.abs(right)))), sides)
        if mismatch:
            return finding(Verdict.FAIL, argument=f"gradient of leaf {leaf}", mismatch=mismatch)
    return finding(Verdict.PASS)
