"""Bugs that are in no catalogue, in operators that are not ours: each is refused, and the right operator is not."""

from __future__ import annotations

import ctypes
import itertools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_operators import softmax

from scratchgan.gradcheck import Kinks, Op, Verdict, check, check_fd

rng = np.random.default_rng(0)
Vjp = Callable[..., Any]


def fresh(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


# -- right operators ----------------------------------------------------------------------------------------------


def log_softmax(x: Any) -> Any:
    z = x - x.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def log_softmax_vjp(gy: Any, x: Any) -> Any:
    return gy - softmax(x) * gy.sum(-1, keepdims=True)


def standardized(x: Any) -> Any:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def layer_norm_vjp(gy: Any, x: Any, w: Any, b: Any) -> Any:
    s, x_hat, g = 1 / np.sqrt(x.var(-1, keepdims=True) + 1e-5), standardized(x), gy * w
    gx = s * (g - g.mean(-1, keepdims=True) - x_hat * (g * x_hat).mean(-1, keepdims=True))
    return gx, (gy * x_hat).sum(0), gy.sum(0)


def attention(q: Any, k: Any, v: Any) -> Any:
    return np.einsum("bij,bjd->bid", softmax(np.einsum("bid,bjd->bij", q, k) / np.sqrt(q.shape[-1])), v)


def attention_vjp(gy: Any, q: Any, k: Any, v: Any, scale: Any = None, transposed: bool = False) -> Any:
    root = 1 / np.sqrt(q.shape[-1])
    p = softmax(np.einsum("bid,bjd->bij", q, k) * root)
    gp = np.einsum("bid,bjd->bij", gy, v)
    gs = p * (gp - (gp * p).sum(-1, keepdims=True)) * (root if scale is None else scale)
    gk = np.einsum("bij,bid->bjd", gs, q) if not transposed else np.einsum("bji,bid->bjd", gs, q)
    return np.einsum("bij,bjd->bid", gs, k), gk, np.einsum("bij,bid->bjd", p, gy)


def gather(table: Any, rows: Any) -> Any:
    return table[rows]


def gather_vjp(gy: Any, table: Any, rows: Any) -> Any:
    out = np.zeros_like(table)
    np.add.at(out, rows, gy)
    return out, None


def gather_overwrites(gy: Any, table: Any, rows: Any) -> Any:
    out = np.zeros_like(table)
    out[rows] = gy
    return out, None


def gather_drops_padding_row(gy: Any, table: Any, rows: Any) -> Any:
    out = gather_vjp(gy, table, rows)[0]
    out[0] = 0
    return out, None


def top2(x: Any) -> Any:
    return np.sort(x, -1)[..., ::-1][..., :2].copy()


def top2_vjp(gy: Any, x: Any, reverse: bool = False) -> Any:
    out = np.zeros_like(x)
    order = np.argsort(x, -1)[..., ::-1][..., :2]
    np.put_along_axis(out, order, gy[..., ::-1] if reverse else gy, -1)
    return out


def interpolation_matrix(n: int, m: int, dtype: Any, corners: bool = True) -> Any:
    """(m, n): n samples resized to m, ends on ends (align_corners) or cells on cells."""
    at = np.arange(m) * ((n - 1) / max(m - 1, 1)) if corners else ((np.arange(m) + 0.5) * n / m - 0.5).clip(0, n - 1)
    low = np.minimum(at.astype(int), n - 2)
    out = np.zeros((m, n), dtype)
    out[np.arange(m), low] = 1 - (at - low)
    out[np.arange(m), low + 1] += at - low
    return out


def huber(x: Any) -> Any:
    return np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5)


class CountsItsCalls:
    """A vjp that is right the first time only."""

    def __init__(self) -> None:
        self.calls = itertools.count()

    def __call__(self, gy: Any, x: Any) -> Any:
        return np.cos(x) * gy * (1.0 if next(self.calls) == 0 else 1.5)


class Trained:
    """A forward that keeps a running mean: its result depends on what came before."""

    def __init__(self) -> None:
        self.mean: Any = 0.0

    def __call__(self, x: Any) -> Any:
        self.mean = 0.9 * self.mean + 0.1 * x.mean()
        return x * 2.0 - self.mean


def one_element(vjp: Vjp, factor: float, index: int = 3) -> Vjp:
    def wrong(gy: Any, *xs: Any) -> Any:
        g = np.array(vjp(gy, *xs))
        g.reshape(-1)[index] *= factor
        return g

    return wrong


def tail_of_eight_lost(gy: Any, x: Any) -> Any:
    g = gy * np.cos(x)
    if x.size % 8 and x.size > 32:
        g.reshape(-1)[x.size // 8 * 8 :] = 0
    return g


def unless(condition: Callable[[Any], bool], right: Vjp) -> Vjp:
    """Right, unless something about the cotangent makes it take the other path."""
    return lambda gy, x: np.ones_like(x) if condition(gy) else right(gy, x)


def sin_vjp(gy: Any, x: Any) -> Any:
    return gy * np.cos(x)


def second(*vjp: Vjp) -> Op:
    """(gy, x) -> gy * cos x as an operator, for the second order of sin."""
    return Op(lambda gy, x: gy * np.cos(x), *vjp, linear_in=("gy",), name="sin's vjp")


sin = Op(lambda x: np.sin(x), sin_vjp, name="sin")
norm_op = Op(lambda x, w, b: standardized(x) * w + b, layer_norm_vjp, linear_in=("w", "b"), name="layer_norm")
attend = Op(attention, attention_vjp, linear_in=("v",), name="attention")
embed = Op(gather, gather_vjp, linear_in=("table",), name="embedding")
log_soft = Op(log_softmax, log_softmax_vjp, name="log_softmax")
scan = Op(
    lambda x: np.cumsum(x, -1),
    lambda gy, x: np.cumsum(gy[..., ::-1], -1)[..., ::-1].copy(),
    linear_in=("x",),
    name="cumsum",
)
top = Op(top2, top2_vjp, name="top2")
resize = Op(
    lambda x, m: x @ interpolation_matrix(x.shape[-1], m, x.dtype).T,
    lambda gy, x, m: gy @ interpolation_matrix(x.shape[-1], m, gy.dtype),
    linear_in=("x",),
    name="resize",
)
absolute = Op(lambda x: np.abs(x), lambda gy, x: gy * np.sign(x), kinks=Kinks(at=(0.0,), rule="middle"), name="abs")
smooth = Op(huber, lambda gy, x: gy * x.clip(-1, 1), name="huber")
power = Op(lambda x, p: x**p, lambda gy, x, p: gy * p * x ** (p - 1), name="power")
difference = Op(lambda x: np.diff(x), lambda gy, x: -np.diff(gy, prepend=0, append=0), linear_in=("x",), name="diff")
only_single = Op(
    lambda x: np.sin(x.astype(np.float32)), lambda gy, x: gy * np.cos(x), dtypes=("f4",), name="float32 only"
)
twice = sin.but(vjp=second(lambda ggy, gy, x: (ggy * np.cos(x), -ggy * gy * np.sin(x))))

X, ROWS = fresh(3, 5), np.array([1, 0, 2, 1])
RIGHT: dict[str, tuple[Op, tuple[Any, ...], dict[str, Any], int]] = {
    "log_softmax": (log_soft, (X,), {}, 1),
    "layer_norm": (norm_op, (X, fresh(5), fresh(5)), {}, 1),
    "attention": (attend, (fresh(2, 3, 4), fresh(2, 5, 4), fresh(2, 5, 4)), {}, 1),
    "embedding": (embed, (fresh(4, 3), ROWS), {}, 1),
    "cumsum": (scan, (X,), {}, 1),
    "top2": (top, (X,), {}, 1),
    "resize": (resize, (X,), {"m": 7}, 1),
    "abs": (absolute, (X,), {}, 1),
    "huber": (smooth, (3 * X,), {}, 1),
    "power": (power, (np.abs(X) + 0.5,), {"p": 2.5}, 1),
    "diff": (difference, (fresh(9),), {}, 1),
    "float32 only": (only_single, (X.astype("f4"),), {}, 1),
    "sin, second order": (twice, (X,), {}, 2),
    "sin, 41 elements": (sin, (fresh(41),), {}, 1),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("seed", range(3))
def test_right_operators_pass(name: str, seed: int) -> None:
    op, args, params, order = RIGHT[name]
    report = check(op, *args, params=params, order=order, seed=seed)
    assert report, str(report)


WRONG: dict[str, tuple[str, Vjp]] = {
    "log_softmax: softmax's gradient": ("log_softmax", lambda gy, x: softmax(x) * (gy - gy.sum(-1, keepdims=True))),
    "log_softmax: sum over the batch": ("log_softmax", lambda gy, x: gy - softmax(x) * gy.sum(0, keepdims=True)),
    "layer_norm: mean not subtracted": (
        "layer_norm",
        lambda gy, x, w, b: (gy * w / np.sqrt(x.var(-1, keepdims=True) + 1e-5), *layer_norm_vjp(gy, x, w, b)[1:]),
    ),
    "layer_norm: eps forgotten": (
        "layer_norm",
        lambda gy, x, w, b: (
            layer_norm_vjp(gy, x, w, b)[0] * np.sqrt((x.var(-1, keepdims=True) + 1e-5) / x.var(-1, keepdims=True)),
            *layer_norm_vjp(gy, x, w, b)[1:],
        ),
    ),
    "layer_norm: gw without x_hat": (
        "layer_norm",
        lambda gy, x, w, b: (layer_norm_vjp(gy, x, w, b)[0], gy.sum(0), gy.sum(0) * 1.0),
    ),
    "attention: scale forgotten": ("attention", lambda gy, q, k, v: attention_vjp(gy, q, k, v, 1.0)),
    "attention: k and v exchanged": (
        "attention",
        lambda gy, q, k, v: (lambda g: (g[0], g[2], g[1]))(attention_vjp(gy, q, k, v)),
    ),
    "embedding: repeated rows overwritten": ("embedding", gather_overwrites),
    "embedding: row 0 is taken for padding": ("embedding", gather_drops_padding_row),
    "cumsum: not reversed": ("cumsum", lambda gy, x: np.cumsum(gy, -1)),
    "cumsum: exclusive": ("cumsum", lambda gy, x: np.cumsum(gy[..., ::-1], -1)[..., ::-1] - gy),
    "cumsum: along the wrong axis": ("cumsum", lambda gy, x: np.cumsum(gy[::-1], 0)[::-1].copy()),
    "top2: places exchanged": ("top2", lambda gy, x: top2_vjp(gy, x, reverse=True)),
    "resize: half-pixel centres": (
        "resize",
        lambda gy, x, m: gy @ interpolation_matrix(x.shape[-1], m, gy.dtype, corners=False),
    ),
    "abs: one at zero": ("abs", lambda gy, x: gy * np.where(x >= 0, 1.0, -1.0)),
    "huber: not clipped": ("huber", lambda gy, x: gy * x),
    "huber: clipped from below only": ("huber", lambda gy, x: gy * np.maximum(x, -1)),
    "power: off by one": ("power", lambda gy, x, p: gy * p * x ** (p - 1) * np.where(x > 1, x / x.clip(1), 1.01)),
    "power: the exponent is an integer": ("power", lambda gy, x, p: gy * int(p) * x ** (p - 1)),
    "diff: shifted": ("diff", lambda gy, x: -np.diff(np.roll(gy, 1), prepend=0, append=0)),
    "float32 only: cosine of twice": ("float32 only", lambda gy, x: gy * (np.cos(x) + np.float32(0.01))),
    "second order: a sign": ("sin, second order", second(lambda ggy, gy, x: (ggy * np.cos(x), ggy * gy * np.sin(x)))),
    "second order: gy forgotten": (
        "sin, second order",
        second(lambda ggy, gy, x: (ggy * np.cos(x), -ggy * np.sin(x))),
    ),
    "the tail of a large array": ("sin, 41 elements", tail_of_eight_lost),
    "one element, by 1e-6": ("sin, 41 elements", one_element(sin_vjp, 1 + 1e-6)),
    "wrong from the second call on": ("sin, 41 elements", CountsItsCalls()),
    "a cotangent that is not contiguous": (
        "sin, second order",
        unless(lambda gy: not gy.flags.c_contiguous, sin_vjp),
    ),
    "a Fortran-ordered cotangent": (
        "sin, second order",
        unless(lambda gy: gy.flags.f_contiguous and not gy.flags.c_contiguous, sin_vjp),
    ),
    "a read-only cotangent": ("sin, second order", unless(lambda gy: not gy.flags.writeable, sin_vjp)),
    "a cotangent that does not start on 16 bytes": (
        "sin, second order",
        unless(lambda gy: gy.ctypes.data % 16 != 0, sin_vjp),
    ),
    "a cotangent with zeros": ("sin, second order", unless(lambda gy: bool((gy == 0).any()), sin_vjp)),
    "a cotangent all of one value": ("sin, second order", unless(lambda gy: bool((gy == gy.flat[0]).all()), sin_vjp)),
    "a large cotangent": ("sin, second order", unless(lambda gy: bool(np.abs(gy).max() > 1e3), sin_vjp)),
    "a small cotangent": ("sin, second order", unless(lambda gy: bool(np.abs(gy).max() < 1e-4), sin_vjp)),
    "a negative cotangent": ("sin, second order", lambda gy, x: np.abs(gy) * np.cos(x)),
    "a NaN times zero": ("sin, second order", lambda gy, x: gy * np.cos(x) + 0 * np.log(-1 - x * x)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_gradients_are_refused(name: str) -> None:
    of, vjp = WRONG[name]
    op, args, params, order = RIGHT[of]
    report = check(
        op.but(vjp=vjp, derivative=vjp and None), *args, params=params, order=order if isinstance(vjp, Op) else 1
    )
    assert report.verdict is Verdict.FAIL, str(report)


def test_terms_that_cancel_inside_the_forward_are_no_alarm() -> None:
    """The output is exactly zero, so its size says nothing about the rounding inside."""
    mean = Op(lambda x: x.mean(0), lambda gy, x: np.repeat(gy[None], len(x), 0) / len(x), name="mean")
    assert check_fd(mean, np.array([[-0.0625], [0.0625], [-0.1875], [0.1875]]))


def test_a_forward_with_state_is_refused() -> None:
    report = check(Op(Trained(), lambda gy, x: 2.0 * gy - 0.1 * gy.sum() / gy.size, name="running"), X)
    assert report.verdict is Verdict.FAIL
    assert "keeps state between calls" in str(report)


# -- a depthwise convolution in C -----------------------------------------------------------------------------------

SOURCE = """
#define FOR(i, n) for (int i = 0; i < n; i++)
void dw(const float *x, const float *w, float *y, int N, int C, int H, int W, int K, int s, int p, int OH, int OW) {
  FOR(n, N) FOR(c, C) FOR(i, OH) FOR(j, OW) {
    float total = 0;
    FOR(a, K) FOR(b, K) {
      int r = i * s - p + a, q = j * s - p + b;
      if (r >= 0 && r < H && q >= 0 && q < W) total += x[((n*C + c)*H + r)*W + q] * w[(c*K + a)*K + b];
    }
    y[((n*C + c)*OH + i)*OW + j] = total;
  }
}
void dw_back(const float *gy, const float *x, const float *w, float *gx, float *gw,
             int N, int C, int H, int W, int K, int s, int p, int OH, int OW) {
  FOR(k, N*C*H*W - SKIP) gx[k] = 0;
  FOR(k, C*K*K) gw[k] = 0;
  FOR(n, BATCH) FOR(c, C) FOR(i, ROWS) FOR(j, OW) {
    float g = gy[((n*C + c)*OH + i)*OW + j];
    FOR(a, K) FOR(b, K) {
      int r = i * s - p + a, q = j * s - p + b;
      if (r >= LOW && r < H && q >= 0 && q < RIGHT) {
        gx[((n*C + c)*H + r)*W + q] OP g * w[(c*K + TAP)*K + b];
        gw[(CH*K + a)*K + b] += g * x[((n*C + c)*H + r)*W + q];
      }
    }
  }
  EXTRA
}
"""
C_BUGS = {
    "right": {},
    "the first row of the padding": {"LOW": "1"},
    "a wider right edge": {"RIGHT": "W - 1"},
    "overwrites": {"OP": "="},
    "only one image in gw": {"BATCH": "(N > 1 ? N - 1 : N)"},
    "the kernel's rows flipped": {"TAP": "(K - 1 - a)"},
    "one channel for all": {"CH": "0"},
    "the last output row": {"ROWS": "(OH > 2 ? OH - 1 : OH)"},
    "one element not cleared": {"SKIP": "1"},
    "writes past the end": {"EXTRA": "gw[C*K*K] = 1;"},
    "writes before the start": {"EXTRA": "gx[-1] = 1;"},
}


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("bug", C_BUGS)
def test_a_depthwise_convolution_in_c(bug: str, tmp_path: Path) -> None:
    plain = {"LOW": "0", "RIGHT": "W", "OP": "+=", "BATCH": "N", "TAP": "a", "CH": "c", "ROWS": "OH", "SKIP": "0"}
    given = {**plain, "EXTRA": "", **C_BUGS[bug]}
    (tmp_path / "dw.c").write_text(SOURCE)
    flags = [f"-D{name}={value}" for name, value in given.items()]
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", *flags, "-o", str(tmp_path / "dw.so"), str(tmp_path / "dw.c")], check=True
    )
    library = ctypes.CDLL(str(tmp_path / "dw.so"))

    def out(x: Any, w: Any, stride: int, padding: int) -> tuple[int, ...]:
        return (*x.shape[:2], *((n + 2 * padding - w.shape[1]) // stride + 1 for n in x.shape[2:]))

    op = Op.from_ctypes(
        library.dw,
        library.dw_back,
        arguments=("x", "w"),
        linear_in=("x", "w"),
        name="depthwise",
        output_shape=out,
        scalars=lambda x, w, stride, padding: (
            *x.shape,
            w.shape[1],
            stride,
            padding,
            *out(x, w, stride, padding)[2:],
        ),
    )
    verdicts = []
    for stride, padding in ((1, 1), (2, 0), (2, 1)):
        x, w = fresh(2, 3, 7, 6).astype("f4"), fresh(3, 3, 3).astype("f4")
        verdicts.append(check(op, x, w, params={"stride": stride, "padding": padding}).verdict)
    if bug == "right":
        assert verdicts == [Verdict.PASS] * 3
    else:
        assert Verdict.FAIL in verdicts
