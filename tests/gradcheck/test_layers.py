"""Right operators pass and wrong ones are refused, by the layer meant for them, with a message that leads there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sample_operators import Array, conv, conv_vjp, matmul, multiply, relu, softmax_op, tanh

from scratchgan.gradcheck import (
    ArraySpec,
    Backend,
    Case,
    Kinks,
    Op,
    Verdict,
    arrays,
    broadcast_shapes,
    check,
    check_adjoint,
    check_backends,
    check_complex_step,
    check_contract,
    check_double,
    check_fd,
    check_oracle,
    conv_geometry,
    conv_transpose_geometry,
    generic_mutants,
    pool_geometry,
    score,
    suite,
    upsample_geometry,
)
from scratchgan.gradcheck.patterns import describe_pattern
from scratchgan.gradcheck.suites import draw

rng = np.random.default_rng(0)
X, W = rng.standard_normal((3, 4)), rng.standard_normal((4, 2))


# -- grid sampling: an operator that is in no catalogue; linear in the image, not in the grid -------------------


def corners(x: Array, grid: Array) -> Any:
    """x (H, W), grid (P, 2) of positions in pixels -> the four neighbours of each position and their weights."""
    low = np.floor(grid).astype(int)
    t = grid - low
    for di in (0, 1):
        for dj in (0, 1):
            i, j = low[:, 0] + di, low[:, 1] + dj
            inside = (i >= 0) & (i < x.shape[0]) & (j >= 0) & (j < x.shape[1])
            wi = t[:, 0] if di else 1 - t[:, 0]
            wj = t[:, 1] if dj else 1 - t[:, 1]
            yield i.clip(0, x.shape[0] - 1), j.clip(0, x.shape[1] - 1), inside, wi, wj, 2 * di - 1, 2 * dj - 1


def sample(x: Array, grid: Array) -> Array:
    return np.sum([inside * wi * wj * x[i, j] for i, j, inside, wi, wj, _, _ in corners(x, grid)], axis=0)


def sample_vjp(bug: str = "") -> Callable[..., Any]:
    def vjp(gy: Array, x: Array, grid: Array) -> tuple[Array, Array]:
        gx, ggrid = np.zeros_like(x), np.zeros_like(grid)
        for i, j, inside, wi, wj, si, sj in corners(x, grid):
            share = gy * wi * wj * (1 if bug == "border" else inside)
            if bug == "overwrites":
                gx[i, j] = share
            else:
                np.add.at(gx, (i, j), share)
            value = gy * inside * x[i, j]
            a, b = (1, 0) if bug == "axes swapped" else (0, 1)
            ggrid[:, a] += value * si * (wi if bug == "wrong weight" else wj)
            ggrid[:, b] += value * sj * wi * (0.5 if bug == "half" else 1)
        return gx, ggrid

    return vjp


grid_sample = Op(sample, sample_vjp(), linear_in=("x",), name="grid_sample")
IMAGE, GRID = rng.standard_normal((4, 5)), rng.uniform(-0.4, 4.4, (7, 2))


def test_grid_sample_passes_and_its_bugs_do_not() -> None:
    assert check(grid_sample, IMAGE, GRID), str(check(grid_sample, IMAGE, GRID))
    meant = {"border": "exact adjoint", "overwrites": "exact adjoint"}
    for bug in ("border", "overwrites", "axes swapped", "wrong weight", "half"):
        report = check(grid_sample.but(vjp=sample_vjp(bug)), IMAGE, GRID)
        assert report.verdict is Verdict.FAIL, bug
        assert set(report.failing_layers) & {meant.get(bug, "differences"), "random adjoint"}, str(report)


# -- what the layers see ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [tanh, softmax_op, relu], ids=lambda op: op.name)
@pytest.mark.parametrize("seed", range(5))
def test_smooth_operators_pass(op: Op, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((3, 4)) * 10.0 ** (seed - 3)
    for dtype in (np.float32, np.float64):
        report = check(op, x.astype(dtype), seed=seed)
        assert report.verdict is Verdict.PASS, str(report)
        saturated = check(op, x.astype(dtype) * 100, seed=seed)  # most of the derivative is below rounding
        assert saturated.verdict is not Verdict.FAIL, str(saturated)


def test_the_suites_of_right_operators_pass() -> None:
    for op, strategy in (
        (conv, conv_geometry(2, groups=True)),
        (multiply, broadcast_shapes(2)),
        (tanh, arrays(sides=(1, 4))),
        (softmax_op, arrays(ndim=(1, 3))),
    ):
        suite(op, strategy, max_examples=25)()


@pytest.mark.parametrize(("op", "argument"), [(conv, 0), (conv, 1), (multiply, 1), (tanh, 0)])
def test_every_generic_mutant_is_killed(op: Op, argument: int) -> None:
    strategy = {"conv": conv_geometry(2, groups=True), "multiply": broadcast_shapes(2), "tanh": arrays()}[op.name]
    card = score(suite(op, strategy), generic_mutants(op, argument))
    assert card.kill_rate == 1.0, str(card)
    assert not card.false_alarms


def test_a_test_of_ones_own_can_be_scored() -> None:
    def weak(op: Op) -> None:
        gradient = op.vjp(np.ones((3, 4)), X)
        np.testing.assert_allclose(np.sum(gradient), np.sum(1 - np.tanh(X) ** 2), rtol=1e-3)

    card = score(weak, generic_mutants(tanh))
    assert "shift by one" in card.survivors
    assert "sign" not in card.survivors
    assert 0 < card.kill_rate < 1
    assert '"kill_rate"' in card.to_json()


def test_a_bug_shared_by_forward_and_vjp_is_seen_by_the_oracle_alone() -> None:
    shared = matmul.but(forward=lambda x, w: 2 * (x @ w), vjp=lambda gy, x, w: (2 * gy @ w.T, 2 * x.T @ gy))
    assert check_adjoint(shared, X, W)
    assert check_oracle(shared, X, W).verdict is Verdict.FAIL
    assert check(shared, X, W).failing_layers == ("oracle",)


def test_a_forward_mode_derivative_is_held_against_the_vjp() -> None:
    right = tanh.but(jvp=lambda v, x: v[0] * (1 - np.tanh(x) ** 2))
    assert check_adjoint(right, X)
    wrong = tanh.but(jvp=lambda v, x: v[0] * (1 + np.tanh(x) ** 2))
    report = check_adjoint(wrong, X)
    assert "jvp and vjp are not each other's transpose" in str(report)
    odd = tanh.but(jvp=lambda v, x: v[0][:1])
    assert "jvp returned shapes" in str(check_adjoint(odd, X))


def test_second_order_from_an_op_as_vjp() -> None:
    def second(ggx: Array, gy: Array, x: Array) -> tuple[Array, Array]:
        t = np.tanh(x)
        return ggx * (1 - t**2), ggx * gy * -2 * t * (1 - t**2)

    derivative = Op(lambda gy, x: gy * (1 - np.tanh(x) ** 2), second, linear_in=("gy",), name="tanh.vjp")
    assert check_double(tanh.but(vjp=derivative), X)
    broken = derivative.but(vjp=lambda ggx, gy, x: (np.zeros_like(gy), second(ggx, gy, x)[1]))
    report = check_double(tanh.but(vjp=broken), X)
    assert report.verdict is Verdict.FAIL
    assert "order=2" in str(report)


def test_the_vjp_to_differentiate_must_be_the_vjp() -> None:
    derivative = Op(lambda gy, x: gy * 1.0, lambda ggx, gy, x: (ggx * 1.0, np.zeros_like(x)), linear_in=("gy",))
    report = check(tanh.but(derivative=lambda outputs: derivative), X, order=2)
    assert "double" in report.failing_layers


def test_kinks_follow_their_convention() -> None:
    assert check_fd(relu, X)
    right = replace(relu, vjp=lambda gy, x: gy * (x >= 0))
    assert "convention 'left'" in str(check_fd(right, X))
    assert check_fd(replace(right, kinks=Kinks(at=(0.0,), rule="right")), X)
    assert check_fd(replace(right, kinks=Kinks(at=(0.0,), rule="between")), X)
    assert "convention" in str(check_fd(replace(right, kinks=Kinks(at=(0.0,), rule="middle")), X))


def test_an_operator_without_float64_is_checked_in_float32() -> None:
    def forward(x: Array) -> Array:
        if x.dtype != np.float32:
            raise TypeError("float32 only")
        return np.tanh(x)

    only = tanh.but(forward=forward)
    report = check(only, X.astype(np.float32))
    assert report.verdict is Verdict.PASS, str(report)
    wrong = only.but(vjp=lambda gy, x: gy * (1 - np.tanh(x)))
    assert check(wrong, X.astype(np.float32)).verdict is Verdict.FAIL


def test_a_half_precision_intermediate_in_a_float32_kernel_is_seen() -> None:
    def vjp(gy: Array, x: Array) -> Array:
        slope = 1 - np.tanh(x) ** 2
        return gy * (slope.astype(np.float16).astype(x.dtype) if x.dtype == np.float32 else slope)

    assert "precision" in check(tanh.but(vjp=vjp), X.astype(np.float32)).failing_layers


def test_the_complex_step_sharpens_differences_and_distrusts_itself() -> None:
    assert check_complex_step(tanh, X)
    tiny = tanh.but(vjp=lambda gy, x: gy * (1 - np.tanh(x) ** 2) * (1 + 1e-12))
    assert check_complex_step(tiny, X).verdict is Verdict.FAIL
    real = Op(lambda x: x * np.real(x), lambda gy, x: 2 * gy * x, name="not analytic")
    report = check(real, X)
    assert report.verdict is Verdict.PASS, str(report)
    assert ("complex step", "x: the forward is not analytic, or not smooth here") in report.skipped


def test_backends_are_compared_bitwise() -> None:
    def back(a: Any) -> Array:
        return np.array(a, copy=True)

    same = conv.but(backends=("numpy", Backend("copy", back, back)))
    case = draw(conv_geometry(2, groups=True), 5)[-1]
    assert check_backends(same, *case.args("f4"), params=case.params)
    drifting = Backend("drifting", back, lambda a: np.asarray(a) * a.dtype.type(1 + 1e-6))
    wrong = conv.but(backends=("numpy", drifting))
    assert check_backends(wrong, *case.args("f4"), params=case.params).verdict is Verdict.FAIL
    absent = check_backends(conv.but(backends=("numpy", "abacus")), *case.args("f4"), params=case.params)
    assert absent.verdict is Verdict.INCONCLUSIVE
    assert "no backend named 'abacus'" in str(absent.skipped)


def test_exactness_needs_short_sums() -> None:
    """A float32 sum over 2^25 terms is not exact, so the exact layer must step aside there."""
    long = Op(
        lambda x: np.full((1,), 2.0**20, x.dtype) * x.sum(keepdims=True).reshape(1),
        lambda gy, x: np.full_like(x, 2.0**20) * gy,
        linear_in=("x",),
        name="long sum",
    )
    report = check_adjoint(long, np.ones(64, np.float32))
    assert any("too long to stay exact" in reason for _, reason in report.skipped), str(report.skipped)
    assert report.verdict is Verdict.PASS


def test_contract_layouts() -> None:
    def flat_memory(gy: Array, x: Array) -> Array:
        base = gy if gy.base is None else gy.base
        return np.resize(np.asarray(base), x.shape) * (1 - np.tanh(x) ** 2)

    report = check_contract(tanh.but(vjp=flat_memory), X)
    assert report.verdict is Verdict.FAIL
    assert "strided arrays change the gradient" in str(report)


# -- messages ----------------------------------------------------------------------------------------------------


def test_a_failure_names_everything() -> None:
    def averaged(gy: Array, x: Array, w: Array, **params: Any) -> tuple[Array, Array]:
        gx, gw = conv_vjp(gy, x, w, **params)
        return gx, gw / x.shape[0]

    params = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}
    case = Case((ArraySpec((3, 2, 4, 5)), ArraySpec((2, 2, 3, 2))), params)
    text = str(check(conv.but(vjp=averaged), *case.args("f4"), params=case.params))
    for part in (
        "FAIL conv, gradient of w: exact adjoint, float32",
        "elements differ; worst at w[",
        "got is the vjp (analytic), expected is the forward on unit vectors (numeric, exact)",
        "pattern: scaled by 0.3333333 (= 1/3)",
        "case: x float32[3, ",
        "stride=(",
        "reproduce: check(conv, ",
    ):
        assert part in text, text


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        (lambda a: -a, "the sign is flipped"),
        (lambda a: a * 0, "all zero"),
        (lambda a: a * 3, "scaled by 3"),
        (lambda a: np.roll(a, 1, 1), "shifted by"),
        (lambda a: a[::-1], "flipped along axis 0"),
        (lambda a: a.T, "transposed"),
        (lambda a: np.where(np.arange(4) == 3, 0, a), "only the last slice 3 of axis 1 is zero"),
        (lambda a: a + 2, "a constant 2 is added"),
        (lambda a: np.where(a > 1.5, np.nan, a), "NaN"),
        (lambda a: np.sort(a, axis=None).reshape(a.shape), "the right values in the wrong places"),
        (lambda a: a * rng.uniform(2, 3, a.shape), ""),
    ],
)
def test_patterns(change: Callable[[Array], Array], phrase: str) -> None:
    expected = np.random.default_rng(5).standard_normal((4, 4))
    said = describe_pattern(change(expected), expected, np.float64(1e-12))
    assert phrase in said
    assert bool(said) == bool(phrase)


def test_a_single_wrong_element_of_many_is_found_by_bisection() -> None:
    """torch.autograd.gradcheck's fast mode never sees this one (PyTorch issue 59615)."""
    n = 1024

    def vjp(gy: Array, x: Array) -> Array:
        out = gy.copy()
        out[777] += gy[3]
        return out

    op = Op(lambda x: x.copy(), vjp, linear_in=("x",), name="identity")
    report = check_adjoint(op, np.zeros((n * 4,)))
    assert "worst at x[777]" in str(report)
    smooth = Op(lambda x: np.sin(x), lambda gy, x: vjp(gy * np.cos(x), x), name="sine")
    assert "worst at x[777]" in str(check_fd(smooth, np.random.default_rng(0).standard_normal(n)))


# -- strategies ----------------------------------------------------------------------------------------------------


def test_geometries_are_awkward_as_often_as_plain() -> None:
    remainders, unequal, apart = 0, 0, 0
    cases = draw(conv_geometry(2, groups=True, tiles=(8,)), 200)
    for case in cases:
        (x, w), p = case.arrays, case.params
        for axis in (0, 1):
            span = x.shape[2 + axis] + 2 * p["padding"][axis] - (w.shape[2 + axis] - 1) * p["dilation"][axis] - 1
            assert span >= 0
            remainders += bool(span % p["stride"][axis])
        unequal += x.shape[2] != x.shape[3]
        apart += any(p["stride"][axis] > w.shape[2 + axis] for axis in (0, 1))
        assert x.shape[1] == w.shape[1] * p["groups"]
        assert w.shape[0] % p["groups"] == 0
    assert remainders > len(cases) / 4
    assert unequal == len(cases)
    assert apart > len(cases) / 20
    assert any(case.arrays[0].shape[1] in (7, 8, 9) for case in cases)


def test_every_geometry_is_legal() -> None:
    for case in draw(conv_transpose_geometry(2, groups=True), 100):
        (x, w), p = case.arrays, case.params
        for axis in (0, 1):
            reach = (w.shape[2 + axis] - 1) * p["dilation"][axis]
            size = (x.shape[2 + axis] - 1) * p["stride"][axis] - 2 * p["padding"][axis] + reach
            assert size + p["output_padding"][axis] + 1 >= 1
            assert p["output_padding"][axis] < max(p["stride"][axis], p["dilation"][axis])
    for case in draw(pool_geometry(2), 100):
        x, p = case.arrays[0], case.params
        for axis in (0, 1):
            assert 2 * p["padding"][axis] <= p["kernel_size"][axis]
            assert x.shape[2 + axis] + 2 * p["padding"][axis] >= p["kernel_size"][axis]
    for case in draw(upsample_geometry(2), 20):
        assert case.arrays[0].shape[2] != case.arrays[0].shape[3]
    for case in draw(broadcast_shapes(3), 50):
        np.broadcast_shapes(*(a.shape for a in case.arrays))
