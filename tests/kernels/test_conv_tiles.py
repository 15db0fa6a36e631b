"""Convolutions by bilinear algorithms: the identities themselves, and every path against the reference, to the bit."""

import itertools
import os
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from layouts import assert_any_layout, assert_same_bits, integers
from numba import njit

from scratchgan import kernels, ops
from scratchgan.gradcheck import Op, Verdict, check
from scratchgan.kernels.conv import bilinear, memory, paths, reference
from scratchgan.kernels.conv.paths import PATHS, chosen
from scratchgan.kernels.simd import ROW_STEP, lanes, runnable_units
from scratchgan.kernels.simd import UNIT as THIS_UNIT
from scratchgan.kernels.simd_transforms import transform
from scratchgan.kernels.upsample_conv import reference as upsample_reference

Pair = tuple[int, int]
LANES = lanes(4)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])

# What the outputs of a tile are, in one dimension: output j is the sum over (pixel, kernel element).
DEFINITIONS = {
    "UPSAMPLED": [
        [(0, 0), (1, 1), (1, 2)],
        [(1, 0), (1, 1), (2, 2)],
        [(1, 0), (2, 1), (2, 2)],
        [(2, 0), (2, 1), (3, 2)],
    ],
    # x[q] met element u at output 2q - 1 + 2 - u and at the one after; pixel 0 of the tile is gy[2q - 1].
    "UPSAMPLED_GRAD": [
        [(1, 1), (1, 2), (2, 0), (2, 1), (0, 2), (3, 0)],
        [(3, 1), (3, 2), (4, 0), (4, 1), (2, 2), (5, 0)],
    ],
    "STRIDED": [[(2 * j + u, u) for u in range(4)] for j in range(4)],
    "STRIDED_GRAD": [[(j + 1 + odd, 1 - odd), (j + odd, 3 - odd)] for j in range(4) for odd in range(2)],
    "SINGLE": [[(j + u, u) for u in range(3)] for j in range(4)],
    "SINGLE_GRAD": [[(j + u, 2 - u) for u in range(3)] for j in range(4)],
}


def pairs_of(name: str) -> dict[tuple[int, int, int], int]:
    """How often each pixel meets each kernel element in each output, by definition."""
    found: dict[tuple[int, int, int], int] = {}
    for at, pairs in enumerate(DEFINITIONS[name]):
        for pair in pairs:
            found[at, *pair] = found.get((at, *pair), 0) + 1
    return found


@pytest.mark.parametrize("name", DEFINITIONS)
def test_the_algorithm_is_the_convolution(name: str) -> None:
    """The coefficient of every weight times every pixel in every output, in one dimension: two follow from it."""
    line: bilinear.Line = getattr(bilinear, name)
    found: dict[tuple[int, int, int], float] = {}
    for at, output in enumerate(line.outputs):
        for p, scale in output.items():
            for kind in range(line.kinds):
                for (pixel, a), (element, b) in itertools.product(line.source[p].items(), line.weights[p].items()):
                    key = (at, line.kinds * pixel + kind, line.kinds * element + kind)
                    found[key] = found.get(key, 0) + scale * a * b
    expected = pairs_of(name)
    assert set(expected) <= set(found)
    for key, value in found.items():
        assert value == pytest.approx(expected.get(key, 0), abs=1e-12)
    square = bilinear.SQUARES[bilinear.LINES.index(line)]
    assert (square.side, square.kinds, square.products) == (
        len(DEFINITIONS[name]), line.kinds**2, len(line.source) ** 2,
    )  # fmt: skip
    assert square.span == 1 + max(pixel for pairs in DEFINITIONS[name] for pixel, _ in pairs)
    for at, place in enumerate(square.pixels_of):
        row, column = divmod(at, len(line.source))
        own = divmod(place, len(square.pixels))
        assert [square.pixels[i] for i in own] == [line.source[row], line.source[column]]


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_pixel_of_an_output_is_in_its_products(name: str) -> None:
    """So none that is not finite gets lost, even if its terms cancel."""
    line: bilinear.Line = getattr(bilinear, name)
    for output, pairs in zip(line.outputs, DEFINITIONS[name], strict=True):
        seen = {line.kinds * i + kind for p in output for i in line.source[p] for kind in range(line.kinds)}
        assert seen >= {pixel for pixel, _ in pairs}


_transform = transform([square.pixels for square in bilinear.SQUARES])


@njit
def transformed(which, source, target, rows, columns, count):  # type: ignore[no-untyped-def]
    _transform(
        which,
        target,
        0,
        (rows * LANES, LANES),
        source,
        0,
        (columns * LANES, LANES),
        (count, rows * rows * LANES, LANES),
    )


@pytest.mark.parametrize("number", range(len(bilinear.SQUARES)))
def test_a_matrix_from_both_sides(number: int) -> None:
    """Squares of registers, side by side, against NumPy's products."""
    matrix = bilinear.SQUARES[number].pixels
    dense = np.array([[row.get(i, 0.0) for i in range(1 + max(map(max, matrix)))] for row in matrix])
    size, count = dense.shape[1], 3
    source = integers(1, (size, size + count - 1, LANES), np.float32)
    target = np.full((count, len(matrix), len(matrix), LANES), 77, np.float32)
    transformed(number, source.reshape(-1), target.reshape(-1), len(matrix), size + count - 1, count)
    for i in range(count):
        expected = np.einsum("pi,ijl,qj->pql", dense, source[:, i : i + size].astype(np.float64), dense)
        np.testing.assert_allclose(target[i], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("outputs", "taps", "points"), [(2, 3, (0, 1, -1)), (4, 2, (0, 1, -1, -0.5)), (1, 3, (0, 1))])
def test_winograds_filter(outputs: int, taps: int, points: tuple[float, ...]) -> None:
    line = bilinear.winograd(outputs, taps, points)
    assert len(line.source) == outputs + taps - 1
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal(outputs + taps - 1), rng.standard_normal(taps)
    products = [
        sum(v * x[i] for i, v in pixels.items()) * sum(v * w[k] for k, v in weights.items())
        for pixels, weights in zip(line.source, line.weights, strict=True)
    ]
    y = [sum(v * products[p] for p, v in row.items()) for row in line.outputs]
    np.testing.assert_allclose(y, np.convolve(x, w[::-1], "valid"), rtol=1e-12)


class Case(NamedTuple):
    """A layer: batch, channels, input size, output channels and padding."""

    n: int
    channels: int
    size: Pair
    outputs: int
    padding: Pair = (1, 1)


def assert_whole(result: np.ndarray, expected: np.ndarray) -> None:
    """``result`` is the whole numbers ``expected``, but for rounding, which is then taken away."""
    np.testing.assert_allclose(result, expected, rtol=0, atol=0.1)
    np.rint(result, out=result)


def check_activation(operator: str, x: np.ndarray, w: np.ndarray, bias: np.ndarray, y: np.ndarray, *options) -> None:
    """With a slope the result has the bits of ``y`` put through the activation."""
    slope = x.dtype.type(0.2)
    activated = np.full_like(y, 77)
    assert PATHS[operator]["tiles"](x, w, bias, slope, activated, *options)
    np.testing.assert_array_equal(activated, np.where(y > 0, y, slope * y))


def check_conv(case: Case, kernel: int, stride: int, dtype: type) -> None:
    n, channels, size, outputs, padding = case
    x, w = integers(1, (n, channels, *size), dtype), integers(2, (outputs, channels, kernel, kernel), dtype)
    bias = integers(3, (outputs,), dtype)
    options = ((stride, stride), padding, (1, 1), 1)
    expected = reference.conv2d(x, w, *options) + bias[:, None, None]
    y = np.full_like(expected, 77)
    assert PATHS["conv2d"]["tiles"](x, w, bias, dtype(1), y, *options)
    check_activation("conv2d", x, w, bias, y, *options)
    assert_whole(y, expected)
    gy = integers(4, y.shape, dtype)
    gx, of_inputs = np.full_like(x, 77), integers(5, (channels,), dtype)
    assert PATHS["conv2d_input_grad"]["tiles"](gy, w, of_inputs, gx, *options)
    gx -= of_inputs[:, None, None]
    assert_whole(gx, reference.conv2d_input_grad(gy, w, size, *options))
    gw = np.full_like(w, 77)
    assert PATHS["conv2d_weight_grad"]["tiles"](x, gy, gw, *options)
    assert_whole(gw, reference.conv2d_weight_grad(x, gy, (kernel, kernel), *options))
    assert np.vdot(y - bias[:, None, None], gy) == np.vdot(x, gx) == np.vdot(w, gw)


def check_upsample(case: Case, dtype: type) -> None:
    n, channels, size, outputs, padding = case
    x, w = integers(1, (n, channels, *size), dtype), integers(2, (outputs, channels, 3, 3), dtype)
    bias = integers(3, (outputs,), dtype)
    options = ((2, 2), padding)
    expected = upsample_reference.upsample_conv2d(x, w, *options) + bias[:, None, None]
    y = np.full_like(expected, 77)
    assert PATHS["upsample_conv2d"]["tiles"](x, w, bias, dtype(1), y, *options)
    check_activation("upsample_conv2d", x, w, bias, y, *options)
    np.testing.assert_array_equal(y, expected)
    gy = integers(4, y.shape, dtype)
    gx = np.full_like(x, 77)
    assert PATHS["upsample_conv2d_input_grad"]["tiles"](gy, w, gx, *options)
    np.testing.assert_array_equal(gx, upsample_reference.upsample_conv2d_input_grad(gy, w, *options))
    gw = np.full_like(w, 77)
    assert PATHS["upsample_conv2d_weight_grad"]["tiles"](x, gy, gw, *options)
    np.testing.assert_array_equal(gw, upsample_reference.upsample_conv2d_weight_grad(x, gy, (3, 3), *options))
    assert np.vdot(y - bias[:, None, None], gy) == np.vdot(x, gx) == np.vdot(w, gw)


# A tile has 1, 2 or 4 outputs each way, and a register LANES images. Every edge, a prime, and a pair that differs.
SIZES = {
    **{f"size={h}": Case(2, 3, (h, h + 2), 5) for h in (1, 2, 3, 4, 5, 7, 8, 9)},
    **{f"padding={p}": Case(1, 2, (5, 6), 3, (p, 2)) for p in (0, 1, 2, 3, 4, 6)},
    **{f"batch={n}": Case(n, 2, (3, 4), 3) for n in (1, LANES - 1, LANES, LANES + 1, 2 * LANES)},
    **{f"channels={c}": Case(1, c, (2, 3), 3) for c in (1, LANES - 1, LANES, LANES + 1, 67, 257)},
    **{f"outputs={o}": Case(1, 2, (2, 3), o) for o in (1, ROW_STEP, 2 * LANES - 1, 2 * LANES, 2 * LANES + 1, 67, 257)},
    "a wide image": Case(LANES, 2, (3, 67), 3),
    "many rows": Case(1, 20, (131, 4), 2),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name: str) -> None:
    """All three families on each; float64 has other lanes and other blocks."""
    case = SIZES[name]
    check_upsample(case, np.float32)
    for kernel, stride in ((3, 1), (4, 2)):
        if all(size + 2 * p >= kernel for size, p in zip(case.size, case.padding, strict=True)):
            check_conv(case, kernel, stride, np.float32)


@pytest.mark.parametrize("n", [1, LANES // 2 - 1, LANES // 2, LANES // 2 + 1])
def test_float64(n: int) -> None:
    case = Case(n, 11, (5, 6), 13)
    check_upsample(case, np.float64)
    check_conv(case, 3, 1, np.float64)
    check_conv(case, 4, 2, np.float64)


OPERATORS = {
    "3x3": (lambda x, w: ops.conv2d(x, w, padding=1), 3),
    "4x4": (lambda x, w: ops.conv2d(x, w, stride=2, padding=1), 4),
    "upsampled": (lambda x, w: ops.upsample_conv2d(x, w), 3),
}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize(("n", "size"), [(1, 2), (1, 3), (1, 4), (1, 5), (2, 7), (LANES + 1, 2)], ids=str)
def test_second_order_at_the_edges_of_a_tile(operator: str, n: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operators' own test, to second order, where every convolution that can goes by tiles."""
    monkeypatch.setattr(paths, "LEAST_CHANNELS", 1)
    monkeypatch.setattr(paths, "MOST_REMAINING", np.inf)
    monkeypatch.setattr(paths, "MOST_REMAINING_OF_WEIGHT_GRAD", np.inf)
    used = []
    for name, by_path in PATHS.items():
        tiles = by_path["tiles"]
        monkeypatch.setitem(by_path, "tiles", lambda *a, name=name, tiles=tiles: used.append(name) or tiles(*a))
    function, kernel = OPERATORS[operator]
    rng = np.random.default_rng(size)
    x, w = rng.uniform(-1, 1, (n, 2, size, size + 1)), rng.uniform(-1, 1, (3, 2, kernel, kernel))
    report = check(Op.from_function(function, name=operator, linear_in=(0, 1)), x, w, order=2)
    assert report.verdict is Verdict.PASS, report
    family = "upsample_conv2d" if operator == "upsampled" else "conv2d"
    assert {family, f"{family}_input_grad", f"{family}_weight_grad"} <= set(used)


LAYERS = {
    "3x3": (
        lambda x, w: kernels.conv2d(x, w, padding=1),
        lambda gy, w: kernels.conv2d_input_grad(gy, w, gy.shape[2:], padding=1),
        lambda x, gy: kernels.conv2d_weight_grad(x, gy, (3, 3), padding=1),
    ),
    "4x4": (
        lambda x, w: kernels.conv2d(x, w, stride=2, padding=1),
        lambda gy, w: kernels.conv2d_input_grad(gy, w, (12, 8), stride=2, padding=1),
        lambda x, gy: kernels.conv2d_weight_grad(x, gy, (4, 4), stride=2, padding=1),
    ),
    "upsampled": (
        kernels.upsample_conv2d,
        kernels.upsample_conv2d_input_grad,
        lambda x, gy: kernels.upsample_conv2d_weight_grad(x, gy, (3, 3)),
    ),
}


def wide(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, w and y of a layer that takes this path."""
    rng = np.random.default_rng(6)
    x, k = rng.standard_normal((LANES, 40, 12, 8)).astype(np.float32), 4 if name == "4x4" else 3
    w = rng.standard_normal((50, 40, k, k)).astype(np.float32)
    return x, w, LAYERS[name][0](x, w)


def test_the_dispatch() -> None:
    x, w, y = wide("4x4")
    bias, slope = np.empty(0, np.float32), np.float32(1)
    strided = ((2, 2), (1, 1), (1, 1), 1)
    assert chosen("conv2d", x, w, bias, slope, y, *strided) == "tiles"
    assert chosen("conv2d_input_grad", y, w, bias, x, *strided) == "tiles"
    assert chosen("conv2d_weight_grad", x, y, w, *strided) == "tiles"
    assert chosen("conv2d", x[:3], w, bias, slope, y[:3], *strided) == "gemm"
    assert chosen("conv2d", x[:, :3], w[:, :3], bias, slope, y, *strided) == "gemm"
    assert chosen("conv2d", x, w, bias, slope, y[:, :, :4, :3], (3, 3), (1, 1), (1, 1), 1) == "gemm"
    x, w, y = wide("upsampled")
    assert chosen("upsample_conv2d", x, w, bias, slope, y, (2, 2), (1, 1)) == "tiles"
    assert chosen("upsample_conv2d_input_grad", y, w, x, (2, 2), (1, 1)) == "tiles"
    assert chosen("upsample_conv2d_weight_grad", x, y, w, (2, 2), (1, 1)) == "tiles"
    assert chosen("upsample_conv2d", x, w, bias, slope, y, (3, 3), (1, 1)) == "gemm"


@pytest.mark.parametrize("name", LAYERS)
def test_layouts_threads_and_memory(name: str) -> None:
    x, w, y = wide(name)
    for operator, arrays in zip(LAYERS[name], ((x, w), (y, w), (x, y)), strict=True):
        assert_same_bits(lambda operator=operator, arrays=arrays: operator(*arrays))
        if name == "4x4":
            assert_any_layout(operator, *arrays)


def test_nothing_is_written_beside_the_result() -> None:
    x, w, _ = wide("4x4")
    bias = np.zeros(0, np.float32)
    for n, columns in ((LANES, 4), (LANES - 3, 3)):
        guarded = np.full(n * 50 * 6 * columns + 128, 77, np.float32)
        out = guarded[64:-64].reshape(n, 50, 6, columns)
        image, slope = x[:n, :, :, : 2 * columns].copy(), np.float32(1)
        PATHS["conv2d"]["tiles"](image, w, bias, slope, out, (2, 2), (1, 1), (1, 1), 1)
        assert (guarded[:64] == 77).all()
        assert (guarded[-64:] == 77).all()


@pytest.mark.parametrize(("columns", "padding"), [(2 * LANES, 1), (2 * LANES, 0), (LANES + 4, 1)])
def test_large_results_go_past_the_cache(columns: int, padding: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole registers do; what lies across their borders, or is less than one, does not. The bits are the same."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((LANES, 32, LANES, columns), np.float32)
    w = rng.standard_normal((32, 32, 3, 3), np.float32)
    expected = kernels.conv2d(x, w, padding=padding)
    monkeypatch.setattr(memory, "_STREAM_BYTES", 0)
    np.testing.assert_array_equal(kernels.conv2d(x, w, padding=padding), expected)
    out = np.empty(expected.size + 1, np.float32)[1:].reshape(expected.shape)  # no register of it is aligned
    np.testing.assert_array_equal(kernels.conv2d(x, w, padding=padding, out=out), expected)


@pytest.mark.parametrize("columns", [32, 15])  # rows of 16 and 8 outputs
def test_large_results_of_few_input_channels_go_past_the_cache(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    x, w = rng.standard_normal((3, 3, 32, columns), np.float32), rng.standard_normal((13, 3, 4, 4), np.float32)
    options = {"stride": 2, "padding": 1}
    expected = kernels.conv2d(x, w, **options)
    np.testing.assert_allclose(expected, reference.conv2d(x, w, (2, 2), (1, 1), (1, 1), 1), rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(memory, "_STREAM_BYTES", 0)
    np.testing.assert_array_equal(kernels.conv2d(x, w, **options), expected)
    out = np.empty(expected.size + 1, np.float32)[1:].reshape(expected.shape)  # no register of it is aligned
    np.testing.assert_array_equal(kernels.conv2d(x, w, out=out, **options), expected)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_what_is_not_finite_stays_where_it_belongs(bad: float, name: str) -> None:
    """As the plain path has it; 3e38 is finite, but not the difference to its negative, which no output needs."""
    forward, input_grad, weight_grad = LAYERS[name]
    x, w, y = (array.round(0) for array in wide(name))
    w[w == 0] = 1
    x[1, 4, 5, 3], y[1, 3, 2, 1] = bad, bad
    if np.isfinite(bad):
        x[1, 4, 5, 4], y[1, 3, 2, 2] = -bad, -bad
    else:
        x[0, 1, 0, 7], y[2, 7, 5, 0] = bad, bad
    plain = Plain(name, x, w, y)
    with np.errstate(over="ignore", invalid="ignore"):
        np.testing.assert_array_equal(forward(x, w), plain.forward())
        np.testing.assert_array_equal(input_grad(y, w), plain.input_grad())
        np.testing.assert_array_equal(weight_grad(x, y), plain.weight_grad())


class Plain:
    """The matrix products of a layer, called by name."""

    def __init__(self, name: str, x: np.ndarray, w: np.ndarray, y: np.ndarray):
        self.x, self.w, self.y = x, w, y
        self.operator = "upsample_conv2d" if name == "upsampled" else "conv2d"
        stride = (2, 2) if name == "4x4" else (1, 1)
        self.options = ((2, 2), (1, 1)) if name == "upsampled" else (stride, (1, 1), (1, 1), 1)
        self.bias = () if name == "upsampled" else (np.empty(0, x.dtype),)

    def forward(self) -> np.ndarray:
        y = np.empty_like(self.y)
        PATHS[self.operator]["gemm"](self.x, self.w, np.empty(0, y.dtype), y.dtype.type(1), y, *self.options)
        return y

    def input_grad(self) -> np.ndarray:
        gx = np.empty_like(self.x)
        PATHS[f"{self.operator}_input_grad"]["gemm"](self.y, self.w, *self.bias, gx, *self.options)
        return gx

    def weight_grad(self) -> np.ndarray:
        gw = np.empty_like(self.w)
        PATHS[f"{self.operator}_weight_grad"]["gemm"](self.x, self.y, gw, *self.options)
        return gw


# Root mean square error, in units of float32's rounding of the result's root mean square, and how many times that of
# the plain path it may be. Winograd's filters take differences of pixels and multiply them by powers of 3/2.
@pytest.mark.parametrize(("name", "bound"), [("3x3", 4.0), ("4x4", 4.0), ("upsampled", 2.5)])
def test_the_error_is_bounded(name: str, bound: float) -> None:
    x, w, y = wide(name)
    plain, of = Plain(name, x, w, y), upsample_reference if name == "upsampled" else reference
    forward, input_grad, weight_grad = LAYERS[name]
    wide_x, wide_w, wide_y = (array.astype(np.float64) for array in (x, w, y))
    size, kernel = (x.shape[2:],) if of is reference else (), w.shape[2:]
    for precise, direct, fast in (
        (getattr(of, plain.operator)(wide_x, wide_w, *plain.options), plain.forward(), forward(x, w)),
        (
            getattr(of, f"{plain.operator}_input_grad")(wide_y, wide_w, *size, *plain.options),
            plain.input_grad(),
            input_grad(y, w),
        ),
        (
            getattr(of, f"{plain.operator}_weight_grad")(wide_x, wide_y, kernel, *plain.options),
            plain.weight_grad(),
            weight_grad(x, y),
        ),
    ):
        unit = np.finfo(np.float32).eps * np.sqrt((precise**2).mean())
        direct_error, error = (np.sqrt(((result - precise) ** 2).mean()) / unit for result in (direct, fast))
        assert error < bound * direct_error
        assert error < 8.0


PROGRAM = """
import sys
sys.path.insert(0, "tests/kernels")
import numpy as np
import test_conv_tiles as tiles
case = tiles.Case(tiles.LANES + 1, 9, (5, 7), 2 * tiles.LANES + 3)
tiles.check_upsample(case, np.float32)
tiles.check_conv(case, 3, 1, np.float32)
tiles.check_conv(case, 4, 2, np.float32)
print(tiles.THIS_UNIT.name)
"""


@pytest.mark.slow
@pytest.mark.parametrize("unit", [unit for unit in runnable_units() if unit != THIS_UNIT.name])
def test_the_other_vector_units(unit: str) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env={**os.environ, "SCRATCHGAN_SIMD": unit},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [unit]
