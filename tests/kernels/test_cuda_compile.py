"""Compiling, keeping, loading and launching through CuPy, on a stand-in for what of it that takes."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchgan.kernels import cache
from scratchgan.kernels.cuda_compile import CuPyRunner
from scratchgan.kernels.cuda_source import MANY, CompileError
from scratchgan.kernels.launch import Kernel, LaunchError, on_compile, replaced_by

SOURCE = """#include "shared.cuh"
extern "C" __global__ void twice(const T* x, T* y, int count) {}
extern "C" __global__ void each(const Arrays xs, Arrays ys, const Counts count) {}
"""


class DriverError(RuntimeError):
    pass


class CompileException(Exception):
    pass


class Array(np.ndarray):
    """An array "on the GPU" ``index``."""

    index = 0

    @property
    def device(self) -> Any:
        return types.SimpleNamespace(id=self.index)

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self.ctypes.data)


def on_gpu(*numbers: float, index: int = 0) -> Any:
    array = np.array(numbers, np.float32).view(Array)
    array.index = index
    return array


class Fake(types.ModuleType):
    """``cupy``: what was compiled and launched is in ``compiled`` and ``launched``."""

    __version__ = "14.0"
    ndarray = Array

    def __init__(self) -> None:
        super().__init__("cupy")
        self.compiled: list[str] = []
        self.launched: list[tuple[Any, ...]] = []
        self.log = ""  # of a compiler that fails
        self.refusal = ""  # of a driver
        compiler = types.ModuleType("cupy.cuda.compiler")
        compiler.CompileException = CompileException  # type: ignore[attr-defined]
        compiler.compile_using_nvrtc = self.compile  # type: ignore[attr-defined]
        nvrtc = types.ModuleType("cupy.cuda.nvrtc")
        nvrtc.getVersion = lambda: (13, 0)  # type: ignore[attr-defined]
        self.cuda = types.ModuleType("cupy.cuda")
        vars(self.cuda).update(
            compiler=compiler, nvrtc=nvrtc, driver=types.SimpleNamespace(CUDADriverError=DriverError),
            runtime=types.SimpleNamespace(getDevice=lambda: 0, runtimeGetVersion=lambda: 13000),
            Device=lambda: types.SimpleNamespace(compute_capability="90"),
        )  # fmt: skip
        self.modules = {"cupy": self, "cupy.cuda": self.cuda, compiler.__name__: compiler, nvrtc.__name__: nvrtc}

    def compile(self, text: str, options: tuple[str, ...], filename: str) -> tuple[bytes, None]:
        if self.log:
            raise CompileException(self.log)
        self.compiled.append(text)
        return b"code of " + text.encode(), None

    def RawModule(self, path: str) -> Any:
        if not Path(path).read_bytes().startswith(b"code of "):
            raise DriverError("CUDA_ERROR_INVALID_IMAGE")
        return types.SimpleNamespace(get_function=self.function)

    def function(self, name: str) -> Any:
        def launch(grid: Any, block: Any, arguments: Any, shared_mem: int) -> None:
            if self.refusal:
                raise DriverError(self.refusal)
            self.launched.append((name, grid, block, arguments))

        return launch


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    fake = Fake()
    for name, module in fake.modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("SCRATCHGAN_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "family").mkdir()
    (tmp_path / "family" / "gpu.cu").write_text(SOURCE)
    (tmp_path / "family" / "shared.cuh").write_text("// nothing\n")
    return fake


def twice(tmp_path: Path, x: Any = None) -> None:
    """Launch the kernel ``twice`` through a new runner, as a new process would."""
    x = on_gpu(1, 2, 3) if x is None else x
    with replaced_by(CuPyRunner()):
        Kernel(str(tmp_path / "family" / "gpu.py"), "twice")((1,), (32,), x, x.copy(), 3)


def test_a_kernel_is_compiled_once_and_kept(cupy: Fake, tmp_path: Path) -> None:
    names: list[str] = []
    with on_compile(names.append):
        twice(tmp_path)
        twice(tmp_path)
    assert names == ["family.twice"]
    assert len(cupy.compiled) == 1
    assert len(cupy.launched) == 2
    assert [type(argument) for argument in cupy.launched[0][3]] == [Array, Array, np.int32]
    text = cupy.compiled[0]
    assert text.startswith("typedef float T;\n#define T_BITS 32\n")
    assert '#line 2 "family/gpu.cu"' in text  # the compiler's lines are those of the file
    assert '#include "shared.cuh"' not in text


def test_a_change_is_compiled_anew(cupy: Fake, tmp_path: Path) -> None:
    twice(tmp_path)
    (tmp_path / "family" / "gpu.cu").write_text(SOURCE + "// changed\n")
    twice(tmp_path)
    assert len(cupy.compiled) == 2


def test_a_damaged_file_is_compiled_anew(cupy: Fake, tmp_path: Path) -> None:
    twice(tmp_path)
    (kept,) = (tmp_path / "cache" / "cuda").glob("*.cubin")
    kept.write_bytes(b"half of")
    twice(tmp_path)
    assert len(cupy.compiled) == 2
    assert kept.read_bytes().startswith(b"code of ")


def test_a_cache_that_cannot_be_written(cupy: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(cache, "_warned", False)
    monkeypatch.setenv("SCRATCHGAN_CACHE_DIR", str(tmp_path / "file"))  # permissions do not stop root
    with pytest.warns(RuntimeWarning, match="SCRATCHGAN_CACHE_DIR"):
        twice(tmp_path)
    assert len(cupy.launched) == 1


def test_a_compilers_error_in_an_edited_source(cupy: Fake, tmp_path: Path) -> None:
    cupy.log = 'family/gpu.cu(2): error: identifier "nowhere" is undefined'
    with pytest.raises(CompileError) as caught:
        twice(tmp_path)
    assert "family/gpu.cu does not compile for sm_90 with T=float" in str(caught.value)
    assert cupy.log in str(caught.value)


def test_a_launch_that_the_driver_refuses(cupy: Fake, tmp_path: Path) -> None:
    cupy.refusal = "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"
    message = (
        r"kernel twice \(family/gpu.cu\): the launch failed \(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES\) .*float32 \(3,\)"
    )
    with pytest.raises(LaunchError, match=message):
        twice(tmp_path)


def test_an_array_on_another_device(cupy: Fake, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"x is on cuda:1, but the current device is cuda:0; move it with .to\('cuda:0'"
    ):
        twice(tmp_path, on_gpu(1, 2, 3, index=1))


def test_lists_are_passed_by_value(cupy: Fake, tmp_path: Path) -> None:
    xs, ys = ([on_gpu(1, 2), on_gpu(3)] for _ in range(2))
    kernel = Kernel(str(tmp_path / "family" / "gpu.py"), "each")
    with replaced_by(CuPyRunner()):
        kernel((1,), (32,), xs, ys, [2, 1])
        with pytest.raises(ValueError, match=f"xs takes 1 to {MANY} of a list, got {MANY + 1}"):
            kernel((1,), (32,), xs[:1] * (MANY + 1), ys, [2, 1])
        with pytest.raises(TypeError, match="ys must be float32, got float64"):
            kernel((1,), (32,), xs, [y.astype(np.float64) for y in ys], [2, 1])
    (_, _, _, (pointers, _, counts)) = cupy.launched[0]
    assert pointers.size == counts.size == 1  # what CuPy takes for a struct
    assert pointers.nbytes == 8 * MANY
    assert pointers["at"][0, :3].tolist() == [xs[0].ctypes.data, xs[1].ctypes.data, 0]
    assert counts["at"][0, :3].tolist() == [2, 1, 0]
