"""An emulator of CUDA for the tests: compiles a kernel's own source with g++ and runs it on NumPy arrays.

It takes CuPy's place under `scratchgan.kernels.launch`, so what runs is everything above it, unchanged: the wrappers'
checks and allocations, the arguments as the kernel's declaration converts them, the grid and the block. ::

    with emulated():
        y = kernels.conv2d(x, w)    # kernels/conv/gpu.cu, thread by thread

Every launch runs in several orders of blocks and threads, with the arrays' ends and then their beginnings against
memory that cannot be touched, and shared memory full of NaN. It raises `Fault` for: an access outside an array, and
where; an index outside a shared array; a barrier or a warp's instruction that not all threads arrive at; results
whose bits depend on the order (a race, a missing barrier). New arrays are full of NaN, so that what a kernel leaves
out is seen.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchgan.kernels import cuda_source, launch
from scratchgan.kernels.cache import cache_root

HERE = Path(__file__).parent
COMPILER = shutil.which("g++")
_FLAGS = [
    "-std=c++17", "-O1", "-gdwarf-4", "-fPIC", "-shared", "-ffp-contract=off", "-fno-strict-aliasing",
    "-Wno-attributes", "-fsanitize=bounds", "-ftrivial-auto-var-init=pattern",
]  # fmt: skip
_ALIGNMENT = 16  # of the widest vector that a kernel loads

_ORDERS = ("in order", "in reverse", "shuffled")
_KINDS = {1: "memory", 2: "divergent barrier", 3: "divergent warp", 4: "index"}


class Fault(AssertionError):
    """A kernel did what it must not do. ``kind``: memory, index, divergent barrier, divergent warp or order."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


class _Report(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_int),
        ("line", ctypes.c_int),
        ("file", ctypes.c_char * 256),
        ("message", ctypes.c_char * 512),
        ("address", ctypes.c_uint64),
        ("program_counter", ctypes.c_uint64),
        ("block", ctypes.c_uint * 3),
        ("thread", ctypes.c_uint * 3),
    ]


@functools.cache
def _compiler_version() -> str:
    assert COMPILER is not None, "the emulator needs g++, which is not installed"
    return subprocess.run([COMPILER, "-dumpfullversion", "-dumpmachine"], capture_output=True, text=True).stdout


def _built(name: str, text: str) -> Path:
    """Compile ``text`` to a shared library, kept under a hash of all that went into it."""
    headers = (HERE / "cuda.h").read_text() + (HERE / "runtime.cpp").read_text()
    key = repr((text, headers, _FLAGS, _compiler_version()))
    folder = cache_root() / "emulator"
    library = folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.so"
    if not library.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = library.with_name(f".{library.name}-{os.getpid()}")
        assert COMPILER is not None
        compiled = subprocess.run(
            [COMPILER, *_FLAGS, f"-I{HERE}", "-x", "c++", "-", "-o", str(temporary)],
            input=text,
            text=True,
            capture_output=True,
        )
        if compiled.returncode:
            raise launch.CompileError(f"{name} does not compile for the emulator:\n{compiled.stderr}")
        os.replace(temporary, library)
    return library


@functools.cache
def _runtime() -> Any:
    library = ctypes.CDLL(str(_built("runtime", (HERE / "runtime.cpp").read_text())), ctypes.RTLD_GLOBAL)
    library.guarded.restype = ctypes.c_void_p
    library.guarded.argtypes = [ctypes.c_size_t] * 3 + [ctypes.c_int] * 2 + [ctypes.c_void_p] * 2
    library.release.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    library.run.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_size_t] + [ctypes.c_void_p] * 2
    library.run.argtypes += [ctypes.c_int, ctypes.c_uint64, ctypes.c_void_p]
    return library


def _translated(source: str) -> str:
    """Return the source as g++ takes it, with one entry point per kernel that unpacks its arguments."""
    names = re.findall(cuda_source.DECLARATION + r"(\w+)\s*\(", source)
    dynamic = r"extern\s+__shared__\s+(?:__align__\s*\([^)]*\)\s*)?([\w ]+?)\s+(\w+)\s*\[\s*\]"
    entries = []
    for name in names:
        parameters = cuda_source.declared(source, "the source", name)
        values = ", ".join(
            f"*({'const ' if p.constant else ''}{p.type}{'*' if p.pointer else ''}*)a[{i}]"
            for i, p in enumerate(parameters)
        )
        entries.append(f'extern "C" void enter_{name}(void** a) {{ (void)a; {name}({values}); }}')
    shared = """
extern "C" { extern char __start_cuda_shared[] __attribute__((weak, visibility("hidden")));
             extern char __stop_cuda_shared[] __attribute__((weak, visibility("hidden")));
char* shared_begin() { return __start_cuda_shared; } char* shared_end() { return __stop_cuda_shared; } }"""
    body = re.sub(dynamic, r"DYNAMIC_SHARED(\1, \2)", source)
    # Without a name outside this file, an inline function's shared memory is put where it is told to be.
    return "\n".join(['#include "cuda.h"', "namespace {", body, "}", '#line 1 "emulator"', *entries, shared])


@functools.lru_cache(maxsize=512)
def _library(program: launch.Program) -> tuple[Any, Path]:
    _runtime()
    name = program.path.parent.name
    text = _translated(program.text)
    path = _built(name, text)
    library = ctypes.CDLL(str(path))
    library.shared_begin.restype = library.shared_end.restype = ctypes.c_void_p
    return library, path


@dataclass
class _Buffer:
    """One array of a launch, copied to where it cannot be overrun."""

    array: np.ndarray
    name: str
    changes: bool
    address: int = 0
    base: int = 0
    length: int = 0
    fill: int = 0

    def place(self, at_end: bool) -> None:
        # What lies beside the array is NaN in one order and a small number in the other, so that reading it makes a
        # difference and writing either is seen.
        self.fill = 0xFF if at_end else 0xA5
        base, length = ctypes.c_void_p(), ctypes.c_size_t()
        offset = self.array.ctypes.data % _ALIGNMENT
        self.address = _runtime().guarded(
            self.array.nbytes, _ALIGNMENT, offset, at_end, self.fill, ctypes.byref(base), ctypes.byref(length)
        )
        self.base, self.length = int(base.value or 0), length.value
        ctypes.memmove(self.address, self.array.ctypes.data, self.array.nbytes)

    def content(self) -> bytes:
        return ctypes.string_at(self.address, self.array.nbytes)

    def overrun(self) -> bool:
        """Whether the bytes between the array and the pages beside it were written to."""
        page = 4096
        before = ctypes.string_at(self.base + page, self.address - self.base - page)
        end = self.address + self.array.nbytes
        behind = ctypes.string_at(end, self.base + self.length - page - end)
        return bool((before + behind).strip(bytes([self.fill])))

    def where(self, address: int) -> str | None:
        if not self.base <= address < self.base + self.length:
            return None
        element = (address - self.address) // self.array.itemsize
        return f"element {element} of {self.name}, which has {self.array.size} ({self.array.dtype} {self.array.shape})"

    def release(self) -> None:
        _runtime().release(self.base, self.length)


class _Namespace:
    """NumPy, except that new memory is full of NaN (or -1), as nothing on a GPU is zero by itself."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty(self, shape: Any, dtype: Any = float) -> np.ndarray:
        array = np.empty(shape, dtype)
        array.fill(np.nan if array.dtype.kind == "f" else -1 if array.dtype.kind == "i" else 1)
        return array

    def empty_like(self, array: np.ndarray) -> np.ndarray:
        return self.empty(array.shape, array.dtype)


class Emulator:
    """A runner for `launch.replaced_by`. ``orders``: in how many orders each launch runs, 1 to 3."""

    def __init__(self, orders: int = 3):
        self.orders = orders
        self.launches: list[str] = []  # the kernels that ran, as "family.name"

    def is_array(self, value: Any) -> bool:
        return isinstance(value, np.ndarray)

    def namespace(self) -> Any:
        return _Namespace()

    def check_device(self, kernel: launch.Kernel, name: str, array: Any) -> None:
        pass

    def run(
        self,
        program: launch.Program,
        name: str,
        grid: Sequence[int],
        block: Sequence[int],
        arguments: list[Any],
        shared: int,
    ) -> None:
        library, path = _library(program)
        self.launches.append(f"{program.path.parent.name}.{name}")
        parameters = cuda_source.declared(program.source, program.where, name)
        buffers: dict[int, _Buffer] = {}
        for parameter, value in zip(parameters, arguments, strict=True):
            for array in _arrays(parameter, value):
                buffer = buffers.setdefault(array.ctypes.data, _Buffer(array, parameter.name, False))
                buffer.changes |= not parameter.constant
        what = f"kernel {name} ({program.where}, {program.configuration}), grid {tuple(grid)}, block {tuple(block)}"
        first: dict[int, bytes] = {}
        for order in range(self.orders):
            for buffer in buffers.values():
                buffer.place(at_end=order != 1)
            try:
                self._once(library, path, name, parameters, arguments, buffers, grid, block, shared, order, what)
                for key, buffer in buffers.items():
                    if buffer.overrun():
                        raise Fault("memory", f"{what}: writes just outside {buffer.name} {buffer.array.shape}")
                    if not buffer.changes:
                        continue
                    content = buffer.content()
                    if content != first.setdefault(key, content):
                        found = np.frombuffer(first[key], buffer.array.dtype) != np.frombuffer(
                            content, buffer.array.dtype
                        )
                        raise Fault(
                            "order",
                            f"{what}: {int(found.sum())} values of {buffer.name} {buffer.array.shape} differ, from "
                            f"element {int(found.argmax())}, between blocks and threads in order and "
                            f"{_ORDERS[order]}: a race, or a barrier is missing",
                        )
            finally:
                for buffer in buffers.values():
                    buffer.release()
        for key, content in first.items():
            array = buffers[key].array
            ctypes.memmove(array.ctypes.data, content, len(content))

    def written(self, program: launch.Program, name: str, arguments: list[Any]) -> list[np.ndarray]:
        """Return the arrays that a launch writes to."""
        parameters = cuda_source.declared(program.source, program.where, name)
        return [
            array
            for parameter, value in zip(parameters, arguments, strict=True)
            if not parameter.constant
            for array in _arrays(parameter, value)
        ]

    def _once(
        self,
        library: Any,
        path: Path,
        name: str,
        parameters: list[launch.Parameter],
        arguments: list[Any],
        buffers: dict[int, _Buffer],
        grid: Sequence[int],
        block: Sequence[int],
        shared: int,
        order: int,
        what: str,
    ) -> None:
        held: list[Any] = []
        for parameter, value in zip(parameters, arguments, strict=True):
            if parameter.type in cuda_source.LISTS:
                numbers = value if parameter.type == "Counts" else [buffers[a.ctypes.data].address for a in value]
                held.append((ctypes.c_int64 * cuda_source.MANY)(*numbers))
            elif parameter.pointer:
                held.append(ctypes.c_void_p(buffers[value.ctypes.data].address if value is not None else None))
            else:
                held.append((ctypes.c_char * value.nbytes).from_buffer_copy(value.tobytes()))
        addresses = (ctypes.c_void_p * max(1, len(held)))(*[ctypes.addressof(h) for h in held])
        sizes = [(ctypes.c_uint * 3)(*(*part, 1, 1)[:3]) for part in (grid, block)]
        report = _Report()
        kind = _runtime().run(
            ctypes.cast(library[f"enter_{name}"], ctypes.c_void_p), addresses, *sizes, shared,
            library.shared_begin(), library.shared_end(), order, 12345, ctypes.byref(report),
        )  # fmt: skip
        if kind == 0:
            return
        where = f"block {tuple(report.block)}, thread {tuple(report.thread)}"
        place = f"{report.file.decode()}:{report.line}"
        message = report.message.decode()
        if kind == 1:
            place = _line(path, library, name, report.program_counter)
            hits = [hit for hit in (b.where(report.address) for b in buffers.values()) if hit]
            message = f"touches {hits[0] if hits else f'address {report.address:#x}, which is no array of this launch'}"
        raise Fault(_KINDS[kind], f"{what}: {_KINDS[kind]} at {place} in {where}: {message}")


def _arrays(parameter: launch.Parameter, value: Any) -> list[np.ndarray]:
    """Return the arrays of one argument: none, one, or those of a list."""
    if parameter.type == "Arrays":
        return value
    return [value] if parameter.pointer and value is not None else []


def _line(path: Path, library: Any, name: str, program_counter: int) -> str:
    """Return the source line of an instruction."""
    entry = ctypes.cast(library[f"enter_{name}"], ctypes.c_void_p).value or 0
    symbols = subprocess.run(["nm", "-D", str(path)], capture_output=True, text=True).stdout
    match = re.search(rf"^(\w+) T enter_{name}$", symbols, re.M)
    if match is None:
        return "an unknown line"
    offset = program_counter - entry + int(match[1], 16)
    found = subprocess.run(["addr2line", "-e", str(path), hex(offset)], capture_output=True, text=True).stdout
    return "/".join(found.strip().split("/")[-2:]).split(" ")[0]


@contextlib.contextmanager
def emulated(orders: int = 3) -> Iterator[Emulator]:
    """Within the block, NumPy arrays count as arrays on a GPU, and CUDA kernels run on the emulator."""
    emulator = Emulator(orders)
    with launch.replaced_by(emulator):
        yield emulator
