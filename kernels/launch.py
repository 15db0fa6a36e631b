"""Compiling and launching CUDA kernels: the one place that knows about CuPy's modules and NVRTC.

A family's ``gpu.cu`` holds its kernels, one ``extern "C"`` function each, written for a type ``T`` that is float or
double. The declaration in that file is the only one: ``Kernel`` reads the types of the arguments from it. ::

    // upsample/gpu.cu
    extern "C" __global__ void nearest(const T* x, T* y, long long count, int sh, int sw) { ... }

    # upsample/gpu.py
    _nearest = Kernel(__file__, "nearest")
    _nearest(grid_for(y.size), (THREADS,), x, y, y.size, sh, sw)

What is checked at every launch: the number of arguments, that arrays are on the current device, in C order and of
the type that the declaration names, that integers fit theirs, and the limits of grid and block. ``T`` is the dtype of
the first array declared ``T*``; None stands for a null pointer.

A kernel is compiled when it is first launched, by NVRTC for the device at hand and with no more than IEEE arithmetic
(CuPy's own compilation flushes subnormal numbers to zero), and kept on disk under a hash of the source with all that
it includes, its macros, the architecture and the versions. It runs on CuPy's current stream.

`replaced_by` puts another runner in CuPy's place. The tests' emulator is one: it runs the same files on the CPU.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .cache import cache_root, warn_uncached

THREADS = 256  # a block of kernels that go through flat arrays

_SCALARS = {
    "int": np.int32,
    "unsigned": np.uint32,
    "long long": np.int64,
    "float": np.float32,
    "double": np.float64,
    "bool": np.bool_,
    "unsigned char": np.uint8,
}
_C_NAMES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}

_OPTIONS = ("-std=c++17",)

# gridDim.x may be 2**31 - 1 and the other two 65,535 (CUDA C++ Programming Guide, "Technical Specifications")
_GRID_LIMITS = (2**31 - 1, 65_535, 65_535)
_BLOCK_LIMIT = 1024


class CompileError(RuntimeError):
    """A .cu file does not compile; the message holds the compiler's log."""


class LaunchError(RuntimeError):
    """The driver refused a launch."""


def grid_for(count: int, per_block: int = THREADS, most: int = 65_536) -> tuple[int]:
    """Return a grid of one block for each ``per_block`` of ``count`` elements, but at most ``most`` blocks.

    The kernel must stride by the whole grid (``FOR_EACH`` in ``device.cuh`` does): then any count is safe.
    """
    return (max(1, min(-(-count // per_block), most)),)


def plane_grid(planes: int, pixels: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (grid, block) for ``FOR_EACH_PIXEL`` of ``device.cuh``: neighbouring pixels of a plane side by side."""
    lanes = min(THREADS, 1 << max(0, pixels - 1).bit_length())
    rows = THREADS // lanes
    return (*grid_for(pixels, lanes), *grid_for(planes, rows, 65_535)), (lanes, rows)


def aligned(*arrays: Any) -> bool:
    """Whether every array begins at a multiple of 16 bytes, as loads and stores of that width require."""
    return all(address(array) % 16 == 0 for array in arrays)


def address(array: Any) -> int:
    """Return where an array begins."""
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


# The source of a kernel, and what it declares


def _expanded(path: Path, seen: tuple[Path, ...] = ()) -> str:
    """Return a source with its ``#include "..."`` lines replaced by those files, each once, with #line marks.

    NVRTC and the tests' compiler then read one text that is also what the cache is keyed by, and both name the file
    and the line of an error.
    """
    included = list(seen)

    def expand(file: Path) -> str:
        included.append(file)
        lines = [f'#line 1 "{file.parent.name}/{file.name}"']
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
            if match is None:
                lines.append(line)
                continue
            target = (file.parent / match[1]).resolve()
            if target not in included:
                if not target.is_file():
                    raise CompileError(f"{file}:{number} includes {match[1]!r}, but there is no {target}")
                lines.append(expand(target))
            lines.append(f'#line {number + 1} "{file.parent.name}/{file.name}"')
        return "\n".join(lines)

    return expand(path.resolve())


@functools.lru_cache(maxsize=64)
def _source(path: Path, changed: int) -> str:
    return _expanded(path)


@dataclass(frozen=True)
class Parameter:
    """One argument of a kernel as its source declares it: ``const T* x`` is ("x", "T", pointer, constant)."""

    name: str
    type: str
    pointer: bool
    constant: bool


_DECLARATION = r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*)?'
_PARAMETER = re.compile(r"(const\s+)?([A-Za-z_][\w ]*?)\s*(\*)?\s*(?:__restrict__\s+)?(\w+)")


def declared(source: str, where: str, name: str) -> list[Parameter]:
    """Return the parameters of the kernel ``name``, from its declaration in ``source``."""
    source = re.sub(r"//[^\n]*|/\*.*?\*/", " ", source, flags=re.S)
    match = re.search(_DECLARATION + rf"{re.escape(name)}\s*\(([^)]*)\)", source)
    if match is None:
        raise CompileError(f'{where} declares no kernel `extern "C" __global__ void {name}(...)`')
    parameters = []
    for text in match[1].split(","):
        if not text.strip():
            continue
        parts = _PARAMETER.fullmatch(text.strip())
        kind = " ".join(parts[2].split()) if parts else ""
        if parts is None or (kind != "T" and kind not in _SCALARS):
            known = ", ".join(["T", *_SCALARS])
            raise CompileError(
                f"{where}: kernel {name}: cannot read the parameter {text.strip()!r}; it is [const] TYPE[*] NAME "
                f"with one of the types {known}"
            )
        parameters.append(Parameter(parts[4], kind, parts[3] is not None, parts[1] is not None))
    return parameters


@dataclass(frozen=True)
class Program:
    """What is compiled: a source, the C type that T stands for, and the macros of the kernel's configuration."""

    path: Path
    source: str
    type: str
    macros: tuple[tuple[str, str], ...]

    @property
    def where(self) -> str:
        """The file's name for messages, such as conv/gpu.cu."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def configuration(self) -> str:
        """The type and the macros, for messages."""
        return ", ".join([f"T={self.type}", *(f"{name}={value}" for name, value in self.macros)])

    @property
    def text(self) -> str:
        """What the compiler reads. T is a type and no macro: CUDA's own headers have templates on a T."""
        bits = 8 * np.dtype(_SCALARS[self.type]).itemsize
        macros = [f"#define {name} {value}" for name, value in (("T_BITS", bits), *self.macros)]
        return "\n".join([f"typedef {self.type} T;", *macros, self.source])


class Runner(Protocol):
    """What launches kernels: CuPy, or the tests' emulator."""

    def is_array(self, value: Any) -> bool:
        """Whether ``value`` is an array that this runner's kernels can work on."""

    def namespace(self) -> Any:
        """The module that makes such arrays."""

    def check_device(self, kernel: str, name: str, array: Any) -> None:
        """Raise ValueError unless the array is where kernels are about to run."""

    def run(
        self, program: Program, name: str, grid: Sequence[int], block: Sequence[int], arguments: list[Any], shared: int
    ) -> None:
        """Launch the kernel ``name`` of a program; the arguments are arrays, None and NumPy scalars."""


KERNELS: list[Kernel] = []  # every kernel in every shipped configuration, for the tests that compile them all


class Kernel:
    """A CUDA kernel of the file ``gpu.cu`` beside ``module`` (a ``__file__``), in one configuration.

    ``macros`` are defined when it is compiled, besides the type ``T`` and ``T_BITS`` (32 or 64): tile sizes, for
    instance, so that one kernel in the source is several here. ``types`` are the dtypes that it is made for.
    """

    def __init__(
        self, module: str, name: str, *, types: Sequence[Any] = (np.float32, np.float64), **macros: int | str
    ) -> None:
        self.path = Path(module).with_name("gpu.cu")
        self.name = name
        self.types = tuple(np.dtype(t) for t in types)
        self.macros = tuple(sorted((key, str(value)) for key, value in macros.items()))
        self._parameters: list[Parameter] | None = None
        self._programs: dict[np.dtype[Any], Program] = {}
        KERNELS.append(self)

    def __repr__(self) -> str:
        configuration = "".join(f" {key}={value}" for key, value in self.macros)
        return f"kernel {self.name} ({self.path.parent.name}/{self.path.name}{configuration})"

    @property
    def parameters(self) -> list[Parameter]:
        if self._parameters is None:
            source = _source(self.path, self.path.stat().st_mtime_ns)
            self._parameters = declared(source, f"{self.path.parent.name}/{self.path.name}", self.name)
        return self._parameters

    def program(self, dtype: Any) -> Program:
        """Return what to compile for arrays of ``dtype``."""
        dtype = np.dtype(dtype)
        if dtype not in self._programs:
            if dtype not in self.types:
                raise TypeError(f"{self!r} is made for {', '.join(map(str, self.types))}, got {dtype}")
            source = _source(self.path, self.path.stat().st_mtime_ns)
            self._programs[dtype] = Program(self.path, source, _C_NAMES[dtype], self.macros)
        return self._programs[dtype]

    def __call__(self, grid: Sequence[int], block: Sequence[int], *arguments: Any, shared: int = 0) -> None:
        """Launch on the current stream: ``grid`` blocks of ``block`` threads, ``shared`` bytes of dynamic memory."""
        parameters = self.parameters
        if len(arguments) != len(parameters):
            names = ", ".join(p.name for p in parameters)
            raise TypeError(f"{self!r} takes {len(parameters)} arguments ({names}), got {len(arguments)}")
        runner = current_runner()
        dtype = next(
            (
                a.dtype
                for p, a in zip(parameters, arguments, strict=True)
                if p.pointer and p.type == "T" and a is not None
            ),
            self.types[0],
        )
        prepared = [
            self._pointer(runner, p, a, dtype) if p.pointer else self._scalar(p, a, dtype)
            for p, a in zip(parameters, arguments, strict=True)
        ]
        self._check_sizes(grid, block)
        runner.run(self.program(dtype), self.name, grid, block, prepared, shared)

    def _pointer(self, runner: Runner, parameter: Parameter, array: Any, dtype: np.dtype[Any]) -> Any:
        if array is None:
            return None
        if not runner.is_array(array):
            kind = f"{type(array).__module__}.{type(array).__name__}"
            raise TypeError(f"{self!r}: {parameter.name} must be an array on the GPU, got {kind}")
        wanted = dtype if parameter.type == "T" else np.dtype(_SCALARS[parameter.type])
        if array.dtype != wanted:
            raise TypeError(f"{self!r}: {parameter.name} must be {wanted}, got {array.dtype} {array.shape}")
        if not array.flags.c_contiguous:
            raise ValueError(
                f"{self!r}: {parameter.name} {array.shape} must be in C order, its strides are {array.strides}"
            )
        runner.check_device(repr(self), parameter.name, array)
        return array

    def _scalar(self, parameter: Parameter, value: Any, dtype: np.dtype[Any]) -> Any:
        wanted = dtype.type if parameter.type == "T" else _SCALARS[parameter.type]
        if issubclass(wanted, np.integer):
            limits = np.iinfo(wanted)
            if not isinstance(value, (int, np.integer)) or not limits.min <= value <= limits.max:
                raise ValueError(
                    f"{self!r}: {parameter.name} must be an integer that fits {parameter.type}, got {value!r}"
                )
        return wanted(value)

    def _check_sizes(self, grid: Sequence[int], block: Sequence[int]) -> None:
        if not 1 <= len(grid) <= 3 or any(not 1 <= g <= most for g, most in zip(grid, _GRID_LIMITS, strict=False)):
            raise ValueError(f"{self!r}: the grid {tuple(grid)} must be 1 to 3 numbers from 1 to {_GRID_LIMITS}")
        if not 1 <= len(block) <= 3 or min(block) < 1 or int(np.prod(block)) > _BLOCK_LIMIT:
            raise ValueError(f"{self!r}: the block {tuple(block)} must have 1 to {_BLOCK_LIMIT} threads")


# What runs it

_runner: ContextVar[Runner | None] = ContextVar("runner", default=None)
_listeners: ContextVar[tuple[Callable[[str], None], ...]] = ContextVar("listeners", default=())


@contextlib.contextmanager
def replaced_by(runner: Runner) -> Iterator[None]:
    """Within the block, launch through ``runner``, and take its arrays for arrays on a GPU."""
    token = _runner.set(runner)
    try:
        yield
    finally:
        _runner.reset(token)


@contextlib.contextmanager
def on_compile(callback: Callable[[str], None]) -> Iterator[None]:
    """Within the block, call ``callback`` with a CUDA kernel's name whenever one is about to be compiled."""
    token = _listeners.set((*_listeners.get(), callback))
    try:
        yield
    finally:
        _listeners.reset(token)


def announce(program: Program, name: str) -> None:
    """Tell the callbacks of `on_compile` that a kernel's compilation starts; runners call it."""
    for callback in _listeners.get():
        callback(f"{program.path.parent.name}.{name}")


def current_runner() -> Runner:
    return _runner.get() or _cupy_runner()


def is_gpu_array(value: Any) -> bool:
    """Whether ``value`` is an array that kernels of this module take: CuPy's, unless a runner is put in its place."""
    runner = _runner.get()
    if runner is not None:
        return runner.is_array(value)
    cupy = sys.modules.get("cupy")  # an array of CuPy's can only exist if CuPy was imported
    return cupy is not None and isinstance(value, cupy.ndarray)


@functools.cache
def _cupy_runner() -> Runner:
    return _CuPy()


class _CuPy:
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

    def check_device(self, kernel: str, name: str, array: Any) -> None:
        current = self.cupy.cuda.runtime.getDevice()
        if array.device.id != current:
            raise ValueError(
                f"{kernel}: {name} is on cuda:{array.device.id}, but the current device is cuda:{current}; move it "
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
            function(tuple(grid), tuple(block), tuple(arguments), shared_mem=shared)
        except self.cupy.cuda.driver.CUDADriverError as error:
            shapes = ", ".join(f"{a.dtype} {a.shape}" for a in arguments if self.is_array(a))
            raise LaunchError(
                f"kernel {name} ({program.where}): the launch failed ({error}) with grid {tuple(grid)}, block "
                f"{tuple(block)}, {shared} bytes of shared memory and the arrays {shapes}"
            ) from error

    def _load(self, program: Program, name: str) -> Any:
        cubin = self._compiled(program, name)
        try:
            return self.cupy.RawModule(path=str(cubin)).get_function(name)
        except self.cupy.cuda.driver.CUDADriverError:  # a damaged file: compile it again, once
            cubin.unlink(missing_ok=True)
            cubin = self._compiled(program, name)
            return self.cupy.RawModule(path=str(cubin)).get_function(name)

    def _compiled(self, program: Program, name: str) -> Path:
        """Return the file with the program's machine code, compiling it if the cache does not have it."""
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
        return Path(self._temporary.name)


def _written(path: Path, content: bytes) -> Path:
    """Write a file in one step, so that another process sees the whole of it or nothing."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
