"""Compiling and launching CUDA kernels through CuPy: the one place that knows about its modules and NVRTC.

A kernel is compiled when it is first launched, by NVRTC for the device at hand and with no more than IEEE arithmetic
(CuPy's own compilation flushes subnormal numbers to zero), and kept on disk under a hash of the source with all that
it includes, its macros, the architecture and the versions. It runs on CuPy's current stream.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .cache import cache_root, warn_uncached
from .cuda_source import MANY, CompileError, Program
from .launch import Kernel, LaunchError, address, announce

_OPTIONS = ("-std=c++17",)


class CuPyRunner:
    """Compiles with NVRTC, keeps the result on disk, loads it through a RawModule and launches it."""

    def __init__(self) -> None:
        import cupy

        self.cupy = cupy
        self._functions: dict[tuple[Program, str, int], Any] = {}
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def is_array(self, value: Any) -> bool:
        return isinstance(value, self.cupy.ndarray)

    def namespace(self) -> Any:
        return self.cupy

    def check_device(self, kernel: Kernel, name: str, array: Any) -> None:
        current = self.cupy.cuda.runtime.getDevice()
        if array.device.id != current:
            raise ValueError(
                f"{kernel!r}: {name} is on cuda:{array.device.id}, but the current device is cuda:{current}; move it "
                f"with .to('cuda:{current}'), or work inside `with cupy.cuda.Device({array.device.id}):`"
            )

    def run(
        self, program: Program, name: str, grid: Sequence[int], block: Sequence[int], arguments: list[Any], shared: int
    ) -> None:
        key = (program, name, self.cupy.cuda.runtime.getDevice())
        function = self._functions.get(key)
        if function is None:
            function = self._functions[key] = self._load(program, name)
        try:
            if shared > 49_152 and function.max_dynamic_shared_size_bytes < shared:
                function.max_dynamic_shared_size_bytes = shared
            values = [_by_value(a) if isinstance(a, list) else a for a in arguments]
            function(tuple(grid), tuple(block), tuple(values), shared_mem=shared)
        except self.cupy.cuda.driver.CUDADriverError as error:
            arrays = [a for argument in arguments for a in (argument if isinstance(argument, list) else [argument])]
            shapes = ", ".join(f"{a.dtype} {a.shape}" for a in arrays if self.is_array(a))
            raise LaunchError(
                f"kernel {name} ({program.where}): the launch failed ({error}) with grid {tuple(grid)}, block "
                f"{tuple(block)}, {shared} bytes of shared memory and the arrays {shapes}"
            ) from error

    def _load(self, program: Program, name: str) -> Any:
        cubin = self.compiled(program, name)
        try:
            return self.cupy.RawModule(path=str(cubin)).get_function(name)
        except self.cupy.cuda.driver.CUDADriverError:  # a damaged file: compile it again, once
            cubin.unlink(missing_ok=True)
            cubin = self.compiled(program, name)
            return self.cupy.RawModule(path=str(cubin)).get_function(name)

    def compiled(self, program: Program, name: str) -> Path:
        """Return the file with the program's machine code, compiling it if the cache does not have it.

        ``name`` is the kernel that it is for, which callbacks are told.
        """
        from cupy.cuda import compiler, nvrtc

        architecture = self.cupy.cuda.Device().compute_capability
        versions = (self.cupy.__version__, nvrtc.getVersion(), self.cupy.cuda.runtime.runtimeGetVersion())
        key = hashlib.sha256(repr((program.text, _OPTIONS, architecture, versions)).encode()).hexdigest()[:32]
        file = f"{program.path.parent.name}-{key}.cubin"
        folder = self._folder()
        if (folder / file).is_file():
            return folder / file
        announce(program, name)
        try:
            code, _ = compiler.compile_using_nvrtc(program.text, _OPTIONS, filename=program.path.name)
        except compiler.CompileException as error:
            raise CompileError(
                f"{program.where} does not compile for sm_{architecture} with {program.configuration}:\n{error}"
            ) from error
        try:
            return _written(folder / file, code)
        except OSError as error:
            warn_uncached(error)
            return _written(self._without_cache() / file, code)

    def _folder(self) -> Path:
        if self._temporary is not None:
            return Path(self._temporary.name)
        try:
            folder = cache_root() / "cuda"
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        except (OSError, RuntimeError) as error:
            warn_uncached(error)
            return self._without_cache()

    def _without_cache(self) -> Path:
        """The driver loads machine code from a file, so without a cache it goes to a folder that ends with us."""
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="scratchgan-cuda-")
            atexit.register(self._temporary.cleanup)
        return Path(self._temporary.name)


def _by_value(argument: list[Any]) -> Any:
    """Return a list as the struct of pointers or numbers that CuPy passes by value: an array of one element."""
    struct = np.zeros(1, [("at", np.int64, (MANY,))])
    numbers = argument if isinstance(argument[0], int) else [address(array) for array in argument]
    struct["at"][0, : len(numbers)] = numbers
    return struct


def _written(path: Path, content: bytes) -> Path:
    """Write a file in one step, so that another process sees the whole of it or nothing."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
