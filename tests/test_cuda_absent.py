"""What is said when a GPU is asked for and cannot be had: each line of it names what is missing and what to do."""

from __future__ import annotations

import importlib.abc
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from scratchgan.cli.errors import describe
from scratchgan.device import DeviceError, memory_error, require_cuda, to_device


class RuntimeFault(RuntimeError):
    """``cupy.cuda.runtime.CUDARuntimeError``."""


class OutOfMemoryError(MemoryError):
    """``cupy.cuda.memory.OutOfMemoryError``."""


def raising(error: Exception) -> Callable[..., Any]:
    def function(*_: Any) -> Any:
        raise error

    return function


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("cupy")
    module.cuda = types.SimpleNamespace(  # type: ignore[attr-defined]
        runtime=types.SimpleNamespace(
            CUDARuntimeError=RuntimeFault, getDeviceCount=lambda: 1, runtimeGetVersion=lambda: 13010
        ),
        nvrtc=types.SimpleNamespace(getVersion=lambda: (13, 0)),
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        Device=lambda *_: types.SimpleNamespace(mem_info=(3 << 30, 16 << 30)),
    )
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


class Finder(importlib.abc.MetaPathFinder):
    """Importing CuPy raises ``error``."""

    def __init__(self, error: Exception):
        self.error = error

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "cupy":
            raise self.error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("No module named 'cupy'"), ("not installed", "scratchgan[cuda12]")),
        (
            ImportError("libcudart.so.12: cannot open"),
            ("cannot be imported (libcudart.so.12", "only that one", "cuda13"),
        ),
    ],
    ids=["not installed", "built for another CUDA"],
)
def test_cupy_that_cannot_be_imported(
    error: Exception, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(error), *sys.meta_path])
    with pytest.raises(DeviceError) as caught:
        require_cuda()
    for word in words:
        assert word in str(caught.value)
    assert describe(caught.value) == (str(caught.value), 1)


def test_drivers(cupy: Any) -> None:
    runtime = cupy.cuda.runtime
    assert require_cuda() is cupy
    runtime.getDeviceCount = raising(RuntimeFault("cudaErrorInsufficientDriver: CUDA driver version is insufficient"))
    with pytest.raises(DeviceError, match=r"CuPy is for CUDA 13.1, and there is no NVIDIA driver or it is too old"):
        require_cuda()
    runtime.getDeviceCount = raising(RuntimeFault("cudaErrorNoDevice: no CUDA-capable device is detected"))
    with pytest.raises(DeviceError, match=r"no usable GPU \(cudaErrorNoDevice.*check the driver with nvidia-smi"):
        require_cuda()
    runtime.getDeviceCount = lambda: 0
    with pytest.raises(DeviceError, match="no GPU was found"):
        require_cuda()


def test_a_compiler_that_is_missing(cupy: Any) -> None:
    cupy.cuda.nvrtc.getVersion = raising(RuntimeError("libnvrtc.so.13: no such file"))
    with pytest.raises(DeviceError, match=r"NVRTC, CUDA's compiler, is missing \(libnvrtc.so.13.*ctk"):
        require_cuda()


def test_out_of_memory(cupy: Any) -> None:
    error = OutOfMemoryError("Out of memory allocating 9,663,676,416 bytes (allocated so far: 12,884,901,888 bytes).")
    message, code = describe(error)
    assert code == 1
    assert "allocating 9,663,676,416 bytes" in message  # what was asked
    assert "3,072 of the GPU's 16,384 MiB are free" in message
    assert "use a smaller --batch, --size or --width" in message
    assert memory_error(MemoryError()) is None
    assert describe(MemoryError())[0] == "out of memory: use a smaller --batch, --size or --limit"


def test_a_device_that_does_not_exist(cupy: Any) -> None:
    with pytest.raises(DeviceError, match="there is no cuda:7: this machine has 1 GPU, from cuda:0"):
        to_device(None, "cuda:7")
    with pytest.raises(ValueError, match="unknown device 'gpu': use 'cpu', 'cuda' or 'cuda:<index>'"):
        to_device(None, "gpu")
