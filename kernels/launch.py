"""Launching CUDA kernels: a kernel as a Python object that checks its arguments, and the runner that it goes to.

A family's ``gpu.cu`` declares its kernels (``cuda_source.py`` says how), and ``Kernel`` reads the types of the
arguments from there. ::

    // upsample/gpu.cu
    extern "C" __global__ void nearest(const T* x, T* y, long long count, int sh, int sw) { ... }

    # upsample/gpu.py
    _nearest = Kernel(__file__, "nearest")
    _nearest(grid_for(y.size), (THREADS,), x, y, y.size, sh, sw)

What is checked at every launch: the number of arguments, that arrays are on the current device, in C order and of
the type that the declaration names, that integers fit theirs, and the limits of grid and block. ``T`` is the dtype of
the first array declared ``T*`` or ``Arrays``; None stands for a null pointer.

The runner is CuPy (``cuda_compile.py``). `replaced_by` puts another in its place. The tests' emulator is one: it runs
the same files on the CPU.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .cuda_source import C_NAMES, LISTS, MANY, SCALARS, CompileError, Parameter, Program, declared, source_of

__all__ = ["CompileError", "Parameter", "Program", "declared"]

THREADS = 256  # a block of kernels that go through flat arrays

# gridDim.x may be 2**31 - 1 and the other two 65,535 (CUDA C++ Programming Guide, "Technical Specifications")
_GRID_LIMITS = (2**31 - 1, 65_535, 65_535)
_BLOCK_LIMIT = 1024

_INTEGERS = {kind for kind in SCALARS.values() if issubclass(kind, np.integer)}
_LIMITS = {kind: (int(np.iinfo(kind).min), int(np.iinfo(kind).max)) for kind in _INTEGERS}

_REMEMBERED = 1024  # launches of a kernel whose arguments are not checked again


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


class Runner(Protocol):
    """What launches kernels: CuPy, or the tests' emulator."""

    def is_array(self, value: Any) -> bool:
        """Whether ``value`` is an array that this runner's kernels can work on."""

    def namespace(self) -> Any:
        """The module that makes such arrays."""

    def check_device(self, kernel: Kernel, name: str, array: Any) -> None:
        """Raise ValueError unless the array is where kernels are about to run."""

    def run(
        self, program: Program, name: str, grid: Sequence[int], block: Sequence[int], arguments: list[Any], shared: int
    ) -> None:
        """Launch the kernel ``name`` of a program.

        The arguments are arrays, None and NumPy scalars; a list of arrays for Arrays, and of ints for Counts.
        """


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
        self._integers: list[int] = []  # where they stand among the arguments
        self._others: list[int] = []
        self._known_integers: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._known_sizes: set[tuple[int, ...]] = set()
        self._programs: dict[np.dtype[Any], Program] = {}
        KERNELS.append(self)

    def __repr__(self) -> str:
        configuration = "".join(f" {key}={value}" for key, value in self.macros)
        return f"kernel {self.name} ({self.path.parent.name}/{self.path.name}{configuration})"

    @property
    def parameters(self) -> list[Parameter]:
        if self._parameters is None:
            source = source_of(self.path)
            self._parameters = declared(source, f"{self.path.parent.name}/{self.path.name}", self.name)
            for at, parameter in enumerate(self._parameters):
                whole = not parameter.pointer and SCALARS.get(parameter.type) in _INTEGERS
                (self._integers if whole else self._others).append(at)
        return self._parameters

    def program(self, dtype: Any) -> Program:
        """Return what to compile for arrays of ``dtype``."""
        dtype = np.dtype(dtype)
        if dtype not in self._programs:
            if dtype not in self.types:
                raise TypeError(f"{self!r} is made for {', '.join(map(str, self.types))}, got {dtype}")
            source = source_of(self.path)
            self._programs[dtype] = Program(self.path, source, C_NAMES[dtype], self.macros)
        return self._programs[dtype]

    def __call__(self, grid: Sequence[int], block: Sequence[int], *arguments: Any, shared: int = 0) -> None:
        """Launch on the current stream: ``grid`` blocks of ``block`` threads, ``shared`` bytes of dynamic memory."""
        parameters = self.parameters
        if len(arguments) != len(parameters):
            names = ", ".join(p.name for p in parameters)
            raise TypeError(f"{self!r} takes {len(parameters)} arguments ({names}), got {len(arguments)}")
        runner = current_runner()
        dtype = self._dtype(arguments)
        prepared = list(arguments)
        for at in self._others:
            prepared[at] = self._prepared(runner, parameters[at], arguments[at], dtype)
        for at, number in zip(self._integers, self._integers_of(arguments), strict=True):
            prepared[at] = number
        sizes = (len(grid), *grid, *block)
        if sizes not in self._known_sizes:
            self._check_sizes(grid, block)
            self._known_sizes.add(sizes)
        runner.run(self.program(dtype), self.name, grid, block, prepared, shared)

    def _integers_of(self, arguments: Sequence[Any]) -> tuple[Any, ...]:
        """Return the integers among the arguments, checked and in their types.

        A training step launches with the same ones again and again, so they are remembered.
        """
        values = [arguments[at] for at in self._integers]
        key = (*values, *map(type, values))  # 1.0 and True equal 1
        known = self._known_integers.get(key)
        if known is None:
            if len(self._known_integers) >= _REMEMBERED:
                self._known_integers.clear()
                self._known_sizes.clear()
            known = self._known_integers[key] = tuple(
                self._scalar(parameter, arguments[at], self.types[0])
                for at, parameter in enumerate(self.parameters)
                if at in self._integers
            )
        return known

    def _dtype(self, arguments: Sequence[Any]) -> np.dtype[Any]:
        """Return what T stands for in a launch."""
        for parameter, argument in zip(self.parameters, arguments, strict=True):
            if parameter.type == "Arrays" and argument:
                return argument[0].dtype
            if parameter.pointer and parameter.type == "T" and argument is not None:
                return argument.dtype
        return self.types[0]

    def _prepared(self, runner: Runner, parameter: Parameter, argument: Any, dtype: np.dtype[Any]) -> Any:
        if parameter.type not in LISTS:
            if parameter.pointer:
                return self._pointer(runner, parameter, argument, dtype)
            return self._scalar(parameter, argument, dtype)
        if not 1 <= len(argument) <= MANY:
            raise ValueError(f"{self!r}: {parameter.name} takes 1 to {MANY} of a list, got {len(argument)}")
        if parameter.type == "Counts":
            return [int(number) for number in argument]
        return [self._pointer(runner, parameter, array, dtype) for array in argument]

    def _pointer(self, runner: Runner, parameter: Parameter, array: Any, dtype: np.dtype[Any]) -> Any:
        if array is None:
            return None
        if not runner.is_array(array):
            kind = f"{type(array).__module__}.{type(array).__name__}"
            raise TypeError(f"{self!r}: {parameter.name} must be an array on the GPU, got {kind}")
        wanted = dtype if parameter.type in ("T", "Arrays") else np.dtype(SCALARS[parameter.type])
        if array.dtype != wanted:
            raise TypeError(f"{self!r}: {parameter.name} must be {wanted}, got {array.dtype} {array.shape}")
        if not array.flags.c_contiguous:
            raise ValueError(
                f"{self!r}: {parameter.name} {array.shape} must be in C order, its strides are {array.strides}"
            )
        runner.check_device(self, parameter.name, array)
        return array

    def _scalar(self, parameter: Parameter, value: Any, dtype: np.dtype[Any]) -> Any:
        wanted = dtype.type if parameter.type == "T" else SCALARS[parameter.type]
        limits = _LIMITS.get(wanted)
        if limits is not None and not (isinstance(value, (int, np.integer)) and limits[0] <= value <= limits[1]):
            raise ValueError(f"{self!r}: {parameter.name} must be an integer that fits {parameter.type}, got {value!r}")
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
    from .cuda_compile import CuPyRunner

    return CuPyRunner()
