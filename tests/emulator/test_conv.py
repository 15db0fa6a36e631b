"""Convolution's CUDA kernels in every configuration, on small shapes, and the faults that the emulator must see.

Inputs are small integers, so that every order of adding gives the same float32 and the answer is exact.
"""

from __future__ import annotations

import numpy as np
import pytest

from scratchgan import kernels
from scratchgan.kernels.conv import gpu_tiles as tiles
from scratchgan.kernels.conv import reference
from scratchgan.kernels.conv.gpu_tiles import FLAT, POINT, TAPS, Tile
from scratchgan.kernels.upsample_conv import reference as upsample_reference

from .loader import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++, which is not installed")


def integers(*shape: int, dtype: object = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).integers(-3, 4, shape).astype(dtype)  # type: ignore[arg-type]


def precision_of(tile: Tile) -> str | None:
    return "tf32" if tile.tf32 else None


def only(monkeypatch: pytest.MonkeyPatch, tile: Tile, gather: int) -> None:
    """Every convolution takes this configuration."""
    name = "tf32" if tile.tf32 else str(tile.dtype)
    monkeypatch.setitem(tiles._TILES, name, {TAPS: (tile,), gather: (tile,)})


@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize(
    ("tile", "gather"),
    tiles._convolve,
    ids=lambda v: f"{v.rows}x{v.columns}-{v.dtype}{'-tf32' * v.tf32}" if isinstance(v, Tile) else str(v),
)
def test_every_tile(tile: Tile, gather: int, split: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one tile of pixels, rows and channels that fill none, and the sum of a tile shared by blocks."""
    only(monkeypatch, tile, gather)
    monkeypatch.setattr(tiles, "SHORTEST", 1)
    monkeypatch.setattr(tiles, "BUSY", 12 if split else 0)
    channels = 6 if gather == FLAT else 2 * tile.depth + 1
    kernel, stride, padding = ((1, 1), (1, 1), (0, 0)) if gather == POINT else ((3, 2), (2, 1), (1, 1))
    x = integers(2, channels, 12, 8, dtype=tile.dtype)
    w = integers(tile.rows + 1 if tile.rows < 64 else 19, channels, *kernel, dtype=tile.dtype)
    want = reference.conv2d(x, w, stride, padding, (1, 1), 1)
    gy = integers(*want.shape, dtype=tile.dtype)
    with emulated(orders=2) as emulator:
        got = kernels.conv2d(x, w, stride=stride, padding=padding, precision=precision_of(tile))
        back = kernels.conv2d_input_grad(
            gy, w, x.shape[2:], stride=stride, padding=padding, precision=precision_of(tile)
        )
    np.testing.assert_array_equal(got, want)
    if gather == TAPS:  # the way back has many channels, so it is gathered so too
        np.testing.assert_array_equal(back, reference.conv2d_input_grad(gy, w, x.shape[2:], stride, padding, (1, 1), 1))
    assert ("conv.reduce" in emulator.launches) == split


@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize(
    ("rows", "channels", "dtype", "precision"),
    [
        (65, 17, np.float32, None),
        (40, 5, np.float32, None),
        (3, 9, np.float32, None),
        (9, 8, np.float64, None),
        (3, 9, np.float64, None),
        (70, 3, np.float32, "tf32"),
        (20, 3, np.float32, "tf32"),
    ],
)
def test_every_tile_of_the_weight_gradient(
    rows: int, channels: int, dtype: object, precision: str | None, split: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "SHORTEST", 1)
    monkeypatch.setattr(tiles, "BUSY", 24 if split else 0)
    x, gy = integers(3, channels, 5, 7, dtype=dtype), integers(3, rows, 3, 6, dtype=dtype)
    want = reference.conv2d_weight_grad(x, gy, (3, 2), (2, 1), (1, 0), (1, 1), 1)
    with emulated(orders=2) as emulator:
        got = kernels.conv2d_weight_grad(x, gy, (3, 2), stride=(2, 1), padding=(1, 0), precision=precision)
    np.testing.assert_array_equal(got, want)
    assert ("conv.reduce" in emulator.launches) == split


@pytest.mark.parametrize("seed", range(8))
def test_options_in_combination(seed: int) -> None:
    """Stride, padding, dilation and groups, whose greatest common divisors differ, and all three operators."""
    rng = np.random.default_rng(seed)
    stride, dilation = (tuple(int(v) for v in rng.integers(1, 5, 2)) for _ in range(2))
    padding = tuple(int(v) for v in rng.integers(0, 4, 2))
    kernel = tuple(int(v) for v in rng.integers(1, 4, 2))
    groups, rows, channels = (int(v) for v in rng.integers(1, 4, 3))
    size = tuple(d * (k - 1) + 1 + int(rng.integers(0, 6)) for d, k in zip(dilation, kernel, strict=True))
    x = integers(2, channels * groups, *size, seed=seed)
    w = integers(rows * groups, channels, *kernel, seed=seed)
    bias = integers(rows * groups, seed=seed)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = reference.conv2d(x, w, stride, padding, dilation, groups)
    gy = integers(*y.shape, seed=seed)
    with emulated(orders=1):
        np.testing.assert_array_equal(kernels.conv2d(x, w, bias, **options), y + bias[:, None, None])
        np.testing.assert_array_equal(
            kernels.conv2d_input_grad(gy, w, size, **options),
            reference.conv2d_input_grad(gy, w, size, stride, padding, dilation, groups),
        )
        np.testing.assert_array_equal(
            kernels.conv2d_weight_grad(x, gy, kernel, **options),
            reference.conv2d_weight_grad(x, gy, kernel, stride, padding, dilation, groups),
        )


@pytest.mark.parametrize("scale", [(2, 2), (3, 1)])
@pytest.mark.parametrize("padding", [(1, 1), (0, 4)])
def test_upsampling_convolution(scale: tuple[int, int], padding: tuple[int, int]) -> None:
    """Padding beyond the kernel makes the transposed convolution's padding negative."""
    x, w = integers(2, 9, 4, 3), integers(10, 9, 3, 2)
    want = upsample_reference.upsample_conv2d(x, w, scale, padding)
    with emulated(orders=1):
        np.testing.assert_array_equal(kernels.upsample_conv2d(x, w, scale=scale, padding=padding), want)
