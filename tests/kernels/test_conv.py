"""Convolutions against one window at a time. Small whole numbers make every sum exact, so equality is to the bit."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from layouts import assert_any_layout, assert_same_bits

from scratchgan import kernels
from scratchgan.kernels.conv import memory, product_sizes, products, reference
from scratchgan.kernels.simd import PANEL_ROWS, ROW_STEP, lanes

Pair = tuple[int, int]
STRIPE = 2 * lanes(4)


class Case(NamedTuple):
    """A convolution."""

    n: int
    channels: int
    size: Pair
    outputs: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def options(self) -> dict[str, Any]:
        return dict(zip(("stride", "padding", "dilation", "groups"), self.geometry(), strict=True))

    def geometry(self) -> tuple[Pair, Pair, Pair, int]:
        return self.stride, self.padding, self.dilation, self.groups


def integers(rng: np.random.Generator, *shape: int, dtype: Any = np.float32) -> np.ndarray:
    return rng.integers(-4, 5, shape).astype(dtype)


def random_case(seed: int) -> Case:
    """Draw everything but the input size, and the rows and columns that no window reaches; then the size follows."""
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 2, 3]))

    def pair(low: int, high: int) -> Pair:
        a, b = rng.integers(low, high + 1, 2)
        return int(a), int(b)

    while True:
        out, kernel, stride, dilation, padding = pair(1, 9), pair(1, 5), pair(1, 3), pair(1, 3), pair(0, 3)
        remainder = tuple(int(rng.integers(0, s)) for s in stride)
        height, width = (
            (o - 1) * s + d * (k - 1) + 1 - 2 * p + r
            for o, s, d, k, p, r in zip(out, stride, dilation, kernel, padding, remainder, strict=True)
        )
        if height > 0 and width > 0:
            break
    channels, outputs = groups * int(rng.integers(1, 8)), groups * int(rng.integers(1, 10))
    return Case(int(rng.integers(1, 4)), channels, (height, width), outputs, kernel, stride, padding, dilation, groups)


def check(case: Case, dtype: Any = np.float32, seed: int = 0) -> None:
    """Forward, both gradients and the transpose, each against its own reference."""
    rng = np.random.default_rng(seed)
    x = integers(rng, case.n, case.channels, *case.size, dtype=dtype)
    w = integers(rng, case.outputs, case.channels // case.groups, *case.kernel, dtype=dtype)
    bias = integers(rng, case.outputs, dtype=dtype)
    options, geometry = case.options(), case.geometry()

    y = kernels.conv2d(x, w, bias, **options)
    assert_equal(y, reference.conv2d(x, w, *geometry) + bias[:, None, None])
    slope = (0.0, 0.25)[seed % 2]
    assert_equal(kernels.conv2d(x, w, bias, slope=slope, **options), np.where(y > 0, y, dtype(slope) * y))
    gy = integers(rng, *y.shape, dtype=dtype)
    gx = kernels.conv2d_input_grad(gy, w, case.size, **options)
    assert_equal(gx, reference.conv2d_input_grad(gy, w, case.size, *geometry))
    gw = kernels.conv2d_weight_grad(x, gy, case.kernel, **options)
    assert_equal(gw, reference.conv2d_weight_grad(x, gy, case.kernel, *geometry))
    # One trilinear sum, three ways to take it apart.
    without_bias = y - bias[:, None, None]
    assert np.vdot(without_bias, gy) == np.vdot(x, gx) == np.vdot(w, gw)


def assert_equal(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("seed", range(40))
def test_random_geometries(seed: int) -> None:
    check(random_case(seed), np.float64 if seed % 4 == 0 else np.float32, seed)


EDGES = {
    # One output channel each side of what fills a row step or a panel of rows, so that no row is lost or doubled.
    **{
        f"rows={o}, {channels} channels": Case(1, channels, (5, 4), o, (3, 3), padding=(1, 1))
        for o in range(1, PANEL_ROWS + ROW_STEP + 2)
        for channels in (3, 5)
    },
    # Pixels about the width of a stripe, and a block that is not whole.
    **{
        f"pixels={w}, {channels} channels": Case(1, channels, (1, w), 5, (1, 3), padding=(0, 1))
        for w in (1, STRIPE - 1, STRIPE, STRIPE + 1, 255, 256, 257, 523)
        for channels in (2, 5)
    },
    "rows of B in several blocks": Case(2, 61, (4, 3), 13, (3, 3), padding=(1, 1)),
    "more taps than a block has rows": Case(1, 2, (19, 18), 9, (17, 17), padding=(1, 0)),
    "more taps, strided": Case(1, 2, (36, 35), 9, (34, 34), (2, 2), (1, 1)),
    "many tiny images": Case(67, 3, (2, 2), 17, (3, 3), padding=(1, 1)),
    "one pixel": Case(5, 3, (1, 1), 9, (1, 1)),
    "1x1 with stride": Case(2, 3, (9, 7), 9, (1, 1), (2, 3)),
    "1x1 with padding": Case(2, 3, (4, 5), 9, (1, 1), padding=(2, 1)),
    "stride above the kernel": Case(2, 3, (11, 13), 9, (2, 2), (5, 4)),
    "padding above the kernel": Case(2, 3, (3, 4), 9, (2, 3), (1, 2), (4, 5)),
    "windows all in the padding": Case(1, 2, (1, 1), 9, (2, 2), (3, 3), (3, 3)),
    "depthwise": Case(2, 6, (5, 6), 6, (3, 3), padding=(1, 1), groups=6),
    "one output of many channels": Case(2, 40, (6, 5), 1, (3, 3), padding=(1, 1)),
    "thin, over 256 channels": Case(1, 300, (3, 4), 2, (2, 2), padding=(1, 0)),
    "thin, large image": Case(1, 12, (70, 66), 3, (3, 3), padding=(1, 1)),
    "thin, grouped": Case(2, 48, (6, 7), 4, (3, 2), padding=(1, 1), groups=2),
    "thin, dilated": Case(2, 16, (7, 8), 2, (3, 3), padding=(2, 4), dilation=(2, 3)),
    "thin, padding above the kernel": Case(2, 16, (5, 6), 2, (2, 3), padding=(3, 1)),
    "thin, no padding": Case(2, 9, (7, 8), 4, (3, 4)),
    "thin input": Case(2, 1, (9, 8), 40, (4, 4), (2, 2), (1, 1)),
    "thin input, bands of an image": Case(1, 4, (150, 130), 6, (5, 5), padding=(2, 2)),
    "thin input, dilated": Case(2, 3, (19, 17), 7, (3, 3), (2, 1), (3, 2), (2, 3)),
    "thin input, stride 3": Case(2, 2, (9, 8), 40, (4, 4), (2, 3), (1, 1)),
}


# One tap: the stage is the matrix. Rows of whole registers and not, blocks that end in an image and in a row, more
# channels than are staged together.
ONE_TAP = {
    f"{n} of {height} x {width}, {channels} channels": Case(n, channels, (height, width), 9, (1, 1))
    for n, height, width in ((3, 1, 1), (5, 3, 7), (3, 17, STRIPE // 2), (2, 9, STRIPE), (2, 3, 300), (2, 2, 512))
    for channels in (5, 300)
}


# One block of k, so that sums are outputs; and whether B is packed: not if rows are whole stripes, or the stage is B.
DIRECT = {
    "direct, 1x1": (Case(2, 7, (3, 20), 9, (1, 1)), False),
    "direct, 1x1, long sums": (Case(2, 256, (8, STRIPE), 13, (1, 1)), False),
    "direct": (Case(2, 3, (8, STRIPE), 13, (3, 3), padding=(1, 1)), False),
    "direct, long sums": (Case(1, 28, (4, STRIPE), PANEL_ROWS + 1, (3, 3), padding=(1, 1)), False),
    "direct, strided": (Case(2, 3, (16, 2 * STRIPE), 2 * ROW_STEP + 1, (4, 4), (2, 2), (1, 1)), False),
    "direct, dilated": (Case(2, 3, (9, 2 * STRIPE + 3), 5, (3, 2), (1, 2), (1, 0), (2, 4)), False),
    "direct, grouped": (Case(2, 8, (4, 2 * STRIPE), 10, (3, 3), padding=(1, 1), groups=2), False),
    "direct, other widths": (Case(2, 6, (6, 11), 9, (3, 3), padding=(1, 1)), True),
    "direct, other widths, grouped": (Case(2, 10, (6, STRIPE + 2), 10, (3, 2), groups=2), True),
}


@pytest.mark.parametrize("name", [*EDGES, *ONE_TAP, *DIRECT])
def test_edges(name: str) -> None:
    check((EDGES | ONE_TAP | {name: case for name, (case, _) in DIRECT.items()})[name])


@pytest.mark.parametrize("past_the_cache", [False, True])
@pytest.mark.parametrize("name", DIRECT)
def test_sums_go_straight_to_the_output(name: str, past_the_cache: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case, packed = DIRECT[name]
    plans = []

    def sizes(*arguments: Any) -> product_sizes.Wide:
        plans.append(product_sizes.wide_sizes(*arguments))
        return plans[-1]

    monkeypatch.setattr(products, "wide_sizes", sizes)
    if past_the_cache:
        monkeypatch.setattr(memory, "_STREAM_BYTES", 0)
    rng = np.random.default_rng(2)
    x = integers(rng, case.n, case.channels, *case.size)
    w = integers(rng, case.outputs, case.channels // case.groups, *case.kernel)
    bias = integers(rng, case.outputs)
    y = kernels.conv2d(x, w, bias, **case.options())
    assert [(plan.product["direct"][0], plan.product["packed"][0]) for plan in plans] == [(1, packed)]
    assert_equal(y, reference.conv2d(x, w, *case.geometry()) + bias[:, None, None])
    assert_equal(kernels.conv2d(x, w, bias, slope=0.25, **case.options()), np.where(y > 0, y, y / 4))


@pytest.mark.parametrize("name", [*ONE_TAP, "rows of B in several blocks", "1x1 with padding"])
def test_large_results_go_past_the_cache(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows begin at whole registers; the others do not. The bits are the same."""
    monkeypatch.setattr(memory, "_STREAM_BYTES", 0)
    case = (EDGES | ONE_TAP)[name]
    check(case)
    rng = np.random.default_rng(1)
    x = integers(rng, case.n, case.channels, *case.size)
    w = integers(rng, case.outputs, case.channels, *case.kernel)
    expected = kernels.conv2d(x, w, **case.options())
    out = np.empty(expected.size + 1, np.float32)[1:].reshape(expected.shape)  # no register of it is aligned
    assert_equal(kernels.conv2d(x, w, out=out, **case.options()), expected)


@pytest.mark.parametrize("seed", range(12))
def test_transpose(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    groups = int(rng.choice([1, 2]))
    stride, dilation = ((int(rng.integers(1, 4)), int(rng.integers(1, 4))) for _ in range(2))
    kernel = (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    extra = tuple(int(rng.integers(0, max(s, d))) for s, d in zip(stride, dilation, strict=True))
    padding = tuple(int(rng.integers(0, 2)) for _ in range(2))
    x = integers(rng, 2, 4 * groups, 5, 6)
    w = integers(rng, 4 * groups, 3, *kernel)
    bias = integers(rng, 3 * groups)
    y = kernels.conv_transpose2d(
        x, w, bias, stride=stride, padding=padding, output_padding=extra, dilation=dilation, groups=groups
    )
    expected = reference.conv_transpose2d(x, w, stride, padding, extra, dilation, groups)
    assert_equal(y, expected + bias[:, None, None])


@pytest.mark.parametrize(
    "case",
    [
        Case(3, 64, (14, 14), 128, (4, 4), (2, 2), (1, 1)),
        Case(2, 128, (16, 16), 64, (3, 3), padding=(1, 1)),
        Case(2, 64, (64, 64), 3, (3, 3), padding=(1, 1)),
        Case(2, 256, (8, 8), 512, (4, 4), (2, 2), (1, 1)),
        Case(2, 256, (32, 32), 256, (1, 1)),
    ],
)
def test_adjoint_of_large_layers(case: Case) -> None:
    """<conv2d(x, w), gy> = <x, input grad> = <w, weight grad>, all whole numbers below 2^53."""
    rng = np.random.default_rng(5)
    x, w = (
        integers(rng, case.n, case.channels, *case.size),
        integers(rng, case.outputs, case.channels, *case.kernel),
    )
    y = kernels.conv2d(x, w, **case.options())
    gy = integers(rng, *y.shape)
    gx = kernels.conv2d_input_grad(gy, w, case.size, **case.options())
    gw = kernels.conv2d_weight_grad(x, gy, case.kernel, **case.options())
    sums = [np.vdot(a.astype(np.float64), b.astype(np.float64)) for a, b in ((y, gy), (x, gx), (w, gw))]
    assert sums[0] == sums[1] == sums[2] != 0


@pytest.mark.parametrize("case", [EDGES["thin, grouped"], EDGES["rows of B in several blocks"], random_case(3)])
def test_layouts_of_memory(case: Case) -> None:
    rng = np.random.default_rng(6)
    x = integers(rng, case.n, case.channels, *case.size)
    w = integers(rng, case.outputs, case.channels // case.groups, *case.kernel)
    options = case.options()
    assert_any_layout(lambda x, w: kernels.conv2d(x, w, **options), x, w)
    gy = integers(rng, *kernels.conv2d(x, w, **options).shape)
    assert_any_layout(lambda gy, w: kernels.conv2d_input_grad(gy, w, case.size, **options), gy, w)
    assert_any_layout(lambda x, gy: kernels.conv2d_weight_grad(x, gy, case.kernel, **options), x, gy)


@pytest.mark.parametrize(
    "case",
    [
        Case(5, 40, (13, 12), 70, (4, 4), (2, 2), (1, 1)),
        Case(3, 40, (20, 21), 3, (3, 3), padding=(1, 1)),
        Case(1, 70, (4, 4), 70, (3, 3), padding=(1, 1)),
        Case(9, 3, (30, 30), 24, (4, 4), (2, 2), (1, 1)),
    ],
)
def test_same_bits_again_and_on_one_thread(case: Case) -> None:
    rng = np.random.default_rng(7)
    x = rng.standard_normal((case.n, case.channels, *case.size), np.float32)
    w = rng.standard_normal((case.outputs, case.channels, *case.kernel), np.float32)
    options = case.options()
    assert_same_bits(lambda: kernels.conv2d(x, w, **options))
    gy = kernels.conv2d(x, w, **options)
    assert_same_bits(lambda: kernels.conv2d_input_grad(gy, w, case.size, **options))
    assert_same_bits(lambda: kernels.conv2d_weight_grad(x, gy, case.kernel, **options))


@pytest.mark.parametrize("outputs", [2, 20])
@pytest.mark.parametrize("channels", [3, 9])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_go_where_they_belong(bad: float, channels: int, outputs: int) -> None:
    """Each alone at a corner, on an edge and inside; and nowhere else does a value change."""
    rng = np.random.default_rng(8)
    geometry = ((1, 1), (1, 1), (1, 1), 1)
    options = dict(zip(("stride", "padding", "dilation", "groups"), geometry, strict=True))
    w = integers(rng, outputs, channels, 3, 3)
    w[w == 0] = 1  # where 0 * inf would be, the order of sums would matter
    for place in ((0, 0), (5, 3), (2, 3)):
        x, gy = integers(rng, 2, channels, 6, 7), integers(rng, 2, outputs, 6, 7)
        x[1, channels // 2, *place] = bad
        y = reference.conv2d(x, w, *geometry)
        np.testing.assert_array_equal(kernels.conv2d(x, w, **options), y)
        np.testing.assert_array_equal(kernels.conv2d(x, w, slope=0.5, **options), np.where(y > 0, y, y / 2))
        np.testing.assert_array_equal(kernels.conv2d(x, w, slope=0, **options), np.where(y <= 0, 0, y))
        with np.errstate(invalid="ignore"):
            expected = reference.conv2d_weight_grad(x, gy, (3, 3), *geometry)
        np.testing.assert_array_equal(kernels.conv2d_weight_grad(x, gy, (3, 3), **options), expected)
        gy[1, 1, *place] = bad
        expected = reference.conv2d_input_grad(gy, w, (6, 7), *geometry)
        np.testing.assert_array_equal(kernels.conv2d_input_grad(gy, w, (6, 7), **options), expected)


def test_out() -> None:
    rng = np.random.default_rng(9)
    x, w = integers(rng, 2, 3, 6, 5), integers(rng, 4, 3, 3, 3)
    y = kernels.conv2d(x, w)
    gx, gw = kernels.conv2d_input_grad(y, w, (6, 5)), kernels.conv2d_weight_grad(x, y, (3, 3))
    stamped = kernels.conv_transpose2d(y, w)
    calls: list[tuple[Callable[..., np.ndarray], np.ndarray]] = [
        (lambda out: kernels.conv2d(x, w, out=out), y),
        (lambda out: kernels.conv2d_input_grad(y, w, (6, 5), out=out), gx),
        (lambda out: kernels.conv2d_weight_grad(x, y, (3, 3), out=out), gw),
        (lambda out: kernels.conv_transpose2d(y, w, out=out), stamped),
    ]
    for call, expected in calls:
        guarded = np.full(expected.size + 128, 77, np.float32)
        out = guarded[64:-64].reshape(expected.shape)
        assert call(out) is out
        np.testing.assert_array_equal(out, expected)
        assert (guarded[:64] == 77).all()
        assert (guarded[-64:] == 77).all()
        with pytest.raises(ValueError, match="out must be float32"):
            call(np.empty((*expected.shape[:3], expected.shape[3] + 1), np.float32))
    with pytest.raises(ValueError, match="shares memory"):
        kernels.conv2d(x, np.ones((3, 3, 1, 1), np.float32), out=x)


def test_nothing_to_sum_over() -> None:
    bias = np.arange(4, dtype=np.float32)
    no_channels = kernels.conv2d(np.ones((2, 0, 5, 5), np.float32), np.ones((4, 0, 3, 3), np.float32), bias)
    np.testing.assert_array_equal(no_channels, np.broadcast_to(bias[:, None, None], (2, 4, 3, 3)))
    activated = kernels.conv2d(
        np.ones((2, 0, 5, 5), np.float32), np.ones((4, 0, 3, 3), np.float32), bias - 2, slope=0.5
    )
    np.testing.assert_array_equal(activated[1, :, 2, 2], [-1, -0.5, 0, 1])
    w = np.ones((4, 3, 3, 3), np.float32)
    assert kernels.conv2d(np.ones((0, 3, 5, 5), np.float32), w, bias).shape == (0, 4, 3, 3)
    assert kernels.conv2d_input_grad(np.ones((0, 4, 3, 3), np.float32), w, (5, 5)).shape == (0, 3, 5, 5)
    no_images = kernels.conv2d_weight_grad(np.ones((0, 3, 5, 5), np.float32), np.ones((0, 4, 3, 3), np.float32), (3, 3))
    np.testing.assert_array_equal(no_images, np.zeros((4, 3, 3, 3), np.float32))
    no_outputs = kernels.conv2d_input_grad(np.ones((2, 0, 3, 3), np.float32), np.ones((0, 3, 3, 3), np.float32), (5, 5))
    np.testing.assert_array_equal(no_outputs, np.zeros((2, 3, 5, 5), np.float32))


X, W, GY = np.ones((2, 3, 6, 5)), np.ones((4, 3, 3, 3)), np.ones((2, 4, 4, 3))
MISTAKES = {
    "channels": (
        lambda: kernels.conv2d(X, np.ones((4, 64, 3, 3))),
        "conv2d: w.shape[1]=64 but x.shape[1]=3 (x is N,C,H,W; w is O,C/groups,kH,kW)",
    ),
    "axes of x": (lambda: kernels.conv2d(X[0], W), "conv2d: x must have 4 axes (N,C,H,W), got shape (3, 6, 5)"),
    "axes of w": (lambda: kernels.conv2d(X, W[0]), "conv2d: w must have 4 axes"),
    "bias": (
        lambda: kernels.conv2d(X, W, np.ones(3)),
        "conv2d: bias.shape=(3,), but there is one bias for each of the 4",
    ),
    "kernel too large": (
        lambda: kernels.conv2d(X, np.ones((4, 3, 3, 7))),
        "conv2d: the kernel covers 3x7 pixels (kernel (3, 7), dilation (1, 1)) but the padded input has 6x5",
    ),
    "empty kernel": (lambda: kernels.conv2d(X, np.ones((4, 3, 0, 3))), "conv2d: the kernel is 0x3"),
    "groups": (
        lambda: kernels.conv2d(X, np.ones((4, 3, 3, 3)), groups=2),
        "conv2d: input channels = 3 does not divide by groups=2",
    ),
    "groups and outputs": (
        lambda: kernels.conv2d(X, np.ones((4, 1, 3, 3)), groups=3),
        "conv2d: output channels = 4 does not divide by groups=3",
    ),
    "no groups": (lambda: kernels.conv2d(X, W, groups=0), "conv2d: groups must be at least 1, got 0"),
    "slope": (lambda: kernels.conv2d(X, W, slope=-0.5), "conv2d: slope must be at least 0, got -0.5"),
    "stride": (lambda: kernels.conv2d(X, W, stride=0), "conv2d: stride must be at least 1, got 0"),
    "padding": (lambda: kernels.conv2d(X, W, padding=(1, -1)), "conv2d: padding must be at least 0, got (1, -1)"),
    "dilation": (lambda: kernels.conv2d(X, W, dilation=0), "conv2d: dilation must be at least 1, got 0"),
    "gy of another size": (
        lambda: kernels.conv2d_input_grad(GY, W, (7, 5)),
        "conv2d_input_grad: gy is 4x3, but input_hw=(7, 5) with this kernel, stride, padding and dilation gives an "
        "output of 5x3",
    ),
    "gy's channels": (
        lambda: kernels.conv2d_input_grad(GY[:, :2], W, (6, 5)),
        "conv2d_input_grad: gy.shape[1]=2 but w.shape[0]=4 (gy is N,O,outH,outW; w is O,C/groups,kH,kW)",
    ),
    "gy's images": (
        lambda: kernels.conv2d_weight_grad(X, GY[:1], (3, 3)),
        "conv2d_weight_grad: gy.shape[0]=1 but x.shape[0]=2",
    ),
    "gy and the kernel": (
        lambda: kernels.conv2d_weight_grad(X, GY, (2, 3)),
        "conv2d_weight_grad: gy is 4x3, but the input=(6, 5) with this kernel",
    ),
    "transposed channels": (
        lambda: kernels.conv_transpose2d(X, W),
        "conv_transpose2d: w.shape[0]=4 but x.shape[1]=3 (x is N,I,H,W; w is I,O/groups,kH,kW)",
    ),
    "output_padding": (
        lambda: kernels.conv_transpose2d(GY, W, stride=2, output_padding=2),
        "conv_transpose2d: output_padding=(2, 2) must be less than stride=(2, 2) or dilation=(1, 1)",
    ),
    "nothing left": (
        lambda: kernels.conv_transpose2d(GY, W, padding=4),
        "conv_transpose2d: the output would be -2x-3",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_explained(name: str) -> None:
    call, message = MISTAKES[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_wrong_types_are_explained() -> None:
    with pytest.raises(TypeError, match="conv2d: w is float32 but x is float64"):
        kernels.conv2d(X, W.astype(np.float32))
    with pytest.raises(TypeError, match="conv2d: bias is float32 but input is float64"):
        kernels.conv2d(X, W, np.ones(4, np.float32))
    with pytest.raises(TypeError, match="conv2d: x must be float32 or float64, got int64"):
        kernels.conv2d(np.ones((2, 3, 6, 5), np.int64), W)
    with pytest.raises(TypeError, match="conv2d: stride must be an int or a pair"):
        kernels.conv2d(X, W, stride=1.5)
    with pytest.raises(TypeError, match="conv2d: groups must be an int"):
        kernels.conv2d(X, W, groups=1.0)


@pytest.mark.peer
@pytest.mark.parametrize("seed", range(200, 230))
def test_against_pytorch(seed: int) -> None:
    torch = pytest.importorskip("torch")
    case = random_case(seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((case.n, case.channels, *case.size))
    w = rng.standard_normal((case.outputs, case.channels // case.groups, *case.kernel))
    tx, tw = (torch.from_numpy(a).requires_grad_() for a in (x, w))
    ty = torch.nn.functional.conv2d(tx, tw, **case.options())
    gy = rng.standard_normal(tuple(ty.shape))
    ty.backward(torch.from_numpy(gy))
    close = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(kernels.conv2d(x, w, **case.options()), ty.detach().numpy(), **close)
    gx = kernels.conv2d_input_grad(gy, w, case.size, **case.options())
    np.testing.assert_allclose(gx, tx.grad.numpy(), **close)
    gw = kernels.conv2d_weight_grad(x, gy, case.kernel, **case.options())
    np.testing.assert_allclose(gw, tw.grad.numpy(), **close)
