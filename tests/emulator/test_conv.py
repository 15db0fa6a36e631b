"""Convolution's CUDA kernels in every configuration, on small shapes, and the faults that the emulator must see.

Inputs are small integers, so that every order of adding gives the same float32 and the answer is exact.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from scratchgan import kernels
from scratchgan.kernels.conv import gpu_tiles as tiles
from scratchgan.kernels.conv import reference
from scratchgan.kernels.conv.gpu_tiles import FLAT, POINT, TAPS, Tile
from scratchgan.kernels.launch import Kernel
from scratchgan.kernels.upsample_conv import reference as upsample_reference

from .loader import COMPILER, Fault, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++, which is not installed")


def integers(*shape: int, dtype: object = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).integers(-3, 4, shape).astype(dtype)  # type: ignore[arg-type]


def precision_of(tile: Tile) -> str | None:
    return "tf32" if tile.tf32 else None


def only(monkeypatch: pytest.MonkeyPatch, tile: Tile, gather: int) -> None:
    """Every convolution takes this configuration."""
    name = "tf32" if tile.tf32 else str(tile.dtype)
    monkeypatch.setitem(tiles._TILES, name, {TAPS: (tile,), gather: (tile,)})


def forced(monkeypatch: pytest.MonkeyPatch, tile: Tile, split: bool) -> None:
    """Every layer takes this tile, with its sum shared by three blocks or not at all."""
    monkeypatch.setattr(tiles, "cheapest", lambda *args: (tile, 3 if split else 1))


@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize(
    ("tile", "gather"),
    tiles._convolve,
    ids=lambda v: f"{v.rows}x{v.columns}-{v.dtype}{'-tf32' * v.tf32}" if isinstance(v, Tile) else str(v),
)
def test_every_tile(tile: Tile, gather: int, split: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one tile of pixels, rows and channels that fill none, and the sum of a tile shared by blocks."""
    only(monkeypatch, tile, gather)
    forced(monkeypatch, tile, split)
    channels = 6 if gather == FLAT else 2 * tile.depth + 1
    kernel, stride, padding = ((1, 1), (1, 1), (0, 0)) if gather == POINT else ((3, 2), (2, 1), (1, 1))
    x = integers(2, channels, 12, 8, dtype=tile.dtype)
    w = integers(tile.rows + 1 if tile.rows < 64 else 19, channels, *kernel, dtype=tile.dtype)
    want = reference.conv2d(x, w, stride, padding, (1, 1), 1)
    gy = integers(*want.shape, dtype=tile.dtype)
    with emulated(orders=2) as emulator:
        got = kernels.conv2d(x, w, stride=stride, padding=padding, slope=0.5, precision=precision_of(tile))
        back = kernels.conv2d_input_grad(
            gy, w, x.shape[2:], stride=stride, padding=padding, precision=precision_of(tile)
        )
    np.testing.assert_array_equal(got, np.where(want > 0, want, want / 2))
    if gather == TAPS:  # the way back has many channels, so it is gathered so too
        np.testing.assert_array_equal(back, reference.conv2d_input_grad(gy, w, x.shape[2:], stride, padding, (1, 1), 1))
    assert ("conv.reduce" in emulator.launches) == split


@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize("tile", tiles._correlate, ids=lambda v: f"{v.rows}x{v.columns}-{v.dtype}{'-tf32' * v.tf32}")
def test_every_tile_of_the_weight_gradient(tile: Tile, split: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    forced(monkeypatch, tile, split)
    rows, channels = (3, 9) if tile.rows < 8 else (min(tile.rows, 32) + 9, 17)
    x, gy = integers(3, channels, 5, 7, dtype=tile.dtype), integers(3, rows, 3, 6, dtype=tile.dtype)
    want = reference.conv2d_weight_grad(x, gy, (3, 2), (2, 1), (1, 0), (1, 1), 1)
    with emulated(orders=2) as emulator:
        got = kernels.conv2d_weight_grad(x, gy, (3, 2), stride=(2, 1), padding=(1, 0), precision=precision_of(tile))
    np.testing.assert_array_equal(got, want)
    assert ("conv.reduce" in emulator.launches) == split


@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(
    ("rows", "groups", "channels", "size"), [(3, 1, 5, 3), (5, 2, 2, 3), (8, 1, 3, 1), (1, 3, 1, 3)]
)
def test_weight_gradient_of_few_output_channels(
    rows: int, groups: int, channels: int, size: int, dtype: object, split: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More pixels than a block's threads, rows that are longer and shorter than a thread's step."""
    monkeypatch.setattr(tiles, "SHORTEST", 1)
    monkeypatch.setattr(tiles, "PROCESSORS", 24 if split else 0)
    x = integers(3, channels * groups, 3 + size, 290, dtype=dtype)
    options = {"stride": (1, 2), "padding": (1, 0), "dilation": (2, 1)}
    kernel = (size, size)
    y = reference.conv2d(x, np.zeros((rows * groups, channels, *kernel), dtype), *options.values(), groups)
    gy = integers(*y.shape, dtype=dtype)
    want = reference.conv2d_weight_grad(x, gy, kernel, *options.values(), groups)
    with emulated(orders=2) as emulator:
        got = kernels.conv2d_weight_grad(x, gy, kernel, **options, groups=groups)
    np.testing.assert_array_equal(got, want)
    assert "conv.correlate_thin" in emulator.launches
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
        y = y + bias[:, None, None]
        np.testing.assert_array_equal(kernels.conv2d(x, w, bias, **options), y)
        np.testing.assert_array_equal(kernels.conv2d(x, w, bias, slope=0.25, **options), np.where(y > 0, y, y / 4))
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
        activated = kernels.upsample_conv2d(x, w, scale=scale, padding=padding, slope=0.5)
        np.testing.assert_array_equal(activated, np.where(want > 0, want, want / 2))


def test_tf32_is_asked_for_and_rounds_its_inputs() -> None:
    """Off by the inputs' rounding to 10 bits of mantissa, and by no more."""
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape, np.float32) for shape in ((1, 16, 6, 6), (20, 16, 3, 3)))

    def rounded(a: np.ndarray) -> np.ndarray:
        bits = a.view(np.uint32)
        return (((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)).astype(np.float64)

    exact = kernels.conv2d(x.astype(np.float64), w.astype(np.float64))
    with emulated(orders=1):
        plain, tf32 = kernels.conv2d(x, w), kernels.conv2d(x, w, precision="tf32")
    np.testing.assert_allclose(plain, exact, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(tf32, kernels.conv2d(rounded(x), rounded(w)), rtol=1e-5, atol=1e-5)
    assert np.abs(tf32 - exact).max() > 10 * np.abs(plain - exact).max()


def test_tf32_where_it_is_not() -> None:
    x = np.ones((1, 1, 2, 2), np.float32)
    with pytest.raises(ValueError, match='conv2d: precision="tf32" is for float32 arrays on a GPU'):
        kernels.conv2d(x, x, precision="tf32")
    with pytest.raises(ValueError, match='precision must be None or "tf32"'):
        kernels.upsample_conv2d(x, x, precision="float16")


# Faults planted in a copy of the source: what is replaced, by what, and what the emulator calls it.
FAULTS = {
    "no barrier after filling the first slab": (
        "gpu.cu", "        arrive(0);\n    }\n    __syncthreads();\n", "        arrive(0);\n    }\n", "order",
    ),
    "no barrier after a slab": (
        "gpu.cu", "        if (todo > 1) arrive(buffer ^ 1);\n        __syncthreads();",
        "        if (todo > 1) arrive(buffer ^ 1);", "order",
    ),
    "a barrier that only half of the threads reach": (
        "gpu.cu", "        if (todo > 1) arrive(buffer ^ 1);\n        __syncthreads();",
        "        if (todo > 1) arrive(buffer ^ 1);\n        if (thread < THREADS / 2) __syncthreads();",
        "divergent barrier",
    ),
    "the halo is one column too wide": ("gpu.cu", "inside(s, width)", "inside(s, width + 1)", None),
    "the halo is one row too high": ("gpu.cu", "inside(r, height)", "inside(r, height + 1)", None),
    "pixels behind the last": ("gpu.cu", "at + e < pixels && ", "", "memory"),
    "rows behind the last": ("gpu.cu", "if (m >= rows) continue;", "", "memory"),
    "a slab of one channel too many": (
        "gpu.cu", "there && c + k < channels", "there && c + k <= channels", None,
    ),
    "blocks that share a sum and write to one place": (
        "gpu.cu", "parts + split * (images", "parts + 0 * (images", "order",
    ),
    "an index behind a slab": (
        "gpu.cu", "&b[buffer][k][own], from_b", "&b[buffer][k + 1][own], from_b", "index",
    ),
    "copies that are not waited for": ("gpu.cu", "        wait_for_copies();\n", "", None),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Detected: by the emulator where it names a kind, else at least by the exact answer."""
    file, right, wrong, kind = FAULTS[fault]
    folder = Path(tiles.__file__).parent
    (tmp_path / "conv").mkdir()
    for source in (*folder.glob("*.cu*"), folder.parent / "device.cuh"):
        target = tmp_path / ("conv" if source.parent == folder else "") / source.name
        text = source.read_text()
        if source.name == file:
            assert right in text, "the fault is planted where the kernel has changed"
            text = text.replace(right, wrong)
        target.write_text(text)
    tile = tiles._LOW
    planted = Kernel(
        str(tmp_path / "conv" / "gpu.py"), "convolve", types=(tile.dtype,), **dict(tile.kernel("convolve").macros)
    )
    only(monkeypatch, tile, TAPS)
    monkeypatch.setitem(tiles._convolve, (tile, TAPS), planted)
    forced(monkeypatch, tile, "share" in fault)
    x, w = integers(3, 9, 7, 7), integers(33, 9, 3, 3)
    want = reference.conv2d(x, w, (1, 1), (1, 1), (1, 1), 1)
    with emulated():
        if kind is not None:
            with pytest.raises(Fault) as caught:
                kernels.conv2d(x, w, padding=1)
            assert caught.value.kind == kind
            return
        got = None
        with contextlib.suppress(Fault):
            got = kernels.conv2d(x, w, padding=1)
        assert got is None or not np.array_equal(got, want)


def test_the_cheapest_tile() -> None:
    """What the model is for: no padding, no processor with more blocks than the others, no needless parts."""
    square, wide = tiles._SQUARE, tiles._WIDE
    # 64 rows: a tile of 128 would be half empty
    assert tiles.cheapest(tiles._TILES["float32"][TAPS], 0, 64, 64 * 1024, 1, 576, 1)[0].rows == 64
    # As many tiles as processors need no splits; one tile for all of them needs many
    assert tiles.cheapest((wide,), 0, 64, 128 * 4 * tiles.PROCESSORS, 1, 576, 1) == (wide, 1)
    assert tiles.cheapest((wide,), 0, 64, 128, 1, 64 * 1024, 1)[1] >= tiles.PROCESSORS
    # ... unless the parts are so large that adding them up takes longer
    assert tiles.cheapest((wide,), 0, 64, 128, 1, 64 * 1024, 10**10) == (wide, 1)
    # 200 wide tiles keep some processors twice as long as others; 392 squares are spread better
    assert tiles.cheapest((wide, square), 0, 128, 64 * 49, 4, 512, 10**8) == (square, 1)
