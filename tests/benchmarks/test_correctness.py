"""Verdicts: a planted fault is found, and no speed is shown for it."""

import numpy as np
import pytest
from planted import Crashes, Partial, Right, Sleeps, Writes, Wrong

from benchmarks import correctness, runner, tables
from benchmarks.correctness import FAILED, MISTRUSTED, PASSED, UNIMPLEMENTED, check, check_gradient
from benchmarks.descriptor import parse, read_shapes
from benchmarks.peers import discover
from benchmarks.results import Results
from benchmarks.sampling import Settings

CONV = parse('conv --dir=FWD_B mb2ic3ih8oc4kh3ph1 n"small"')


def test_verdicts():
    assert check(CONV, Right()).verdict == PASSED
    wrong = check(CONV, Wrong())
    assert wrong.verdict == FAILED
    assert "1 of 512 are wrong, the worst at [1, 0, 0, 0]" in wrong.reason
    assert wrong.repeat == f"python -m benchmarks run --mode correctness --impl wrong '{CONV}'"
    assert check(CONV.directed("BWD_D"), Partial()).verdict == UNIMPLEMENTED
    crash = check(CONV, Crashes())
    assert (crash.verdict, "RuntimeError: out of order" in crash.reason) == (FAILED, True)
    assert "changed its input x" in check(CONV, Writes()).reason


def test_an_error_that_real_numbers_alone_show():
    class Rounded(Right):
        name = "rounded"

        def build(self, problem, arrays):
            run = super().build(problem, arrays)
            return lambda: tuple(np.float32(np.float16(y)) for y in run())

    outcome = check(CONV, Rounded())
    assert outcome.verdict == FAILED
    assert outcome.reason.startswith("normal:")


def test_too_many_zeros_are_not_trusted():
    outcome = check(parse("conv --dir=BWD_W mb1ic1ih1oc1kh3ph1"), Right())
    assert outcome.verdict == MISTRUSTED
    assert "89% of the reference are zeros" in outcome.reason


def test_the_bound_grows_with_the_sums():
    short, long = parse("conv --dir=FWD_B ic4ih8oc4kh1"), parse("conv --dir=FWD_B ic400ih8oc4kh1")
    assert correctness.bound(long, 1) > 20 * correctness.bound(short, 1)
    double = parse("conv --dt=f64 --dir=FWD_B ic4ih8oc4kh1")
    assert correctness.bound(double, 1) < 1e-8 * correctness.bound(short, 1)


def test_the_speed_of_a_wrong_kernel_is_not_shown():
    fast = Wrong()
    slow = Sleeps("slow", 0.002)
    records = runner.run_pass(CONV, [fast, slow], "both", Settings(0.2), 1)
    wrong, right = records
    assert (wrong.verdict, wrong.samples) == (FAILED, [])
    assert right.verdict == PASSED
    assert right.samples
    cells = tables.row(wrong, None)
    assert cells[-1] == "FAILED"
    assert set(cells[3:-1]) == {"-"}
    provenance = {"cpu": "", "threads": 1, "cores": 1, "date": "", "versions": {}}
    assert "| FAILED |" in tables.full_markdown(Results(provenance, records))
    lines = "\n".join(tables.verdict_lines(records))
    assert wrong.repeat in lines
    assert "1 FAILED, 1 PASSED" in lines


def test_ours_is_held_to_whole_numbers_where_its_algorithm_keeps_them():
    ours = OWN[0]
    for text, exact in {
        "conv mb16ic16ih16oc16kh3ph1": False,  # Winograd's tiles
        "deconv mb16ic16ih16oc16kh4sh2ph1": False,
        "conv mb16ic3ih16oc16kh3ph1": True,
        "upconv mb16ic16ih8oc16kh3ph1": True,  # tiles that only add
    }.items():
        problem = parse(text)
        assert ours.is_exact(problem.directed("FWD_B")) == exact
        for direction in problem.directions:
            assert check(problem.directed(direction), ours).verdict == PASSED


def test_what_would_take_a_pass_too_long_is_left_out_of_it_unless_it_is_alone():
    fast, endless = Sleeps("fast", 0.001), Sleeps("endless", 0.002)
    endless.most_flops = 1000
    _, record = runner.run_pass(CONV, [fast, endless], "both", Settings(0.1), 1)
    assert (record.verdict, record.samples) == (UNIMPLEMENTED, [])
    assert "GFLOP takes it too long" in record.reason
    (alone,) = runner.run_pass(CONV, [endless], "both", Settings(0.1), 1)
    assert alone.verdict == PASSED
    assert alone.samples


def test_performance_alone_says_that_nothing_was_checked():
    (record,) = runner.run_pass(CONV, [Sleeps("slow", 0.001)], "performance", Settings(0.1), 1)
    assert record.verdict == runner.UNCHECKED
    assert record.samples


def test_gradients_of_a_right_and_a_wrong_implementation():
    problem = parse("conv mb2ic3ih6oc4kh3ph1")
    assert check_gradient(problem, Right()).verdict == PASSED

    class Flipped(Right):
        name = "flipped"

        def build(self, problem, arrays):
            run = super().build(problem, arrays)
            return lambda: tuple(-y if problem.direction == "BWD_W" else y for y in run())

    outcome = check_gradient(problem, Flipped())
    assert outcome.verdict == FAILED
    assert "--mode gradient --impl flipped" in outcome.repeat


OWN = [i for i in discover() if i.name in ("ours", "im2col")]
PATHS = [i for i in discover() if i.name.startswith("ours:")]
EDGES = [p.directed(d) for p in read_shapes("edge.txt") for d in p.directions]


@pytest.mark.parametrize("implementation", OWN, ids=lambda i: i.name)
def test_ours_and_columns_are_right_at_the_edges(implementation):
    for problem in EDGES:
        outcome = check(problem, implementation)
        assert outcome.verdict in (PASSED, UNIMPLEMENTED) or "padding.only" in str(problem), (problem, outcome)


@pytest.mark.parametrize("op", ["conv", "deconv", "upconv", "resampling", "pool", "bnorm"])
def test_ours_has_every_pass(op):
    for problem in EDGES:
        if problem.op == op:
            assert check(problem, OWN[0]).verdict != UNIMPLEMENTED


@pytest.mark.slow  # every path is compiled, in both precisions
@pytest.mark.parametrize("implementation", PATHS, ids=lambda i: i.name)
def test_every_path_is_right_at_the_edges(implementation):
    for problem in EDGES:
        outcome = check(problem, implementation)
        assert outcome.verdict in (PASSED, UNIMPLEMENTED) or "padding.only" in str(problem), (problem, outcome)


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize("implementation", discover(), ids=lambda i: i.name)
def test_every_peer_is_right_at_the_edges(implementation):
    if implementation.unavailable():
        pytest.skip(implementation.unavailable())
    if implementation.only_by_name:
        pytest.skip("needs a C++ compiler")
    implementation.set_threads(1)
    for problem in EDGES:
        outcome = check(problem, implementation)
        assert outcome.verdict in (PASSED, UNIMPLEMENTED) or "padding.only" in str(problem), (problem, outcome)
