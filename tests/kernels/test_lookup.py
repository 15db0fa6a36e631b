"""Tables and coordinates: `resample_axis` and `sample_pixels` against their definitions, exactly; memory and errors."""

import numpy as np
import pytest
from layouts import LARGE, assert_any_layout, assert_same_bits, integers

from scratchgan import kernels
from scratchgan.kernels.resampling import Table
from scratchgan.kernels.resampling import reference as tables
from scratchgan.kernels.sampling import reference as sampled

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
ROWS = [[(0, 2.0), (3, -1.0)], [], [(1, 1.0)], [(3, 0.5), (3, 0.25), (0, 1.0)], [(2, 4.0)]]


@dtypes
@pytest.mark.parametrize(("shape", "axis"), [((4,), 0), ((2, 4), 1), ((2, 3, 4, 5), 2), ((3, 4, 6), -2), ((4, 7), 0)])
def test_a_table_and_its_transpose(shape: tuple[int, ...], axis: int, dtype: type) -> None:
    table = Table.from_rows(4, ROWS)
    x = integers(1, shape, dtype)
    y = kernels.resample_axis(x, table, axis)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, tables.resample_axis(x, table, axis))
    gy = integers(2, y.shape, dtype)
    assert np.vdot(y, gy) == np.vdot(x, kernels.resample_axis(gy, table.transposed, axis))
    assert table.transposed.transposed is table
    np.testing.assert_array_equal(tables.matrix(table.transposed), tables.matrix(table).T)


@dtypes
@pytest.mark.parametrize("shape", [(2, 3, 6, 2, 9), (1, 1, 4, 4, 300), (3, 2, 1, 1, 5)])
def test_looked_up_pixels_and_both_gradients(shape: tuple[int, ...], dtype: type) -> None:
    n, c, pixels, taps, points = shape
    x, gy = integers(3, (n, c, pixels), dtype), integers(4, (n, c, points), dtype)
    weight = integers(5, (n, taps, points), dtype)
    index = np.random.default_rng(6).integers(-1, pixels, (n, taps, points))
    y = kernels.sample_pixels(x, weight, index)
    gx = kernels.sample_pixels_input_grad(gy, weight, index, pixels)
    gw = kernels.sample_pixels_weight_grad(x, gy, index)
    np.testing.assert_array_equal(y, sampled.sample_pixels(x, weight, index))
    np.testing.assert_array_equal(gx, sampled.sample_pixels_input_grad(gy, weight, index, pixels))
    np.testing.assert_array_equal(gw, sampled.sample_pixels_weight_grad(x, gy, index))
    assert np.vdot(y, gy) == np.vdot(x, gx) == np.vdot(weight, gw)


def test_what_is_outside_is_not_read() -> None:
    x, weight = np.full((1, 1, 2), np.nan, np.float32), np.full((1, 1, 3), np.inf, np.float32)
    index = np.full((1, 1, 3), -1)
    assert not kernels.sample_pixels(x, weight, index).any()
    assert not kernels.sample_pixels_input_grad(weight, weight, index, 2).any()
    assert not kernels.sample_pixels_weight_grad(x, weight, index).any()


def test_memory() -> None:
    table = Table.from_rows(4, ROWS)
    assert_any_layout(lambda x: kernels.resample_axis(x, table, 1), integers(7, (3, 4, 5), np.float32))
    x, weight = integers(8, (2, 3, 6), np.float32), integers(9, (2, 2, 5), np.float32)
    index = np.random.default_rng(6).integers(-1, 6, (2, 2, 5))
    assert_any_layout(lambda x, w: kernels.sample_pixels(x, w, index), x, weight)
    out = np.full((2, 3, 5), np.nan, np.float32)
    assert kernels.sample_pixels(x, weight, index, out=out) is out
    np.testing.assert_array_equal(out, kernels.sample_pixels(x, weight, np.asfortranarray(index)))


def test_the_same_bits_every_time() -> None:
    x = np.random.default_rng(9).standard_normal(LARGE, np.float32)
    table = Table.from_rows(48, [[(i, 0.3), ((7 * i) % 48, 0.7)] for i in range(40)])
    assert_same_bits(lambda: kernels.resample_axis(x, table, 3))
    assert_same_bits(lambda: kernels.resample_axis(x, table, 2))
    flat, index = x.reshape(4, 9, -1), np.random.default_rng(1).integers(-1, 48 * 48, (4, 4, 900))
    weight, gy = np.ones((4, 4, 900), np.float32) / 3, x.reshape(4, 9, -1)[:, :, :900]
    assert_same_bits(lambda: kernels.sample_pixels(flat, weight, index))
    assert_same_bits(lambda: kernels.sample_pixels_input_grad(gy, weight, index, 48 * 48))
    assert_same_bits(lambda: kernels.sample_pixels_weight_grad(flat, gy, index))


@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 4, 0)])
def test_zero_sizes_of_a_table(shape: tuple[int, ...]) -> None:
    assert kernels.resample_axis(np.ones(shape), Table.from_rows(4, ROWS), 1).shape == (shape[0], 5, shape[2])
    empty = Table.from_rows(0, [[], []])
    np.testing.assert_array_equal(kernels.resample_axis(np.ones((2, 0, 3)), empty, 1), np.zeros((2, 2, 3)))


X, W, INDEX = np.ones((2, 3, 6)), np.ones((2, 4, 5)), np.zeros((2, 4, 5), np.int64)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: kernels.resample_axis(X, Table.from_rows(4, ROWS), 1), ValueError, "has 3 elements, the table 4"),
        (lambda: kernels.resample_axis(X, Table.from_rows(4, ROWS), 3), ValueError, "axis 3 is outside the 3 axes"),
        (lambda: kernels.sample_pixels(X[0], W, INDEX), ValueError, r"x must have 3 axes \(N,C,P\)"),
        (lambda: kernels.sample_pixels(X[:1], W, INDEX), ValueError, "another batch size"),
        (lambda: kernels.sample_pixels(X, W[:, :3], INDEX), ValueError, r"weight is \(2, 3, 5\), but index"),
        (lambda: kernels.sample_pixels(X, W, INDEX.astype(np.int32)), ValueError, "index must be int64"),
        (lambda: kernels.sample_pixels(X, W, INDEX.tolist()), TypeError, "index is builtins.list"),
        (
            lambda: kernels.sample_pixels(X, W.astype(np.float32), INDEX),
            TypeError,
            "weight is float32 but x is float64",
        ),
        (lambda: kernels.sample_pixels_input_grad(X, W, INDEX, 9), ValueError, "another number of points"),
        (lambda: kernels.sample_pixels_weight_grad(X, X, INDEX), ValueError, "another number of points"),
    ],
)
def test_errors(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()
