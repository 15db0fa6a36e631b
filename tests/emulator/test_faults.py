"""The emulator finds what it is there for: faults planted in copies of the kernels that are shipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scratchgan import kernels
from scratchgan.kernels.launch import THREADS, CompileError, Kernel, plane_grid

from .loader import COMPILER, Fault, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++, which is not installed")

FOLDER = Path(kernels.__file__).parent


def spoiled(tmp_path: Path, family: str, *edits: tuple[str, str], shared: tuple[str, str] | None = None) -> str:
    """Copy a family's kernels with ``edits`` made (and one in device.cuh); return the path for `Kernel`."""
    header = (FOLDER / "device.cuh").read_text()
    source = (FOLDER / family / "gpu.cu").read_text()
    for old, new in edits:
        assert old in source, f"{family}/gpu.cu no longer has {old!r}"
        source = source.replace(old, new)
    if shared:
        assert shared[0] in header, f"device.cuh no longer has {shared[0]!r}"
        header = header.replace(*shared)
    (tmp_path / family).mkdir(parents=True)
    (tmp_path / "device.cuh").write_text(header)
    (tmp_path / family / "gpu.cu").write_text(source)
    return str(tmp_path / family / "gpu.py")


def channel_sums(module: str) -> Callable[[], None]:
    gy = np.random.default_rng(0).standard_normal((4, 3, 40)).astype(np.float32)
    partial = np.zeros((3, 2, 2))
    return lambda: Kernel(module, "channel_sums")((3, 2), (64, 4), gy, partial, *gy.shape, False)


def leaky_relu(module: str) -> Callable[[], None]:
    x = np.linspace(-1, 1, 1001).astype(np.float32)
    return lambda: Kernel(module, "leaky_relu")((2,), (THREADS,), x, 0.5, np.zeros_like(x), x.size)


def test_what_is_shipped_passes(tmp_path: Path) -> None:
    with emulated():
        channel_sums(spoiled(tmp_path, "norm"))()


def test_a_missing_barrier(tmp_path: Path) -> None:
    barrier = "scratch[thread / 32] = value;\n    __syncthreads();"
    module = spoiled(tmp_path, "norm", shared=(barrier, "scratch[thread / 32] = value;"))
    with emulated(), pytest.raises(Fault, match="a barrier is missing") as caught:
        channel_sums(module)()
    assert caught.value.kind == "order"


def test_a_barrier_that_not_all_threads_reach(tmp_path: Path) -> None:
    barrier = "scratch[thread / 32] = value;\n    __syncthreads();"
    with_branch = "scratch[thread / 32] = value;\n    if (thread < 96) __syncthreads();"
    module = spoiled(tmp_path, "norm", shared=(barrier, with_branch))
    with emulated(), pytest.raises(Fault, match=r"divergent barrier at .*device.cuh:\d+.*thread 96") as caught:
        channel_sums(module)()
    assert caught.value.kind == "divergent barrier"


def test_a_shuffle_that_not_all_lanes_reach(tmp_path: Path) -> None:
    shuffle = "for (int distance = 16;"
    module = spoiled(tmp_path, "norm", shared=(shuffle, f"if (threadIdx.x != 5) {shuffle}"))
    with emulated(), pytest.raises(Fault) as caught:
        channel_sums(module)()
    assert caught.value.kind == "divergent warp"


def test_a_race_between_blocks(tmp_path: Path) -> None:
    module = spoiled(tmp_path, "norm", ("blockIdx.x * (long long)gridDim.y + blockIdx.y", "(long long)blockIdx.x"))
    with emulated(), pytest.raises(Fault, match=r"of partial .* differ") as caught:
        channel_sums(module)()
    assert caught.value.kind == "order"


@pytest.mark.parametrize(
    ("old", "new"), [("i, count - packs * PACK", "i, count - packs * PACK + 1"), ("packs * PACK + i]", "i - 1]")]
)
def test_a_write_outside_the_array(tmp_path: Path, old: str, new: str) -> None:
    with emulated(), pytest.raises(Fault, match=r"activation/gpu.cu|just outside y") as caught:
        leaky_relu(spoiled(tmp_path, "activation", (old, new)))()
    assert caught.value.kind == "memory"


def test_shared_memory_that_was_not_written_is_nan(tmp_path: Path) -> None:
    module = spoiled(tmp_path, "norm", shared=("if (thread % 32 == 0) scratch", "if (thread % 64 == 0) scratch"))
    gy, partial = np.ones((4, 3, 40), np.float32), np.zeros((3, 2, 2))
    with emulated():
        Kernel(module, "channel_sums")((3, 2), (64, 4), gy, partial, *gy.shape, False)
    assert np.isnan(partial).all()


def test_an_index_outside_a_shared_array(tmp_path: Path) -> None:
    module = spoiled(tmp_path, "pool", ("long long place[256]", "long long place[200]"))
    gy, index = np.ones((1, 4), np.float32), np.arange(4)[None]
    with emulated(), pytest.raises(Fault, match="index 200 is outside the array") as caught:
        Kernel(module, "max_pool_grad")((1,), (THREADS,), gy, index, np.zeros((1, 9), np.float32), 1, 4, 9)
    assert caught.value.kind == "index"


@pytest.mark.parametrize("edge", ["top", "bottom"])
def test_one_off_in_the_halo(tmp_path: Path, edge: str) -> None:
    """The window's padding test is one off: the kernel reads before or behind its plane."""
    edit = ("row < 0 ||", "row < -1 ||") if edge == "top" else ("row >= height)", "row > height)")
    x, y, index = np.ones((1, 5, 5), np.float32), np.zeros((1, 5, 5), np.float32), np.zeros((1, 5, 5), np.int64)
    window = (3, 3, 1, 1, 1, 1, 1, 1)
    module = spoiled(tmp_path, "pool", edit)
    with emulated(), pytest.raises(Fault) as caught:
        Kernel(module, "max_pool")(*plane_grid(1, 25), x, y, index, 1, 5, 5, 5, 5, *window)
    assert caught.value.kind in ("memory", "order")  # beyond the page, or what lies just beside the array was read


def test_an_error_of_the_compiler_names_the_line(tmp_path: Path) -> None:
    module = spoiled(tmp_path, "activation", ("const T a = x", "const T a = nowhere"))
    with emulated(), pytest.raises(CompileError, match=r"activation/gpu.cu:\d+:\d+: error: .*nowhere"):
        leaky_relu(module)()


def test_launch_checks_its_arguments() -> None:
    kernel = Kernel(str(FOLDER / "activation" / "gpu.py"), "leaky_relu")
    x = np.zeros(8, np.float32)
    with emulated():
        with pytest.raises(TypeError, match=r"kernel leaky_relu \(activation/gpu.cu\) takes 4 arguments \(x, slope"):
            kernel((1,), (256,), x)
        with pytest.raises(TypeError, match=r"y must be float32, got float64"):
            kernel((1,), (256,), x, 0.5, np.zeros(8), 8)
        with pytest.raises(ValueError, match=r"y .* must be in C order"):
            kernel((1,), (256,), x, 0.5, np.zeros(16, np.float32)[::2], 8)
        with pytest.raises(ValueError, match=r"count must be an integer that fits long long, got 2.5"):
            kernel((1,), (256,), x, 0.5, x.copy(), 2.5)
        with pytest.raises(TypeError, match=r"y must be an array on the GPU, got builtins.list"):
            kernel((1,), (256,), x, 0.5, [1.0], 8)
        with pytest.raises(ValueError, match=r"the block \(2048,\) must have 1 to 1024 threads"):
            kernel((1,), (2048,), x, 0.5, x.copy(), 8)
        with pytest.raises(ValueError, match=r"the grid \(0,\)"):
            kernel((0,), (256,), x, 0.5, x.copy(), 8)
