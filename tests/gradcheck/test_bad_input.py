"""Operators and inputs that misbehave: a verdict with a reason, never a crash of the checker, never a PASS."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from sample_operators import matmul, multiply, tanh

from scratchgan.gradcheck import Op, Policy, Verdict, check, check_double, check_fd, check_taylor

X = np.random.default_rng(0).standard_normal((3, 4))
W = np.random.default_rng(1).standard_normal((4, 2))
counter = itertools.count()
buffer = np.zeros((3, 4))


def changes_its_argument(gy: Any, x: Any) -> Any:
    x *= 2
    return gy * (1 - np.tanh(x / 2) ** 2)


def reuses_its_buffer(gy: Any, x: Any) -> Any:
    np.multiply(gy, 1 - np.tanh(x) ** 2, out=buffer[: x.shape[0], : x.shape[1]])
    return buffer


def reads_uninitialised_memory(gy: Any, x: Any) -> Any:
    out = np.empty_like(x)
    out[:-1] = (gy * (1 - np.tanh(x) ** 2))[:-1]
    return out


def raises(*_: Any) -> Any:
    raise ZeroDivisionError("inside the vjp")


def leaves(*_: Any) -> Any:
    raise SystemExit(3)


def changes_its_argument_forward(x: Any) -> Any:
    y = np.tanh(x)
    x *= 1.5
    return y


def takes_no_float32(x: Any) -> Any:
    if x.dtype == np.float32:
        raise TypeError("no float32 here")
    return np.tanh(x)


def resizes_its_argument(gy: Any, x: Any) -> Any:
    gradient = gy * (1 - np.tanh(x) ** 2)
    x.resize((x.size,), refcheck=False)
    return gradient


def yields(gy: Any, x: Any) -> Any:
    yield gy * (1 - np.tanh(x) ** 2)


WRONG = {
    "wrong arity": (matmul.but(vjp=lambda gy, x, w: (gy @ w.T,) * 3), (X, W), "3 gradients for 2 arguments"),
    "too few": (matmul.but(vjp=lambda gy, x, w: gy @ w.T), (X, W), "1 gradient for 2 arguments"),
    "None": (matmul.but(vjp=lambda gy, x, w: (gy @ w.T, None)), (X, W), "None for w"),
    "a list of lists": (tanh.but(vjp=lambda gy, x: gy.tolist()), (X,), "3 gradients for 1 argument"),
    "a string": (tanh.but(vjp=lambda gy, x: "gradient"), (X,), "returned str for x"),
    "a generator": (tanh.but(vjp=yields), (X,), "returned generator for x"),
    "a ragged list": (tanh.but(vjp=lambda gy, x: [[[1.0], [2.0, 3.0]]]), (X,), "returned list for x"),
    "only None": (tanh.but(vjp=lambda gy, x: None), (X,), "None for x"),
    "a 0-d array": (
        Op(lambda x: np.tanh(x), lambda gy, x: np.asarray(gy.sum())),
        (X[0].copy(),),
        "has shape (), but x has shape (4,)",
    ),
    "a masked array": (
        tanh.but(vjp=lambda gy, x: np.ma.masked_array(gy * (1 - np.tanh(x) ** 2), mask=x > 0)),
        (X,),
        "returned MaskedArray for x",
    ),
    "a matrix": (tanh.but(forward=lambda x: np.tanh(x).view(np.matrix)), (X,), "forward returned matrix"),
    "forward gives None": (tanh.but(forward=lambda x: None), (X,), "forward returned NoneType"),
    "forward gives nothing": (tanh.but(forward=lambda x: ()), (X,), "empty tuple"),
    "alias of gy": (Op(lambda x: x + 1, lambda gy, x: gy), (X,), "shares memory with gy"),
    "alias of the input": (Op(lambda x: x, lambda gy, x: gy.copy()), (X,), "output shares memory with x"),
    "view of gy": (Op(lambda x: x[::-1] * 1, lambda gy, x: gy[::-1]), (X,), "shares memory with gy"),
    "non-deterministic": (
        tanh.but(vjp=lambda gy, x: gy * (1 - np.tanh(x) ** 2) * (1 + 1e-12 * next(counter))),
        (X,),
        "not deterministic",
    ),
    "exception in the vjp": (tanh.but(vjp=raises), (X,), "vjp raised ZeroDivisionError: inside the vjp"),
    "exit in the vjp": (tanh.but(vjp=leaves), (X,), "vjp raised SystemExit: 3"),
    "exception for float32 alone": (tanh.but(forward=takes_no_float32), (X.astype("f4"),), "no float32 here"),
    "exception in the forward": (tanh.but(forward=raises), (X,), "forward raised ZeroDivisionError"),
    "changes x": (tanh.but(vjp=changes_its_argument), (X,), "x was changed in place"),
    "changes x in the forward": (tanh.but(forward=changes_its_argument_forward), (X,), "x was changed in place"),
    "resizes x": (tanh.but(vjp=resizes_its_argument), (X,), "from float64[3, 4] to float64[12]"),
    "gives x back": (Op(lambda x: x * x / 2, lambda gy, x: x), (X,), "shares memory with x"),
    "non-deterministic forward": (
        tanh.but(forward=lambda x: np.tanh(x) * (1 + 1e-12 * next(counter))),
        (X,),
        "the forward is not deterministic",
    ),
    "reuses a buffer": (tanh.but(vjp=reuses_its_buffer), (X,), "overwritten by a later call"),
    "uninitialised memory": (tanh.but(vjp=reads_uninitialised_memory), (X,), ""),
    "wrong shape": (tanh.but(vjp=lambda gy, x: (gy * (1 - np.tanh(x) ** 2)).T), (X,), "has shape (4, 3)"),
    "integer gradient": (tanh.but(vjp=lambda gy, x: np.ones(x.shape, int)), (X,), "not floating point"),
    "complex gradient": (tanh.but(vjp=lambda gy, x: gy * 1j), (X,), "not floating point"),
    "object array": (tanh.but(vjp=lambda gy, x: gy.astype(object)), (X,), "not floating point"),
    "gradient is NaN": (
        Op(
            lambda x: np.where(x > 0, np.sqrt(np.abs(x)), 0),
            lambda gy, x: np.where(x > 0, 1.0, 0.0) * gy / (2 * np.sqrt(x)),
        ),
        (X,),
        "gradient is nan at x",
    ),
    "sum over a broadcast axis missing": (
        multiply.but(vjp=lambda gy, a, b: (gy * b, gy * a)),
        (X, X[:1].copy()),
        "the gradient of b has shape (3, 4), but b has shape (1, 4)",
    ),
    "float64 made float32": (
        tanh.but(vjp=lambda gy, x: (gy * (1 - np.tanh(x) ** 2)).astype("f4").astype("f8")),
        (X,),
        "silent downcast",
    ),
    "float32 forward inside": (
        tanh.but(forward=lambda x: np.tanh(x.astype("f4")).astype(x.dtype)),
        (X,),
        "loses precision",
    ),
    "upcast": (tanh.but(forward=lambda x: np.tanh(x).astype("f8")), (X.astype("f4"),), "float64 output"),
    "not linear in gy": (
        tanh.but(vjp=lambda gy, x: np.clip(gy, -1, 1) * (1 - np.tanh(x) ** 2)),
        (X,),
        "not linear in its cotangent",
    ),
    "declared linear, and is not": (tanh.but(linear_in=("x",)), (X,), "declared linear_in x"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_misbehaving_operator_fails_with_its_reason(name: str) -> None:
    op, args, reason = WRONG[name]
    report = check(op, *args)
    assert report.verdict is Verdict.FAIL, str(report)
    assert reason in str(report)
    assert "reproduce: check(" in str(report)


UNDECIDED = {
    "integers": (tanh, (np.arange(6),), "no floating-point argument"),
    "no arguments": (tanh, (), "no floating-point argument"),
    "None": (tanh, (None,), "no floating-point argument"),
    "complex": (tanh, (X * 1j,), "no floating-point argument"),
    "rows of different lengths": (tanh, ([[1.0], [2.0, 3.0]],), "no floating-point argument"),
    "masked": (tanh, (np.ma.masked_array(X, mask=X > 0),), "x is a MaskedArray"),
    "empty arguments": (matmul, (np.zeros((3, 0)), np.zeros((0, 2))), "every argument is empty"),
    "NaN in the primal": (tanh, (np.where(X > 1, np.nan, X),), "is nan"),
    "infinity in the primal": (tanh, (np.full((2, 2), np.inf),), "is inf"),
    "NaN out": (Op(np.sqrt, lambda gy, x: gy / 2 / np.sqrt(x), name="sqrt"), (X,), "forward gives nan"),
    "empty": (tanh, (np.zeros((0, 3)),), "empty"),
    "empty batch": (matmul, (np.zeros((0, 4)), W), "empty"),
    "integer output": (
        Op(lambda x: np.argmax(x, 0), lambda gy, x: np.zeros_like(x), name="argmax"),
        (X,),
        "nothing to differentiate",
    ),
    "a kink": (
        Op(lambda x: np.maximum(x, 0), lambda gy, x: gy * (x > 0), name="relu"),
        (np.array([[0.0, 1.0], [2.0, -3.0]]),),
        "lie on a kink",
    ),
}


@pytest.mark.parametrize("name", UNDECIDED)
def test_what_cannot_be_decided_says_why_and_does_not_pass(name: str) -> None:
    op, args, reason = UNDECIDED[name]
    report = check(op, *args)
    assert report.verdict is Verdict.INCONCLUSIVE, str(report)
    assert reason in report.reason
    assert not report


def test_an_empty_output_must_have_a_zero_gradient() -> None:
    wrong = matmul.but(vjp=lambda gy, x, w: (gy @ w.T, np.ones_like(w)))
    report = check(wrong, np.zeros((0, 4)), W)
    assert report.verdict is Verdict.FAIL
    assert "all zero" in report.reason


def test_noise_is_inconclusive_and_never_a_pass() -> None:
    """f is flat to 14 digits: its derivative drowns in rounding, and a wrong one with it."""
    flat = Op(lambda x: 1e12 + x, lambda gy, x: gy * 1.0, name="flat", may_alias=True)
    assert check_fd(flat, X * 1e-6).verdict is Verdict.INCONCLUSIVE
    wrong = flat.but(vjp=lambda gy, x: gy * 3.0)
    assert check_fd(wrong, X * 1e-6).verdict is not Verdict.PASS


def test_second_order_without_a_derivative_is_inconclusive() -> None:
    report = check_double(tanh, X)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "pass an Op as `vjp`" in report.reason


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize <= 8, reason="long double is float64 here")
def test_what_is_wider_than_float64_is_inconclusive() -> None:
    report = check(tanh, X.astype(np.longdouble))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "nothing wider than float64" in report.reason


def test_arguments_of_the_other_byte_order_are_taken_by_value() -> None:
    assert check(tanh, X.astype(X.dtype.newbyteorder()))


def test_what_an_operator_did_to_its_argument_is_undone() -> None:
    x = X.copy()
    for op in (tanh.but(vjp=resizes_its_argument), tanh.but(forward=changes_its_argument_forward)):
        assert not check(op, x)
        np.testing.assert_array_equal(x, X)


def test_mistakes_in_the_call_raise() -> None:
    with pytest.raises(TypeError, match="must be an Op"):
        check(np.tanh, X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no argument named 'weights'"):
        check(matmul.but(linear_in=("weights",)), X, W)
    with pytest.raises(ValueError, match="orders begin at 1"):
        check(tanh, X, order=0)
    with pytest.raises(ValueError, match="unknown layers"):
        Policy(layers=("differences", "prayer"))
    with pytest.raises(TypeError, match="unknown option 'steps'"):
        check_fd(tanh, X, steps=3)
    with pytest.raises(TypeError, match="vjp must be callable"):
        Op(np.tanh, None)  # type: ignore[arg-type]


def test_the_taylor_slope_tells_right_from_wrong() -> None:
    assert check_taylor(tanh, X)
    assert check_taylor(matmul, X, W)  # affine: the remainder is rounding
    wrong = tanh.but(vjp=lambda gy, x: gy * (1 - np.tanh(x)))
    report = check_taylor(wrong, X)
    assert report.verdict is Verdict.FAIL
    assert "h^1.0" in report.reason
