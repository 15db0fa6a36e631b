"""Statistics, rows, costs, terms, checks and where it went wrong."""

import sys
from pathlib import Path

import numpy as np
import pytest

from scratchgan import Function, Tensor, grad, nn, ops
from scratchgan.inspect import ReplayError, record
from scratchgan.inspect.costs import application_cost, pullback_costs
from scratchgan.inspect.health import along_the_way, backward_trouble, forward_trouble
from scratchgan.inspect.replay import terms
from scratchgan.inspect.rows import chosen
from scratchgan.inspect.values import box, facts, picture

sys.path.insert(0, str(Path(__file__).parent.parent))
from cases import CASES


def leaf(*shape, seed=0, dtype=np.float64):
    return Tensor(np.random.default_rng(seed).normal(size=shape).astype(dtype), requires_grad=True)


class Tripled(Function):
    """Twice x, with a vjp that says three times."""

    def forward(self, x):
        return 2 * x

    def backward(self, needs, gy, y, x):
        return gy * 3.0


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.0, -2.0, 0.0, 3.5]),
        np.array([1e30, 2e30], np.float32),
        np.array([1e-30, -1e-30, 0], np.float32),
        np.array([np.nan, 1.0, np.inf, -np.inf, 0.0], np.float32),
        np.array(2.5),
        np.array([[1, 2], [3, 4]]),
        np.array([True, False]),
        np.array([3 + 4j]),
    ],
    ids=str,
)
def test_facts(array) -> None:
    got = facts(array)
    plain = np.abs(array) if array.dtype.kind == "c" else array.astype(np.float64)
    good = plain[np.isfinite(plain)]
    assert (got.nan, got.inf) == (np.isnan(plain).sum(), np.isinf(plain).sum())
    assert got.zeros == pytest.approx(np.mean(plain == 0))
    assert got.low == good.min()
    assert got.high == good.max()
    assert got.mean == pytest.approx(good.mean(), rel=1e-6)
    assert got.norm == pytest.approx(np.linalg.norm(good), rel=1e-6)
    assert got.std == pytest.approx(good.std(), rel=1e-4, abs=1e-6 * abs(plain[np.isfinite(plain)]).max())
    assert sum(got.counts) == good.size


def test_facts_of_nothing() -> None:
    assert facts(np.zeros((0, 3))).norm is None
    assert facts(np.array([np.nan])).low is None


def test_a_box_takes_the_last_axes_first() -> None:
    assert box((64, 128, 28, 28), 1024) == (1, 1, 28, 28)
    assert box((3, 4), 100) == (3, 4)
    assert box((), 5) == ()
    assert box((5000,), 10) == (10,)


def test_pictures_are_of_images_channels_and_filters() -> None:
    assert picture(np.zeros((4, 3, 16, 16))).shape == (4, 16, 16, 3)
    assert picture(np.zeros((4, 1, 16, 16))).shape == (4, 16, 16)
    assert picture(np.zeros((30, 8, 3, 3))).shape == (16, 3, 3)
    assert picture(np.zeros((2, 8, 16, 16))).shape == (8, 16, 16)
    assert picture(np.zeros((4, 4))) is None


# One element's row times gy is that element of the gradient: for every operator, at every input.
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rows_of_every_operator(case) -> None:
    xs = [Tensor(a, requires_grad=True) for a in case.inputs(np.float64)]
    with record() as tape:
        y = case.function(*xs, **case.params) if case.call is None else case.call(*xs)
        gy = Tensor(np.random.default_rng(1).normal(size=y.shape))
        grad(y, xs, gy, allow_unused=True)
    asked = 0
    for pull in tape.pullbacks:
        for i, g in enumerate(pull.gxs):
            if g is None or not tape.store.values[g].shape or 0 in tape.store.values[g].shape:
                continue
            for element in chosen(tape.store.values[g].shape, 10_000, 2):
                row = tape.row(pull.index, i, element)
                assert row.total == pytest.approx(row.gx, rel=1e-9, abs=1e-12)
                asked += 1
    assert asked or not tape.pullbacks


def test_a_row_is_the_jacobians() -> None:
    x = leaf(3, 2)
    w = leaf(4, 2, seed=1)
    with record() as tape:
        grad(ops.linear(x, w).sum(), [x, w])
    pull = tape.pullbacks[-1]
    row = tape.row(pull.index, 0, (1, 0))
    expected = np.zeros((3, 4))
    expected[1] = w.data[:, 0]
    np.testing.assert_array_equal(row.partials, expected)


def test_the_row_of_a_convolution_is_the_turned_filter() -> None:
    x, w = leaf(1, 1, 6, 6), Tensor(np.arange(1.0, 10).reshape(1, 1, 3, 3), requires_grad=True)
    with record() as tape:
        grad(ops.conv2d(x, w, padding=1).sum(), [x, w])
    pull = next(p for p in tape.pullbacks if tape.application(p.of).name == "Convolve")
    row = tape.row(pull.index, 0, (0, 0, 2, 3))
    np.testing.assert_array_equal(row.partials[0, 0, 1:4, 2:5], w.data[0, 0, ::-1, ::-1])
    assert np.count_nonzero(row.partials) == 9
    written = next(r for r in tape.document()["rows"][f"{pull.index}:0"] if r["e"] == [0, 0, 2, 3])
    assert written["box"] == [1, 2, 3, 3]


def test_a_vjp_that_is_not_differentiable_is_asked_by_units() -> None:
    class Frozen(Function):
        def forward(self, x):
            return x * x

        def backward(self, needs, gy, y, x):
            return Tensor(gy.data * 2 * x.data)

    x = leaf(4)
    with record() as tape:
        grad(Frozen()(x).sum(), x)
    row = tape.row(tape.pullbacks[-1].index, 0, (2,))
    assert row.partials[2] == 2 * x.data[2]
    assert np.count_nonzero(row.partials) == 1


def test_what_has_no_row() -> None:
    x = leaf(3)
    y = ops.tanh(x)
    with record() as tape:
        grad(y.sum(), x)
    with pytest.raises(ReplayError, match="before the recording"):
        tape.row(tape.pullbacks[-1].index, 0, (0,))
    with pytest.raises(KeyError, match="no vjp"):
        tape.row(0, 0, (0,))


def test_costs_are_the_definitions() -> None:
    x, w = leaf(2, 3, 8, 8), leaf(5, 3, 3, 3, seed=1)
    a, b = leaf(4, 6), leaf(6, 7, seed=2)
    with record() as tape:
        y = ops.conv2d(x, w, padding=1)
        z = a @ b
        grad(y.sum() + z.sum(), [x, w, a, b])
    conv, product = tape.applications[:2]
    each = 2 * 2 * 5 * 8 * 8 * 3 * 9
    assert application_cost(tape, conv).flops == each
    assert application_cost(tape, product).flops == 2 * 4 * 6 * 7
    costs = pullback_costs(tape)
    pulled = next(p for p in tape.pullbacks if p.of == conv.index)
    assert costs[pulled.index].flops == 2 * each
    assert application_cost(tape, conv).moved == 8 * (x.size + w.size + y.size)


def test_a_function_of_ones_own_has_no_made_up_cost() -> None:
    x = leaf(3)
    with record() as tape:
        Tripled()(x)
    assert application_cost(tape, tape.applications[0]).flops is None


def test_terms_of_a_loss_are_asked_apart() -> None:
    w = leaf(3)
    with record() as tape:
        a, b = (w * w).sum(), (w * 5.0).sum()
        grad(a + b, w)
    first, second = terms(tape, tape.walks[0])
    assert first.norm == pytest.approx(np.linalg.norm(2 * w.data))
    assert second.norm == pytest.approx(5 * np.sqrt(3))


def test_the_term_of_a_penalty_is_second_order() -> None:
    x, w = leaf(4, 3), leaf(3, 1, seed=1)

    def losses():
        score = ops.tanh(x @ w)
        (slope,) = grad(score.sum(), x, create_graph=True)
        return score.mean(), (slope * slope).sum() * 0.5

    with record() as tape:
        score, penalty = losses()
        grad(score + penalty, w)
    expected = [np.linalg.norm(grad(t, w)[0].data) for t in losses()]
    assert [t.norm for t in terms(tape, tape.walks[-1])] == pytest.approx(expected)


class TestChecks:
    def test_a_wrong_vjp_is_wrong_on_its_edge_and_nowhere_else(self) -> None:
        x, w = leaf(3, 4), leaf(2, 4, seed=1)
        with record() as tape:
            y = ops.tanh(Tripled()(ops.linear(x, w)))
            grad((y * y).sum(), [x, w])
        verdicts = tape.check()
        assert not verdicts
        assert [v.name for v in verdicts.failures] == ["Tripled"]
        assert {v.verdict for v in verdicts.edges if v.name != "Tripled"} == {"PASS"}
        assert "scaled by" in str(verdicts)

    def test_one_edge_of_two(self) -> None:
        class Half(Function):
            def forward(self, a, b):
                return a * b

            def backward(self, needs, gy, y, a, b):
                return gy * b, gy * a * 0.5

        with record() as tape:
            grad(Half()(leaf(3), b := leaf(3, seed=1)).sum(), [b])
            a = leaf(3)
            grad(Half()(a, b).sum(), [a, b])
        assert {(v.pullback, v.input) for v in tape.check().failures} == {
            (p.index, 1) for p in tape.pullbacks if tape.application(p.of).name == "Half"
        }

    def test_before_and_without_a_check_there_is_no_verdict(self) -> None:
        with record(keep=0) as tape:
            grad((x := leaf(3)).sum(), x)
        assert tape.document()["checks"] is None
        assert not tape.check()
        assert tape.verdicts.skipped

    def test_convolutions_are_held_against_the_other_path(self) -> None:
        x, w = leaf(2, 16, 8, 8, dtype=np.float32), leaf(16, 16, 3, 3, seed=1, dtype=np.float32)
        with record() as tape:
            grad(ops.conv2d(x, w, padding=1).sum(), [x, w])
        verdicts = tape.check()
        assert verdicts, verdicts
        assert all("plain kernel path" in v.text for v in verdicts.edges if v.name == "Convolve")

    def test_second_order_nodes_are_checked_too(self) -> None:
        x = leaf(3)
        with record() as tape:
            (slope,) = grad(ops.tanh(x).sum(), x, create_graph=True)
            grad((slope * slope).sum(), x)
        assert "TanhGrad" in {v.name for v in tape.check().edges}
        assert tape.verdicts


class TestHealth:
    def test_a_planted_nan_is_found_at_its_first_node_both_ways(self) -> None:
        x = Tensor(np.array([1.0, 0.0, 4.0]), requires_grad=True)
        with np.errstate(all="ignore"), record() as tape:
            y = ops.log(x * -1.0)
            grad((ops.tanh(y) * 2.0).sum(), x)
        assert tape.application(forward_trouble(tape).event).name == "Log"
        trouble = backward_trouble(tape)
        assert trouble.what in ("NaN", "inf")

    def test_finite_forward_and_infinite_backward(self) -> None:
        x = Tensor(np.array([[3.0, 4.0], [0.0, 0.0]]), requires_grad=True)
        with np.errstate(all="ignore"), record() as tape:
            grad((ops.sqrt((x * x).sum(axis=1)) - 1.0).sum(), x)
        assert forward_trouble(tape) is None
        assert tape.application(tape.events[backward_trouble(tape).event].of).name == "Sqrt"

    def test_vanished_and_exploded(self) -> None:
        x = leaf(3)
        for factor, what in ((1e-9, "vanished"), (1e9, "exploded")):
            with record() as tape:
                grad((x * factor).sum(), x)
            trouble = backward_trouble(tape)
            assert trouble.what == what
            assert tape.application(tape.events[trouble.event].of).name == "Multiply"

    def test_a_chain_in_which_no_vjp_is_to_blame(self) -> None:
        rng = np.random.default_rng(0)
        network = nn.Sequential(*[m for _ in range(15) for m in (nn.Linear(6, 6, generator=rng), nn.Sigmoid())])
        with record() as tape:
            grad(network(Tensor(np.ones((2, 6), np.float32))).mean(), network.parameters())
        assert backward_trouble(tape) is None
        assert along_the_way(tape).what == "vanished along the way"

    def test_a_healthy_program(self) -> None:
        x = leaf(3)
        with record() as tape:
            grad((x * x).sum(), x)
        assert [forward_trouble(tape), backward_trouble(tape), along_the_way(tape)] == [None, None, None]
