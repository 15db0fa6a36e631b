"""What a CUDA source declares, and what of it is compiled: the text, the types of a kernel's arguments, the macros.

A family's ``gpu.cu`` holds its kernels, one ``extern "C"`` function each, written for a type ``T`` that is float or
double. The declaration in that file is the only one, and is read here. A parameter is one of ::

    const T* x        an array; without const, one that the kernel writes to; of T or of a scalar type
    int count         a scalar
    const Arrays xs   up to MANY arrays of T of any sizes, passed by value as a struct of pointers (``device.cuh``)
    const Counts ns   as many 64-bit numbers, passed by value
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SCALARS = {
    "int": np.int32,
    "unsigned": np.uint32,
    "long long": np.int64,
    "float": np.float32,
    "double": np.float64,
    "bool": np.bool_,
    "unsigned char": np.uint8,
}
C_NAMES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


MANY = 64  # as in device.cuh: with it the arguments of Adam stay below the 4,096 bytes that every GPU takes
LISTS = ("Arrays", "Counts")


class CompileError(RuntimeError):
    """A .cu file does not compile; the message holds the compiler's log."""


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


def source_of(path: Path) -> str:
    """Return a kernel's source with what it includes, read anew after a change."""
    return _source(path, path.stat().st_mtime_ns)


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


DECLARATION = r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*)?'
_PARAMETER = re.compile(r"(const\s+)?([A-Za-z_][\w ]*?)\s*(\*)?\s*(?:__restrict__\s+)?(\w+)")


def declared(source: str, where: str, name: str) -> list[Parameter]:
    """Return the parameters of the kernel ``name``, from its declaration in ``source``."""
    source = re.sub(r"//[^\n]*|/\*.*?\*/", " ", source, flags=re.S)
    match = re.search(DECLARATION + rf"{re.escape(name)}\s*\(([^)]*)\)", source)
    if match is None:
        raise CompileError(f'{where} declares no kernel `extern "C" __global__ void {name}(...)`')
    parameters = []
    for text in match[1].split(","):
        if not text.strip():
            continue
        parts = _PARAMETER.fullmatch(text.strip())
        kind = " ".join(parts[2].split()) if parts else ""
        if parts is None or (kind not in LISTS and kind != "T" and kind not in SCALARS):
            known = ", ".join(["T", *SCALARS, *LISTS])
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
        bits = 8 * np.dtype(SCALARS[self.type]).itemsize
        macros = [f"#define {name} {value}" for name, value in (("T_BITS", bits), *self.macros)]
        return "\n".join([f"typedef {self.type} T;", *macros, self.source])
