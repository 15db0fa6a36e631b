"""`Policy.quick()`: the screen acquits right operators in six calls, and wrong ones go on to the layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sample_operators import conv, matmul, multiply, relu, softmax_op, tanh
from test_adversary import Now
from test_unlisted_bugs import RIGHT, WRONG

from scratchgan.gradcheck import Kinks, Op, Policy, Verdict, check
from scratchgan.gradcheck.selftest.targets import EngineTarget, all_targets

QUICK = Policy.quick()
rng = np.random.default_rng(0)
X = rng.standard_normal((3, 5))
GEOMETRY = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}
SAMPLES: dict[str, tuple[Op, tuple[Any, ...], dict[str, Any]]] = {
    "conv": (conv, (rng.standard_normal((2, 3, 5, 6)), rng.standard_normal((4, 3, 2, 3))), GEOMETRY),
    "matmul": (matmul, (X, rng.standard_normal((5, 2))), {}),
    "multiply": (multiply, (X, rng.standard_normal((1, 5))), {}),
    "tanh": (tanh, (X,), {}),
    "softmax": (softmax_op, (X,), {}),
    "relu": (relu, (X,), {}),
}


class Counted:
    """A callable, and how often it was called."""

    def __init__(self, function: Any) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *args: Any, **params: Any) -> Any:
        self.calls += 1
        return self.function(*args, **params)


def counted(op: Op) -> tuple[Op, Counted, Counted]:
    forward, vjp = Counted(op.forward), Counted(op.vjp)
    return op.but(forward=forward, vjp=vjp, arguments=op.arguments), forward, vjp


@pytest.mark.parametrize("name", SAMPLES)
def test_two_forwards_and_four_vjps_acquit(name: str) -> None:
    op, args, params = SAMPLES[name]
    op, forward, vjp = counted(op)
    report = check(op, *args, params=params, policy=QUICK)
    assert report, str(report)
    assert {f.layer for f in report.findings} == {"screen"}
    at_a_kink = 1 if op.kinks else 0
    assert (forward.calls, vjp.calls) == (2 + 3 * at_a_kink, 4 + at_a_kink)


@pytest.mark.parametrize("name", RIGHT)
def test_right_operators_pass(name: str) -> None:
    op, args, params, order = RIGHT[name]
    assert check(op, *args, params=params, order=order, policy=QUICK)


#: What the full check sees and the screen does not ask: docs/gradcheck.md says so.
UNASKED = {"a Fortran-ordered cotangent", "a cotangent that does not start on 16 bytes"}


@pytest.mark.parametrize("name", [name for name in WRONG if name not in UNASKED])
def test_wrong_gradients_are_refused(name: str) -> None:
    of, vjp = WRONG[name]
    op, args, params, order = RIGHT[of]
    report = check(
        op.but(vjp=vjp, derivative=vjp and None),
        *args,
        params=params,
        order=order if isinstance(vjp, Op) else 1,
        policy=QUICK,
    )
    assert report.verdict is Verdict.FAIL, str(report)
    assert "screen" not in report.failing_layers


def test_what_the_screen_does_not_acquit_gets_the_full_report() -> None:
    wrong = matmul.but(vjp=lambda gy, x, w: (gy @ w.T, x.T @ gy * 1.001))
    args = SAMPLES["matmul"][1]
    quick, full = check(wrong, *args, policy=QUICK), check(wrong, *args)
    assert str(quick) == str(full)


def test_what_the_screen_wrote_over_is_put_back() -> None:
    """The layers are asked at the arguments that were given, and the caller keeps its own."""

    def vjp(gy: Any, x: Any) -> Any:
        g = gy * np.cos(x)
        if x.flags.writeable:
            x += 1
        return g

    x = X.copy()
    report = check(Op(lambda x: np.sin(x), vjp, name="sin"), x, policy=QUICK)
    assert "x was changed in place" in str(report)
    assert np.array_equal(x, X)


def test_what_fails_once_and_never_again_is_refused() -> None:
    once = Now(lambda call: call == 1)
    report = check(Op(lambda x: np.sin(x), once, name="sin"), X, policy=QUICK)
    assert report.verdict is Verdict.FAIL
    assert "failed at first and now it holds" in str(report)


def test_an_argument_does_not_hide_behind_a_larger_one() -> None:
    op = Op(lambda a, b: np.sin(a) + np.sin(b), lambda gy, a, b: (gy * np.cos(a), gy * 1.01 * np.cos(b)), name="sum")
    assert check(op, 1e3 * X, 1e-6 * X, policy=QUICK).verdict is Verdict.FAIL


def test_a_gradient_of_zero_is_not_acquitted_by_default() -> None:
    op = Op(lambda x: 1e12 + np.sin(x), lambda gy, x: 0 * gy, name="a slope that is rounded away")
    assert check(op, X, policy=QUICK).verdict is not Verdict.PASS


@pytest.mark.parametrize("rule", ["left", "middle", "right"])
def test_conventions_at_kinks(rule: Any) -> None:
    at_zero = {"left": 0.0, "middle": 0.5, "right": 1.0}[rule]
    op = relu.but(
        vjp=lambda gy, x: gy * np.where(x == 0, at_zero, x > 0), kinks=Kinks(at=(0.0,), rule=rule), name="ReLU"
    )
    report = check(op, X, policy=QUICK)
    assert report
    assert {f.layer for f in report.findings} == {"screen"}
    other = op.but(vjp=lambda gy, x: gy * np.where(x == 0, 0.25, x > 0))
    assert check(other, X, policy=QUICK).failing_layers == ("kinks",)


def test_both_dtypes_of_a_case() -> None:
    """float32 has its own kernels: there the contract, the exact adjoint and the precision are asked as ever."""
    single = check(matmul, *(a.astype("f4") for a in SAMPLES["matmul"][1]), policy=QUICK)
    assert {"screen", "contract", "exact adjoint", "precision"} <= {f.layer for f in single.findings}


def test_most_of_our_own_operators_are_acquitted() -> None:
    seen = []
    for target in all_targets().values():
        if isinstance(target, EngineTarget):
            continue
        for case in target.cases(0):
            report = check(target.op, *case.args("f8"), params=case.params, order=target.order, policy=QUICK)
            assert report.verdict is not Verdict.FAIL, str(report)
            seen.append({f.layer for f in report.findings} <= {"screen", "double"})
    assert sum(seen) > 0.95 * len(seen)
