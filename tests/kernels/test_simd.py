"""The vector units: the tile and the runs against NumPy, and whole convolutions on every unit this machine has."""

import os
import subprocess
import sys

import numpy as np
import pytest

from scratchgan.kernels import simd, simd_runs
from scratchgan.kernels.jit import kernel

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@kernel
def low(c, c_pitch, a, b, b_pitch, depth, first):
    simd.multiply_tile_low(c, 0, c_pitch, a, 0, 0, b, 0, b_pitch, depth, first)


@kernel
def middle(c, c_pitch, a, b, b_pitch, depth, first):
    simd.multiply_tile_middle(c, 0, c_pitch, a, 0, 0, b, 0, b_pitch, depth, first)


@kernel
def high(c, c_pitch, a, b, b_pitch, depth, first):
    simd.multiply_tile_high(c, 0, c_pitch, a, 0, 0, b, 0, b_pitch, depth, first)


@dtypes
@pytest.mark.parametrize("depth", [1, 2, simd.MAX_DEPTH])
@pytest.mark.parametrize(("tile", "steps"), [(low, 1), (middle, 2), (high, 3)])
def test_tile(tile, steps, depth, dtype) -> None:
    rng = np.random.default_rng(0)
    rows, columns = steps * simd.ROW_STEP, 2 * simd.lanes(dtype().itemsize)
    a = rng.integers(-9, 10, (rows, simd.PITCH)).astype(dtype)
    b = rng.integers(-9, 10, (depth, columns + 3)).astype(dtype)
    c = rng.integers(-9, 10, (rows, columns + 5)).astype(dtype)
    product = a[:, :depth] @ b[:, :columns]
    expected = c.copy()
    for first in (False, True):
        expected[:, :columns] = product if first else expected[:, :columns] + product
        tile(c.reshape(-1), columns + 5, a.reshape(-1), b.reshape(-1), columns + 3, depth, first)
        np.testing.assert_array_equal(c, expected)


@kernel
def write_low(y, y_pitch, present, count, bias, slope, a, b, b_rows, depth, streamed):
    simd.write_tile_low(y, y_pitch, y_pitch, present, count, bias, 1, slope, a, 0, 0, b, 0, b_rows, depth, streamed)


@kernel
def write_middle(y, y_pitch, present, count, bias, slope, a, b, b_rows, depth, streamed):
    simd.write_tile_middle(y, y_pitch, y_pitch, present, count, bias, 1, slope, a, 0, 0, b, 0, b_rows, depth, streamed)


@kernel
def write_high(y, y_pitch, present, count, bias, slope, a, b, b_rows, depth, streamed):
    simd.write_tile_high(y, y_pitch, y_pitch, present, count, bias, 1, slope, a, 0, 0, b, 0, b_rows, depth, streamed)


@dtypes
@pytest.mark.parametrize(("tile", "steps"), [(write_low, 1), (write_middle, 2), (write_high, 3)])
def test_tile_that_is_written_where_it_belongs(tile, steps, dtype) -> None:
    """Any part of it, and nothing else."""
    rng = np.random.default_rng(0)
    lanes, depth = simd.lanes(dtype().itemsize), 7
    rows, columns = steps * simd.ROW_STEP, 2 * lanes
    a = rng.integers(-9, 10, (rows, simd.PITCH)).astype(dtype)
    b = rng.integers(-9, 10, (depth + 2, columns + 3)).astype(dtype)
    order = rng.permutation(depth + 2)[:depth]
    b_rows = np.array([*order * (columns + 3), *[0] * simd.ROWS_AHEAD])
    bias = rng.integers(-9, 10, rows + 1).astype(dtype)
    product, slope = a[:, :depth] @ b[order, :columns] + bias[1:, None], dtype(0.25)
    product = np.where(product > 0, product, slope * product)
    memory = np.empty((rows + 2) * 3 * lanes + 64 // dtype().itemsize, dtype)
    y = memory[-memory.ctypes.data % 64 // dtype().itemsize :][: (rows + 2) * 3 * lanes].reshape(rows + 2, 3 * lanes)
    for present in range(1, rows + 1):
        for count, streamed in [(count, False) for count in range(1, columns + 1)] + [(columns, True)]:
            y[:] = expected = np.full_like(y, 77)
            expected[1 : 1 + present, :count] = product[:present, :count]
            tile(
                y.reshape(-1), 3 * lanes, present, count, bias, slope, a.reshape(-1), b.reshape(-1), b_rows, depth,
                streamed,
            )  # fmt: skip
            np.testing.assert_array_equal(y, expected)


@kernel
def runs(target, source, other, count, copied, halved, written, woven, added):
    simd_runs.copy_run(copied, 1, source, 2, count)
    simd_runs.copy_every_second(halved, 1, source, 2, count)
    simd_runs.write_run(written, 1, source, 2, target, target, count)
    simd_runs.write_interleaved(woven, 1, source, 2, other, 3, target, target, count)
    simd_runs.add_run(added, 1, source, 2, count)


@dtypes
def test_runs(dtype) -> None:
    """Every length up to three registers; the writes that promise to stop, stop."""
    lanes = simd.lanes(dtype().itemsize)
    source = np.arange(1, 8 * lanes + 8, dtype=dtype)
    source[::3] *= -1
    other = -source
    for count in range(1, 3 * lanes + 1):
        copied, halved, written, woven, added = (np.full(5 * lanes, 77, dtype) for _ in range(5))
        runs(dtype(0.5), source, other, count, copied, halved, written, woven, added)
        inside = slice(1, 1 + count)
        np.testing.assert_array_equal(copied[inside], source[2 : 2 + count])
        np.testing.assert_array_equal(halved[inside], source[2 : 2 + 2 * count : 2])
        sums = source[2 : 2 + count] + dtype(0.5)
        np.testing.assert_array_equal(written[inside], np.where(sums > 0, sums, sums / 2))
        pairs = np.stack([source[2 : 2 + count], other[3 : 3 + count]], 1).reshape(-1)[:count] + dtype(0.5)
        np.testing.assert_array_equal(woven[inside], np.where(pairs > 0, pairs, pairs / 2))
        np.testing.assert_array_equal(added[inside], source[2 : 2 + count] + 77)
        for array in (written, woven, added):
            assert array[0] == 77
            assert (array[1 + count :] == 77).all()


@kernel
def transpose(target, target_pitch, source, source_pitch):
    simd_runs.transpose_square(target, 0, target_pitch, source, 0, source_pitch)


@dtypes
def test_transpose(dtype) -> None:
    lanes = simd.lanes(dtype().itemsize)
    source = np.arange(lanes * (lanes + 3), dtype=dtype).reshape(lanes, lanes + 3)
    target = np.full((lanes, lanes + 1), -1, dtype)
    transpose(target.reshape(-1), lanes + 1, source.reshape(-1), lanes + 3)
    np.testing.assert_array_equal(target[:, :lanes], source[:, :lanes].T)
    assert (target[:, lanes] == -1).all()


PROGRAM = """
import numpy as np
from scratchgan import kernels
from scratchgan.kernels import simd
from scratchgan.kernels.conv import reference

rng = np.random.default_rng(0)
x, w = rng.integers(-4, 5, (2, 30, 9, 11)).astype("f"), rng.integers(-4, 5, (21, 30, 3, 3)).astype("f")
y = kernels.conv2d(x, w, stride=2, padding=(1, 2))
assert np.array_equal(y, reference.conv2d(x, w, (2, 2), (1, 2), (1, 1), 1))
print(simd.UNIT.name)
"""


def run(unit: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env={**os.environ, "SCRATCHGAN_SIMD": unit},
        capture_output=True,
        text=True,
        timeout=250,
    )


@pytest.mark.parametrize("unit", [unit for unit in simd.runnable_units() if unit != simd.UNIT.name])
def test_convolutions_on_the_other_units(unit: str) -> None:
    """A fresh process for each, since the unit is chosen, once, when the kernels are loaded."""
    result = run(unit)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [unit]


def test_a_unit_that_is_not_there() -> None:
    result = run("quantum")
    assert result.returncode != 0
    assert "SCRATCHGAN_SIMD=quantum: this processor can run " in result.stderr
