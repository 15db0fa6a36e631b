"""Operators of the kind that people write themselves, and the mistakes that hide in corners: every one is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sample_operators import softmax

from scratchgan.gradcheck import Kinks, Op, Verdict, check

rng = np.random.default_rng(7)
Vjp = Callable[..., Any]


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


# -- grid sampling, bilinear ------------------------------------------------------------------------------------------


def unnormalized(at: Any, n: int, corners: bool, padding: str, bug: str = "") -> tuple[Any, Any]:
    """Pixel coordinates of -1..1 along an axis of n pixels, and their derivative."""
    slope = (n - 1) / 2 if corners else n / 2
    pixels = (at + 1) * slope - (0 if corners else 0.5)
    if bug == "scale":
        slope = (n - 1) / 2
    slopes = np.full_like(at, slope)
    if padding == "border":
        slopes = slopes if bug == "border" else np.where((pixels < 0) | (pixels > n - 1), 0, slopes)
        pixels = pixels.clip(0, n - 1)
    if padding == "reflection":
        low, span = (0.0, n - 1.0) if corners else (-0.5, float(n))
        turns = np.floor((pixels - low) / span)
        inside = (pixels - low) - turns * span
        back = turns % 2 == 1
        slopes = slopes if bug == "reflection" else np.where(back, -slopes, slopes)
        pixels = np.where(back, span - inside, inside) + low
        slopes = np.where((pixels < 0) | (pixels > n - 1), 0, slopes)
        pixels = pixels.clip(0, n - 1)
    return pixels, slopes


def corners_of(x: Any, grid: Any, corners: bool, padding: str, bug: str = "") -> Any:
    """For each of the four neighbours: indices, whether it is inside, its weight, and the weight's derivatives."""
    h, w = x.shape[2:]
    px, sx = unnormalized(grid[..., 0], w, corners, padding, bug)
    py, sy = unnormalized(grid[..., 1], h, corners, padding, bug)
    left, top = np.floor(px).astype(int), np.floor(py).astype(int)
    fx, fy = px - left.astype(px.dtype), py - top.astype(py.dtype)
    for dy, dx in itertools.product((0, 1), (0, 1)):
        row, col = top + dy, left + dx
        inside = (row >= 0) & (row < h) & (col >= 0) & (col < w)
        wx, wy = (fx if dx else 1 - fx), (fy if dy else 1 - fy)
        gx, gy = (sx if dx else -sx) * wy, (sy if dy else -sy) * wx
        yield row.clip(0, h - 1), col.clip(0, w - 1), inside, wx * wy, gx, gy


def grid_sample(x: Any, grid: Any, corners: bool, padding: str) -> Any:
    n = np.arange(len(x))[:, None, None]
    return sum(
        (x[n, :, row, col] * (weight * inside)[..., None]).transpose(0, 3, 1, 2)
        for row, col, inside, weight, _, _ in corners_of(x, grid, corners, padding)
    )


def grid_sample_vjp(gy: Any, x: Any, grid: Any, corners: bool, padding: str, bug: str = "") -> Any:
    gx, ggrid = np.zeros_like(x), np.zeros_like(grid)
    n, g = np.arange(len(x))[:, None, None], gy.transpose(0, 2, 3, 1)
    for row, col, inside, weight, slope_x, slope_y in corners_of(x, grid, corners, padding, bug):
        share = g * (weight * (1 if bug == "outside" else inside))[..., None]
        if bug == "overwrite":
            gx[n, :, row, col] += share
        else:
            np.add.at(gx, (n, slice(None), row, col), share)
        along = (g * x[n, :, row, col]).sum(-1) * inside
        ggrid[..., 0] += along * (slope_y if bug == "exchanged" else slope_x)
        ggrid[..., 1] += along * (slope_x if bug == "exchanged" else slope_y)
    return gx, ggrid


sample = Op(grid_sample, grid_sample_vjp, linear_in=("x",), name="grid_sample")

# -- sequences, spectra, reductions --------------------------------------------------------------------------------


def causal(q: Any, k: Any, v: Any) -> Any:
    scores = np.where(np.tri(q.shape[0], dtype=bool), q @ k.T / q.shape[1] ** 0.5, -np.inf)
    return softmax(scores) @ v


def causal_vjp(gy: Any, q: Any, k: Any, v: Any, leak: bool = False, rows: int | None = None) -> Any:
    root, seen = q.shape[1] ** 0.5, np.tri(q.shape[0], dtype=bool)
    p = softmax(np.where(seen, q @ k.T / root, -np.inf))
    gp = gy @ v.T
    gs = p * (gp - (gp * p).sum(-1, keepdims=True)) / root
    if leak:
        gs = np.where(seen, gs, gp * 1e-3)
    gk = gs.T @ q
    gk[slice(rows, None) if rows is not None else slice(0, 0)] = 0
    return gs @ k, gk, p.T @ gy


def fft_convolve(x: Any, w: Any) -> Any:
    """Circular, along the last axis."""
    n = x.shape[-1]
    return np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(w, n), n).astype(x.dtype)


def fft_convolve_vjp(gy: Any, x: Any, w: Any, bug: str = "") -> Any:
    n, m = x.shape[-1], w.shape[-1]
    spectrum = np.fft.rfft(gy)
    filters = np.fft.rfft(w, n) if bug == "conjugate" else np.conj(np.fft.rfft(w, n))
    gx = np.fft.irfft(spectrum * filters, n)
    if bug == "odd":
        gx = np.resize(np.fft.irfft(spectrum * filters), gx.shape)
    gw = np.fft.irfft((spectrum * np.conj(np.fft.rfft(x))).sum(0), n)
    return gx.astype(x.dtype), (gw[-m:] if bug == "crop" else gw[:m]).astype(w.dtype).copy()


def cumprod_vjp(gy: Any, x: Any, naive: bool = False) -> Any:
    if naive:  # right but where an element is zero
        y = np.cumprod(x)
        return np.cumsum((gy * y)[::-1])[::-1] / x
    out = np.zeros_like(x)
    for k, j in itertools.product(range(x.size), range(x.size)):
        if k <= j:
            out[k] += gy[j] * np.prod(np.delete(x[: j + 1], k))
    return out


def windows_max_vjp(gy: Any, x: Any, bug: str = "") -> Any:
    """Maximum over windows of two, stride two; the first of a tie."""
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    first = pairs[..., 0] >= pairs[..., 1] if bug != "tie" else pairs[..., 0] > pairs[..., 1]
    hit = np.stack([first, ~first if bug != "both" else pairs[..., 1] >= pairs[..., 0]], -1)
    return (hit * gy[..., None]).reshape(x.shape).astype(x.dtype)


# -- linear algebra -----------------------------------------------------------------------------------------------


def gram(a: Any) -> Any:
    return a @ a.T + 3 * np.eye(len(a), dtype=a.dtype)


def cholesky_vjp(gy: Any, a: Any, halved: bool = True) -> Any:
    lower = np.linalg.cholesky(gram(a))
    inner = np.tril(lower.T @ gy)
    inner[np.diag_indices(len(a))] *= 0.5 if halved else 1.0
    inverse = np.linalg.inv(lower)
    s = inverse.T @ inner @ inverse
    return (s + s.T) @ a


def solve_vjp(gy: Any, a: Any, b: Any, bug: str = "") -> Any:
    gb = np.linalg.solve(a if bug == "transpose" else a.T, gy)
    return -np.outer(gb, np.linalg.solve(a, b)).T.copy() if bug == "outer" else -np.outer(gb, np.linalg.solve(a, b)), gb


def singular_values_vjp(gy: Any, a: Any, exchanged: bool = False) -> Any:
    u, _, vt = np.linalg.svd(a, full_matrices=False)
    return (vt.T * gy) @ u.T if exchanged else (u * gy) @ vt


# -- several outputs, integers on the side ---------------------------------------------------------------------------


def moments(x: Any) -> Any:
    return x.mean(0), (x * x).mean(0)


def moments_vjp(gy: Any, x: Any, bug: str = "") -> Any:
    first, second = gy[::-1] if bug == "order" else gy
    out = np.broadcast_to(first, x.shape) / len(x) + (0 if bug == "second" else 2 * x * second / len(x))
    return out.astype(x.dtype)


def cross_entropy(x: Any, labels: Any) -> Any:
    z = x - x.max(-1, keepdims=True)
    return np.asarray((np.log(np.exp(z).sum(-1)) - z[np.arange(len(x)), labels]).mean())


def cross_entropy_vjp(gy: Any, x: Any, labels: Any, bug: str = "") -> Any:
    g = softmax(x)
    g[np.arange(len(x)), labels - (bug == "label")] -= 1
    g *= gy / (1 if bug == "mean" else len(x))
    if bug == "last":
        g[-1] *= 1 + 1e-5
    return g, None


def scatter_add_vjp(gy: Any, x: Any, rows: Any, bug: str = "") -> Any:
    g = gy[rows].copy()
    if bug == "first":
        g[[k for k, row in enumerate(rows) if row in rows[:k]]] = 0
    return g, None


def scatter_add(x: Any, rows: Any) -> Any:
    out = np.zeros((4, *x.shape[1:]), x.dtype)
    np.add.at(out, rows, x)
    return out


def sort_vjp(gy: Any, x: Any, inverse: bool = True) -> Any:
    order = np.argsort(x)
    out = np.empty_like(gy)
    if not inverse:
        return gy[order]
    out[order] = gy
    return out


MATRIX = normal(4, 4) + 3 * np.eye(4)
ROWS = np.array([1, 0, 1, 3, 1])
GRID = rng.uniform(-1.7, 1.7, (2, 3, 4, 2))
SAMPLING = [
    {"corners": corners, "padding": padding}
    for corners, padding in itertools.product((True, False), ("zeros", "border", "reflection"))
]
solve = Op(lambda a, b: np.linalg.solve(a, b), solve_vjp, linear_in=("b",), name="solve")
entropy = Op(cross_entropy, cross_entropy_vjp, name="cross_entropy")
sine = Op(lambda x: np.sin(x), lambda gy, x: gy * np.cos(x), name="sin")
RIGHT: dict[str, tuple[Op, tuple[Any, ...], dict[str, Any]]] = {
    **{f"grid_sample, {p['corners']}, {p['padding']}": (sample, (normal(2, 3, 5, 4), GRID), p) for p in SAMPLING},
    "attention": (Op(causal, causal_vjp, linear_in=("v",), name="attention"), (normal(5, 3),) * 3, {}),
    "fft": (Op(fft_convolve, fft_convolve_vjp, linear_in=("x", "w"), name="fft"), (normal(2, 9), normal(4)), {}),
    "cumprod": (Op(lambda x: np.cumprod(x), cumprod_vjp, name="cumprod"), (normal(6),), {}),
    "max": (
        Op(
            lambda x: x.reshape(*x.shape[:-1], -1, 2).max(-1),
            windows_max_vjp,
            kinks=Kinks(ties=True),
            name="max",
        ),
        (normal(3, 8),),
        {},
    ),
    "cholesky": (Op(lambda a: np.linalg.cholesky(gram(a)), cholesky_vjp, name="cholesky"), (normal(4, 5),), {}),
    "solve": (
        Op(lambda a, b: np.linalg.solve(a, b), solve_vjp, linear_in=("b",), name="solve"),
        (MATRIX, normal(4)),
        {},
    ),
    "svd": (
        Op(lambda a: np.linalg.svd(a, compute_uv=False), singular_values_vjp, name="singular values"),
        (normal(4, 4),),
        {},
    ),
    "moments": (Op(moments, moments_vjp, name="moments"), (normal(5, 3),), {}),
    "cross_entropy": (
        Op(cross_entropy, cross_entropy_vjp, name="cross_entropy"),
        (normal(4, 3), np.array([2, 0, 1, 1])),
        {},
    ),
    "scatter_add": (Op(scatter_add, scatter_add_vjp, linear_in=("x",), name="scatter_add"), (normal(5, 2), ROWS), {}),
    "sort": (Op(lambda x: np.sort(x), sort_vjp, name="sort"), (normal(7),), {}),
    "sin": (sine, (normal(3, 5),), {}),
    "large sin": (sine, (normal(200, 150),), {}),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_right_operators_pass(name: str, dtype: str) -> None:
    op, args, params = RIGHT[name]
    args = tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in args)
    for seed in range(3):
        report = check(op, *args, params=params, seed=seed)
        assert report, str(report)


class Now:
    """Right but on calls that `when` picks by their number."""

    def __init__(self, when: Callable[[int], bool]) -> None:
        self.calls, self.when = itertools.count(), when

    def __call__(self, gy: Any, x: Any) -> Any:
        return gy * np.cos(x) * (1.5 if self.when(next(self.calls)) else 1)


class Cached:
    """Keeps cos x by the shape of x, or from the last forward: right until x changes."""

    def __init__(self, by_shape: bool) -> None:
        self.by_shape, self.kept = by_shape, {}

    def forward(self, x: Any) -> Any:
        if not self.by_shape:
            self.kept[None] = np.cos(x)
        return np.sin(x)

    def vjp(self, gy: Any, x: Any) -> Any:
        return gy * self.kept.setdefault(x.shape if self.by_shape else None, np.cos(x))


def mutates_and_is_right(gy: Any, x: Any) -> Any:
    out = gy * np.cos(x)
    gy *= 0
    return out


def one_element(gy: Any, x: Any, factor: float = 1.001) -> Any:
    out = gy * np.cos(x)
    out[-1, -1] *= factor
    return out


def grid_bug(bug: str, padding: str = "zeros", corners: bool = False) -> tuple[str, Vjp]:
    return f"grid_sample, {corners}, {padding}", lambda gy, x, grid, **p: grid_sample_vjp(gy, x, grid, **p, bug=bug)


def bug_in(name: str, vjp: Vjp, **how: Any) -> tuple[str, Vjp]:
    return name, lambda gy, *xs: vjp(gy, *xs, **how)


WRONG: dict[str, tuple[str, Vjp]] = {
    "grid: the other scale": grid_bug("scale"),
    "grid: x and y exchanged": grid_bug("exchanged"),
    "grid: overwrites": grid_bug("overwrite"),
    "grid: what lies outside counts": grid_bug("outside"),
    "grid: a gradient beyond the border": grid_bug("border", "border", True),
    "grid: the sign of a reflection": grid_bug("reflection", "reflection"),
    "attention: the mask leaks": bug_in("attention", causal_vjp, leak=True),
    "attention: the last key": bug_in("attention", causal_vjp, rows=4),
    "fft: not conjugate": bug_in("fft", fft_convolve_vjp, bug="conjugate"),
    "fft: odd length": bug_in("fft", fft_convolve_vjp, bug="odd"),
    "fft: the wrong end": bug_in("fft", fft_convolve_vjp, bug="crop"),
    "cumprod: divides": bug_in("cumprod", cumprod_vjp, naive=True),
    "max: both of a tie": bug_in("max", windows_max_vjp, bug="both"),
    "cholesky: the diagonal": bug_in("cholesky", cholesky_vjp, halved=False),
    "solve: not transposed": bug_in("solve", solve_vjp, bug="transpose"),
    "solve: the outer product transposed": bug_in("solve", solve_vjp, bug="outer"),
    "svd: sides exchanged": bug_in("svd", singular_values_vjp, exchanged=True),
    "moments: only the first output": bug_in("moments", moments_vjp, bug="second"),
    "moments: outputs exchanged": bug_in("moments", moments_vjp, bug="order"),
    "cross entropy: the label before": bug_in("cross_entropy", cross_entropy_vjp, bug="label"),
    "cross entropy: not a mean": bug_in("cross_entropy", cross_entropy_vjp, bug="mean"),
    "cross entropy: the last row by 1e-5": bug_in("cross_entropy", cross_entropy_vjp, bug="last"),
    "scatter_add: only the first of a row": bug_in("scatter_add", scatter_add_vjp, bug="first"),
    "sort: the inverse permutation": bug_in("sort", sort_vjp, inverse=False),
    "wrong on the second call": ("sin", Now(lambda call: call == 1)),
    "wrong on the third call": ("sin", Now(lambda call: call == 2)),
    "wrong on every fifth call": ("sin", Now(lambda call: call % 5 == 4)),
    "changes gy": ("sin", mutates_and_is_right),
    "returns gy's buffer": ("sin", lambda gy, x: np.multiply(gy, np.cos(x), out=gy if gy.flags.writeable else None)),
    "one of 30000 elements, by 1e-3": ("large sin", one_element),
    "one of 30000 elements, by 1e-6": ("large sin", lambda gy, x: one_element(gy, x, 1 + 1e-6)),
    "all by 1e-9": ("sin", lambda gy, x: gy * np.cos(x) * (1 + 1e-9)),
    "clipped": ("sin", lambda gy, x: np.clip(gy * np.cos(x), -5, 5)),
    "half precision of gy": ("sin", lambda gy, x: gy.astype("f2").astype(gy.dtype) * np.cos(x)),
    "a constant added": ("sin", lambda gy, x: gy * np.cos(x) + 1e-9),
    "only an even number of columns": ("sin", lambda gy, x: np.where(np.arange(5) < 4, gy * np.cos(x), 0)),
    "x reversed in memory": ("sin", lambda gy, x: gy * np.cos(x[::-1] if x.strides[0] < 0 else x)),
    "a cotangent whose rows are equal": (
        "sin",
        lambda gy, x: gy * np.cos(x) * (1.1 if len(gy) > 1 and (gy[0] == gy[1]).all() else 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_gradients_are_refused(name: str) -> None:
    of, vjp = WRONG[name]
    op, args, params = RIGHT[of]
    report = check(op.but(vjp=vjp), *args, params=params)
    assert report.verdict is Verdict.FAIL, str(report)


@pytest.mark.parametrize("by_shape", [False, True])
def test_what_was_kept_from_another_call(by_shape: bool) -> None:
    kept = Cached(by_shape)
    assert check(Op(kept.forward, kept.vjp, name="cached"), normal(3, 5)).verdict is Verdict.FAIL
