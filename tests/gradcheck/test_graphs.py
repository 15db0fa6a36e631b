"""The engine against forward mode: a state machine that builds a graph step by step, and whole random programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scratchgan import Tensor, grad, ops
from scratchgan.gradcheck import Graph, Op, Verdict, check, graphs
from scratchgan.gradcheck.graph_programs import check_engine
from scratchgan.gradcheck.profiles import session
from scratchgan.gradcheck.selftest.targets import reverse_mode
from scratchgan.gradcheck.suites import draw

UNARY = {"tanh": ops.tanh, "negative": ops.negative, "transpose": ops.transpose, "detach": lambda x: x.detach()}
BINARY = {"add": ops.add, "subtract": ops.subtract, "multiply": ops.multiply, "matmul": ops.matmul}
ALL: dict[str, Any] = {**UNARY, **BINARY}


class EngineAgainstForwardMode(RuleBasedStateMachine):
    """The same steps on Tensors, as they come, and recorded as a program; gradients may be asked for at any time.

    Unlike whole programs this interleaves building with differentiating: a graph that has been walked once is
    extended and walked again, and `.grad` accumulates over several walks.
    """

    @initialize(leaves=st.integers(1, 3), seed=st.integers(0, 999))
    def begin(self, leaves: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.values = [rng.standard_normal((2, 2)) for _ in range(leaves)]
        self.gy = rng.standard_normal((2, 2))
        self.tensors = [Tensor(v, requires_grad=True) for v in self.values]
        self.steps: list[tuple[str, tuple[int, ...]]] = []
        self.accumulated = [np.zeros((2, 2)) for _ in self.values]

    def take(self, name: str, *uses: int) -> None:
        self.tensors.append(ALL[name](*(self.tensors[k] for k in uses)))
        self.steps.append((name, uses))

    def value(self, number: int) -> int:
        return number % len(self.tensors)

    @rule(name=st.sampled_from(sorted(UNARY)), number=st.integers(0, 99))
    def unary(self, name: str, number: int) -> None:
        self.take(name, self.value(number))

    @rule(name=st.sampled_from(sorted(BINARY)), a=st.integers(0, 99), b=st.integers(0, 99), twice=st.booleans())
    def binary(self, name: str, a: int, b: int, twice: bool) -> None:
        self.take("tanh", self.value(a))  # keeps the values small
        self.take(name, len(self.tensors) - 1, self.value(b) if not twice else len(self.tensors) - 1)

    @rule(number=st.integers(0, 99))
    def diamond(self, number: int) -> None:
        top = self.value(number)
        self.take("tanh", top)
        self.take("negative", top)
        self.take("multiply", len(self.tensors) - 1, len(self.tensors) - 2)

    @rule(number=st.integers(0, 99), width=st.integers(2, 30))
    def fan_out(self, number: int, width: int) -> None:
        source = self.value(number)
        self.take("tanh", source)
        for _ in range(width):
            self.take("add", len(self.tensors) - 1, source)

    def program(self, output: int) -> Graph:
        steps = self.steps[: output - len(self.values) + 1]
        return Graph(len(self.values), tuple(steps), (output,))

    @precondition(lambda self: self.steps)
    @rule(number=st.integers(0, 99))
    def grad_agrees(self, number: int) -> None:
        output = len(self.values) + number % len(self.steps)
        y = self.tensors[output]
        expected = self.program(output).gradients(self.values, self.gy)
        if not y.requires_grad:
            assert not np.any(expected)
            return
        leaves = self.tensors[: len(self.values)]
        for g, right in zip(grad(y, leaves, Tensor(self.gy), allow_unused=True), expected, strict=True):
            np.testing.assert_allclose(g.data, right, rtol=1e-9, atol=1e-9)

    @precondition(lambda self: self.steps)
    @rule(number=st.integers(0, 99))
    def backward_accumulates(self, number: int) -> None:
        output = len(self.values) + number % len(self.steps)
        if self.tensors[output].requires_grad:
            self.tensors[output].backward(Tensor(self.gy))
            for total, g in zip(self.accumulated, self.program(output).gradients(self.values, self.gy), strict=True):
                total += g

    @invariant()
    def accumulated_gradients_agree(self) -> None:
        for leaf, total in zip(getattr(self, "tensors", [])[: len(getattr(self, "values", []))], self.accumulated):  # noqa: B905
            got = np.zeros((2, 2)) if leaf.grad is None else leaf.grad.data
            np.testing.assert_allclose(got, total, rtol=1e-8, atol=1e-8)


TestEngine = EngineAgainstForwardMode.TestCase
TestEngine.settings = settings(
    max_examples=session.profile.max_examples,
    stateful_step_count=12,
    deadline=None,
    derandomize=session.profile.derandomize,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_whole_programs() -> None:
    report = check_engine(reverse_mode, draw(graphs(), 60))
    assert report.verdict is Verdict.PASS, str(report)


def test_graphs_to_second_order() -> None:
    for graph in draw(graphs(max_steps=6, max_fan_out=4, detached=False), 12, seed=1):

        def function(*leaves: Tensor, graph: Graph = graph) -> Any:
            return graph.run(leaves, ALL)

        values = [np.random.default_rng(k).standard_normal((2, 2)) for k in range(graph.leaves)]
        report = check(Op.from_function(function, name="graph"), *values, order=2)
        assert report.verdict is Verdict.PASS, str(report)


@pytest.mark.parametrize("kind", ["drops", "raises"])
def test_a_wrong_engine_is_refused(kind: str) -> None:
    def wrong(graph: Graph, values: Any, gy: Any) -> Any:
        if kind == "raises":
            raise KeyError("node")
        return [np.zeros_like(v) for v in values]

    report = check_engine(wrong, draw(graphs(), 10))
    assert report.verdict is Verdict.FAIL
    assert "graphs" in str(report)
