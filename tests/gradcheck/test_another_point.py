"""The vjp at arguments that nobody gave: what it keeps, and what it does at zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_adversary import Cached

from scratchgan.gradcheck import Op, Verdict, check

X = np.random.default_rng(0).standard_normal((6, 2))


def nan_at_zero(gy: Any, x: Any) -> Any:
    """Of sinc: right, but 0 / 0 at zero."""
    return gy * (np.cos(np.pi * x) * np.pi * x - np.sin(np.pi * x)) / (np.pi * x * x)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_a_gradient_that_divides_by_the_argument(scale: float) -> None:
    op = Op(lambda x: np.sinc(x / scale), lambda gy, x: nan_at_zero(gy, x / scale) / scale, name="sinc")
    report = check(op, scale * X)
    assert report.failing_layers == ("another point",)
    assert "where the checker has set elements of x to zero" in str(report)
    assert "got nan, expected 0" in str(report)


@pytest.mark.parametrize(
    ("forward", "vjp"),
    [
        (lambda x: np.sqrt(x * x), lambda gy, x: gy * x / np.sqrt(x * x)),  # a kink at zero, and NaN there
        (lambda x: np.maximum(x, 0), lambda gy, x: gy * (x > 0)),
        (lambda x: np.cbrt(x), lambda gy, x: gy / 3 / np.cbrt(x) ** 2),  # a pole
        (lambda x: np.round(x), lambda gy, x: 0 * gy),
        (lambda x: np.log(np.abs(x)), lambda gy, x: gy / x),
        (lambda x: x * np.abs(x), lambda gy, x: 2 * gy * np.abs(x)),
        (lambda x: x.max(1), lambda gy, x: gy[:, None] * (x == x.max(1, keepdims=True))),
    ],
)
def test_what_has_no_slope_at_zero_is_not_accused(forward: Any, vjp: Any) -> None:
    assert check(Op(forward, vjp, name="f"), X)


def test_a_forward_that_minds_the_order_of_its_argument() -> None:
    def interpolate(knots: Any) -> Any:
        if np.any(np.diff(knots) <= 0):
            raise ValueError("the knots must increase")
        return np.log(np.diff(knots))

    def vjp(gy: Any, knots: Any) -> Any:
        g = gy / np.diff(knots)
        return np.concatenate([[0.0], g]) - np.concatenate([g, [0.0]])

    knots = np.cumsum(np.abs(X).ravel() + 0.1)
    assert check(Op(interpolate, vjp, name="log diff"), knots)


def test_a_vjp_that_raises_where_the_forward_does_not() -> None:
    def vjp(gy: Any, x: Any) -> Any:
        if x[0, 0] != X[0, 0]:
            raise RuntimeError("another batch")
        return gy * np.cos(x)

    report = check(Op(lambda x: np.sin(x), vjp, name="sin"), X)
    assert report.verdict is Verdict.FAIL
    assert "another batch" in str(report)


def test_what_is_kept_from_the_first_call_is_named() -> None:
    kept = Cached(by_shape=True)
    assert "is something kept between calls?" in str(check(Op(kept.forward, kept.vjp, name="cached"), X))


def test_arguments_of_two_dtypes() -> None:
    op = Op(
        lambda x, y: x * y,
        lambda gy, x, y: ((gy * y).astype(x.dtype), (gy * x).astype(y.dtype)),
        linear_in=("x", "y"),
        name="multiply",
    )
    assert check(op, X, X.astype("f4"))
    assert check(op.but(linear_in=()), X.astype("f4"), X)
