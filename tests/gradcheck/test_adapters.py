"""Operators from elsewhere: scratchgan's Functions, C, torch, JAX; and gradcheck under torch's names."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchgan import Function, Tensor, ops
from scratchgan.gradcheck import (
    GradcheckError,
    Kinks,
    Op,
    Verdict,
    check,
    conv_geometry,
    gradcheck,
    gradgradcheck,
    suite,
)

rng = np.random.default_rng(0)
X, W = rng.standard_normal((3, 4)), rng.standard_normal((4, 2))


class Cube(Function):
    def __init__(self, factor: float = 1.0, wrong: str = ""):
        self.factor, self.wrong = factor, wrong

    def forward(self, x: Any) -> Any:
        return self.factor * x**3

    def backward(self, needs: Any, gy: Any, y: Any, x: Any) -> Any:
        if self.wrong == "first":
            return gy * (2 * self.factor) * x * x
        if self.wrong == "second":  # right, but the factor x is cut off from the graph
            return gy * (3 * self.factor) * x * x.detach()
        return gy * (3 * self.factor) * x * x


def test_a_function_class_to_third_order() -> None:
    report = check(Op.from_function(Cube), X, params={"factor": 2.0}, order=3)
    assert report.verdict is Verdict.PASS, str(report)
    assert {f.operator for f in report.findings} >= {"Cube", "Cube: order 2", "Cube: order 3"}
    assert check(Op.from_function(Cube), X, params={"wrong": "first"}).verdict is Verdict.FAIL
    hidden = {"wrong": "second"}
    assert check(Op.from_function(Cube), X, params=hidden).verdict is Verdict.PASS
    report = check(Op.from_function(Cube), X, params=hidden, order=2)
    assert report.verdict is Verdict.FAIL
    assert "order=2" in str(report)


def test_functions_of_several_outputs() -> None:
    def both(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        y = x @ w
        return ops.tanh(y), y

    report = check(Op.from_function(both), X, W, order=2)
    assert report.verdict is Verdict.PASS, str(report)


def test_integer_and_constant_arguments_are_passed_along() -> None:
    labels = np.array([0, 1, 1])
    assert check(Op.from_function(ops.cross_entropy), rng.standard_normal((3, 2)), labels, order=2)
    assert check(Op.from_function(ops.mse_loss, constant=("target",)), X, X[::-1].copy())


def test_gradcheck_on_tensors() -> None:
    x, w = Tensor(X, requires_grad=True), Tensor(W, requires_grad=True)
    assert gradcheck(lambda a, b: (a @ b).tanh(), (x, w))
    assert gradgradcheck(lambda a, b: (a @ b).tanh(), (x, w), eps=2.0**-8, atol=1e-9, rtol=1e-6)
    assert gradcheck(lambda a: a.sum(), x)
    single = Tensor(X.astype(np.float32), requires_grad=True)
    assert gradcheck(lambda a: (a * a).mean(), single)
    wrong = Cube(wrong="first")
    with pytest.raises(GradcheckError, match=r"pattern: scaled by 0\.66666"):
        gradcheck(lambda a: Cube(wrong="first")(a), x)
    assert gradcheck(wrong, x, raise_exception=False) is False
    assert gradcheck(lambda a, b: a * b, (x, Tensor(2 * X)))  # b is a constant
    with pytest.raises(ValueError, match="no input requires a gradient"):
        gradcheck(lambda a: a, Tensor(X))
    with pytest.raises(GradcheckError, match="lie on a kink"):
        gradcheck(ops.relu, Tensor(np.array([0.0, 1.0]), requires_grad=True))
    assert gradcheck(ops.relu, Tensor(np.array([0.5, 1.0]), requires_grad=True), kinks=Kinks((0.0,), rule="left"))


DEPTHWISE = r"""
#define AT(a, c, i, j, h, w) a[((c) * (h) + (i)) * (w) + (j)]
void forward(const float *x, const float *k, float *y, int c, int h, int w, int kh, int kw) {
    int oh = h - kh + 1, ow = w - kw + 1;
    for (int p = 0; p < c; p++) for (int i = 0; i < oh; i++) for (int j = 0; j < ow; j++) {
        float sum = 0;
        for (int u = 0; u < kh; u++) for (int v = 0; v < kw; v++)
            sum += AT(x, p, i + u, j + v, h, w) * AT(k, p, u, v, kh, kw);
        AT(y, p, i, j, oh, ow) = sum;
    }
}
void backward(const float *gy, const float *x, const float *k, float *gx, float *gk,
              int c, int h, int w, int kh, int kw) {
    int oh = h - kh + 1, ow = w - kw + 1;
    for (int n = 0; n < c * h * w; n++) gx[n] = 0;
    for (int n = 0; n < c * kh * kw; n++) gk[n] = 0;
    for (int p = 0; p < c; p++) for (int i = 0; i < oh; i++) for (int j = 0; j < ow; j++)
        for (int u = 0; u < kh; u++) for (int v = 0; v < kw; v++) {
            AT(gx, p, i + u, j + v, h, w) += AT(gy, p, i, j, oh, ow) * AT(k, p, u, v, kh, kw);
            AT(gk, p, u, v, kh, kw) += AT(gy, p, i, j, oh, ow) * AT(x, p, i + u, j + v, h, w);
        }
}
"""


def built(folder: Path, source: str) -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler")
    (folder / "kernel.c").write_text(source)
    library = folder / "kernel.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, folder / "kernel.c"], check=True)
    return ctypes.CDLL(str(library))


def depthwise(library: ctypes.CDLL) -> Op:
    return Op.from_ctypes(
        library.forward,
        library.backward,
        output_shape=lambda x, k: (x.shape[0], x.shape[1] - k.shape[1] + 1, x.shape[2] - k.shape[2] + 1),
        scalars=lambda x, k: [*x.shape, *k.shape[1:]],
        arguments=("x", "k"),
        linear_in=("x", "k"),
        name="depthwise",
    )


def test_a_depthwise_convolution_in_c(tmp_path: Path) -> None:
    x, k = rng.standard_normal((3, 5, 6)).astype("f4"), rng.standard_normal((3, 2, 3)).astype("f4")
    assert check(depthwise(built(tmp_path, DEPTHWISE)), x, k)


@pytest.mark.parametrize(
    ("right", "wrong", "layer", "words"),
    [
        ("for (int n = 0; n < c * h * w; n++) gx[n] = 0;", "", "contract", "NaN"),
        ("AT(gk, p, u, v, kh, kw) += AT(gy", "AT(gk, 0, u, v, kh, kw) += AT(gy", "exact adjoint", "gradient of k"),
        ("AT(gx, p, i + u, j + v, h, w) +=", "AT(gx, p, i + v, j + u, h, w) +=", "exact adjoint", "gradient of x"),
        (
            "for (int n = 0; n < c * kh * kw; n++)",
            "for (int n = 0; n <= c * kh * kw; n++)",
            "contract",
            "wrote outside",
        ),
        ("sum += AT(x", "sum += 0.5f * AT(x", "exact adjoint", "scaled by 2"),
    ],
)
def test_bugs_in_c_are_found(tmp_path: Path, right: str, wrong: str, layer: str, words: str) -> None:
    assert right in DEPTHWISE
    x, k = rng.standard_normal((3, 6, 6)).astype("f4"), rng.standard_normal((3, 2, 2)).astype("f4")
    report = check(depthwise(built(tmp_path, DEPTHWISE.replace(right, wrong))), x, k)
    assert layer in report.failing_layers, str(report)
    assert words.lower() in str(report).lower()


def test_c_arrays_of_another_dtype_are_refused(tmp_path: Path) -> None:
    report = check(
        depthwise(built(tmp_path, DEPTHWISE)), rng.standard_normal((1, 3, 3)), rng.standard_normal((1, 2, 2))
    )
    assert report.verdict is Verdict.FAIL
    assert "x is float64, but the C function takes float32" in str(report)


@pytest.mark.peer
def test_torch_operators() -> None:
    torch = pytest.importorskip("torch")

    def normalised(x: Any, w: Any) -> Any:
        return torch.nn.functional.layer_norm(x, (4,), w)

    report = check(Op.from_torch(normalised, linear_in=("w",)), X, W[:, 0].copy(), order=2)
    assert report.verdict is Verdict.PASS, str(report)

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x.exp()

        @staticmethod
        def backward(ctx: Any, *gy: Any) -> Any:
            return gy[0] * ctx.saved_tensors[0]

    assert check(Op.from_torch(Wrong.apply, name="Wrong"), X).verdict is Verdict.FAIL
    conv = Op.from_torch(
        lambda x, w, **p: torch.nn.functional.conv2d(x, w, **p),
        linear_in=(0, 1),
        arguments=("x", "w"),
        name="torch conv2d",
    )
    suite(conv, conv_geometry(2, groups=True), max_examples=10)()


@pytest.mark.peer
def test_jax_operators() -> None:
    jnp = pytest.importorskip("jax.numpy")
    softmax = Op.from_jax(lambda x: jnp.exp(x) / jnp.exp(x).sum(-1, keepdims=True), name="softmax")
    report = check(softmax, X, order=2)
    assert report.verdict is Verdict.PASS, str(report)
    assert check(softmax.but(vjp=lambda gy, x: gy * x), X).verdict is Verdict.FAIL
