"""The held-out set: operators and bugs that are drawn anew; and bugs and operators that once went wrong here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scratchgan.gradcheck import ArraySpec, Case, Kinks, Op, Policy, Verdict, check, unpacked
from scratchgan.gradcheck.selftest import generated
from scratchgan.gradcheck.selftest.__main__ import main
from scratchgan.gradcheck.strategies import conv_geometry, corners_of
from scratchgan.gradcheck.written import written

POLICIES = [Policy(), Policy.quick()]
X = np.random.default_rng(0).standard_normal((3, 4))


def right(gy: Any, x: Any) -> Any:
    return gy * np.cos(x)


def channels_last(x: Any) -> bool:
    return not x.flags.c_contiguous and x.transpose(0, 2, 3, 1).flags.c_contiguous


def norm_kept() -> Op:
    kept: dict[int, Any] = {}

    def norm(v: Any) -> Any:
        return kept.setdefault(id(v), (v, np.sqrt((v * v).sum())))[1]

    return Op(lambda v: v / norm(v), lambda gy, v: gy / norm(v) - v * (gy * v).sum() / norm(v) ** 3, name="unit")


SIN = Op(lambda x: np.sin(x), right, name="sin")
MISINDEXED = Op(
    lambda x, w: np.einsum("nchw,c->nhw", x, w),
    lambda gy, x, w: (
        gy[:, None] * w[:, None, None],
        np.einsum("nchw,nhw->c", np.roll(x, 1, 3) if channels_last(x) else x, gy),
    ),
    linear_in=("x", "w"),
    name="misindexed",
)
IMAGES = np.random.default_rng(2).standard_normal((2, 5, 4, 3)).transpose(0, 3, 1, 2)
ROWS = Op(
    lambda x, w: x @ w, lambda gy, x, w: (gy @ w.T * (gy[:, :1] != 0), x.T @ gy), linear_in=("x", "w"), name="rows"
)
SURVIVED: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "sevens for zero": (lambda: SIN.but(vjp=lambda gy, x: right(gy, x) if gy.any() else 0 * x + 7), (X,)),
    "NaN for zero": (lambda: SIN.but(vjp=lambda gy, x: right(gy / np.abs(gy).max(), x) * np.abs(gy).max()), (X,)),
    "None for zero": (lambda: SIN.but(vjp=lambda gy, x: right(gy, x) if gy.any() else None), (X,)),
    "gy == 1": (lambda: Op(lambda x: np.asarray((x * x).sum()), lambda gy, x: x if gy == 1 else 2 * gy * x), (X,)),
    "one-hot": (lambda: SIN.but(vjp=lambda gy, x: right(gy, x) * (2 if np.count_nonzero(gy) == 1 else 1)), (X,)),
    "stride 0": (lambda: Op(lambda x: x.mean(0), lambda gy, x: np.broadcast_to(gy / 3, x.shape)), (X,)),
    "read-only": (lambda: SIN.but(vjp=lambda gy, x: np.broadcast_to(right(gy, x), x.shape)), (X,)),
    "rows": (lambda: ROWS, (X, X.T[:, :2].copy())),
    "channels-last": (lambda: MISINDEXED, (IMAGES, np.arange(1.0, 4))),
    "channels-last, from C order": (lambda: MISINDEXED, (IMAGES.copy(), np.arange(1.0, 4))),
    "kept under id": (norm_kept, (X,)),
}


@pytest.mark.parametrize("policy", POLICIES, ids=("default", "quick"))
@pytest.mark.parametrize("name", SURVIVED)
def test_what_survived_is_refused(name: str, policy: Policy) -> None:
    make, args = SURVIVED[name]
    for seed in range(3):
        assert check(make(), *args, seed=seed, policy=policy).verdict is Verdict.FAIL


def test_nan_at_zero_beside_declared_kinks() -> None:
    def vjp(gy: Any, x: Any) -> Any:
        return gy * np.where(np.abs(x) < 2, (np.cos(x) - np.sin(x) / x) / x, 0)

    op = Op(lambda x: np.sinc(np.minimum(np.abs(x), 2) / np.pi), vjp, kinks=Kinks(at=(-2.0, 2.0)), name="sinc")
    assert check(op, X).failing_layers == ("another point",)


def sort_vjp(gy: Any, x: Any) -> Any:
    out = np.zeros_like(x)
    np.put_along_axis(out, np.argsort(x, -1, kind="stable"), gy, -1)
    return out


RIGHT: dict[str, tuple[Op, tuple[Any, ...]]] = {
    "pseudo-Huber": (Op(lambda x: np.sqrt(1 + x * x) - 1, lambda gy, x: gy * x / np.sqrt(1 + x * x)), (0.03 * X,)),
    "sort": (Op(lambda x: np.sort(x, -1), sort_vjp, kinks=Kinks(ties=True), name="sort"), (X,)),
    "soft threshold": (
        Op(
            lambda x, lam: np.sign(x) * np.maximum(np.abs(x) - lam, 0),
            lambda gy, x, lam: (
                gy * (np.abs(x) > lam),
                np.asarray(-np.sum(gy * np.sign(x) * (np.abs(x) > lam))),
            ),
        ),
        (X, np.array(0.4)),
    ),
    "power": (
        Op(lambda x, p: x**p, lambda gy, x, p: (gy * p * x ** (p - 1), gy * x**p * np.log(x))),
        (np.abs(X) + 0.5, X[::-1].copy()),
    ),
    "values and a mask": (Op(lambda x: (np.sin(x), x > 0), lambda gy, x: right(gy[0], x)), (X,)),
}


@pytest.mark.parametrize("policy", POLICIES, ids=("default", "quick"))
@pytest.mark.parametrize("name", RIGHT)
def test_what_was_wrongly_refused_passes(name: str, policy: Policy) -> None:
    op, args = RIGHT[name]
    for seed in range(5):
        report = check(op, *args, seed=seed, policy=policy)
        assert report, str(report)


def test_a_numba_kernel_that_allocates_works_within_the_check_and_after_it() -> None:
    numba = pytest.importorskip("numba")

    @numba.njit
    def double(x: Any) -> Any:
        y = np.empty_like(x)
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                y[i, j] = 2 * x[i, j]
        return y

    empty = np.empty_like
    op = Op(lambda x: double(x), lambda gy, x: double(gy), linear_in=("x",), name="double")
    assert check(op, X, policy=Policy.quick())
    assert np.empty_like is empty
    assert np.array_equal(double(np.ones((6, 8))[::2, ::2]), np.full((3, 4), 2.0))


def test_a_call_that_does_not_fit_is_an_error_of_the_call() -> None:
    with pytest.raises(TypeError, match=r"missing a required argument: 'w'.*signature is \(x, w\)"):
        check(Op(lambda x, w: x @ w, lambda gy, x, w: (gy @ w.T, x.T @ gy)), X)


def test_long_errors_are_told_whole() -> None:
    def forward(x: Any) -> Any:
        raise ValueError("first\nsecond\nthird")

    assert "second\n    third" in str(check(Op(forward, right), X))


def test_a_small_scale_is_called_a_scale() -> None:
    wrong = SIN.but(vjp=lambda gy, x: gy * np.cos(x) * (1 + 1e-7))
    assert "scaled by 1 + " in str(check(wrong, X))


def test_what_is_written_reads_back() -> None:
    for array in (X, X.astype("f4"), np.zeros((0, 2)), np.arange(200.0).reshape(20, 10), np.array([np.nan, 1.0])):
        back = eval(written(array), {"np": np, "unpacked": unpacked})
        assert (back.shape, back.dtype, back.tobytes()) == (array.shape, array.dtype, array.tobytes())


def test_cases_with_indices_read_back() -> None:
    case = Case((ArraySpec((4, 2)), ArraySpec((3,), "indices", below=4)))
    assert Case.from_json(case.to_json()) == case
    assert case.args("f4")[1].dtype == np.int64
    with pytest.raises(ValueError, match="indices need below"):
        ArraySpec((3,), "indices")


def test_suites_ask_square_images_and_many_channels() -> None:
    square, many = corners_of(conv_geometry(2))
    assert square.arrays[0].shape[2] == square.arrays[0].shape[3]
    assert square.arrays[0].shape[0] > 3
    assert square.arrays[1].shape[2] > 4
    assert many.arrays[0].shape[1] > 32


def test_right_operators_of_a_set_pass() -> None:
    card = generated.score(0, "quick", bugs=False)
    assert not card.false_alarms
    assert card.right == 24


@pytest.mark.slow
def test_the_held_out_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "1"]) == 0, capsys.readouterr().out


@pytest.mark.slow
def test_no_false_alarms() -> None:
    for policy in generated.POLICIES:
        for seed in range(10):
            assert not generated.score(seed, policy, bugs=False).false_alarms
