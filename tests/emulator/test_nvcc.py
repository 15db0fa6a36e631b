"""Every kernel in every shipped configuration, through NVIDIA's compiler: it compiles, and spills no registers."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from scratchgan import kernels
from scratchgan.kernels.launch import KERNELS, Program

NVCC = shutil.which("nvcc")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")]

NAMED = ("75", "80", "90")  # Turing, Ampere, Hopper: these must compile; newer ones too, if nvcc knows them
NEWER = ("100", "120")

for path in sorted(Path(kernels.__file__).parent.glob("*/gpu.py")):
    import_module(f"scratchgan.kernels.{path.parent.name}.gpu")
PROGRAMS = list(dict.fromkeys(kernel.program(dtype) for kernel in KERNELS for dtype in kernel.types))


def architectures(program: Program) -> list[str]:
    """The named ones, without those that lack the tensor cores that a program is for."""
    assert NVCC is not None
    listed = subprocess.run([NVCC, "--list-gpu-arch"], capture_output=True, text=True, check=True).stdout
    known = [*NAMED, *(a for a in NEWER if f"compute_{a}" in listed)]
    return [a for a in known if int(a) >= 80 or ("TF32", "1") not in program.macros]


def name(program: Program) -> str:
    return f"{program.where} {program.configuration}"


@pytest.mark.parametrize("program", PROGRAMS, ids=name)
def test_compiles_without_spills(program: Program, tmp_path: Path, record_property) -> None:
    assert NVCC is not None
    source = tmp_path / "kernel.cu"
    source.write_text(program.text)
    targets = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures(program)]
    command = [NVCC, "-std=c++17", *targets, "-fatbin", "-Xptxas", "-v", "-o", str(tmp_path / "out"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = done.stderr
    print(f"\n{name(program)}")
    for kernel, architecture, rest in re.findall(
        r"Compiling entry function '(\w+)' for 'sm_(\w+)'(.*?)(?=ptxas info\s+: Compiling entry|\Z)", report, re.S
    ):
        registers = re.search(r"Used (\d+) registers", rest)
        shared = re.search(r"(\d+) bytes smem", rest)
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", rest)
        assert registers is not None
        assert spills is not None
        print(f"  sm_{architecture} {kernel}: {registers[1]} registers, {shared[1] if shared else 0} bytes shared")
        assert spills[1] == spills[2] == "0", f"{kernel} on sm_{architecture} spills registers: {spills[0]}"
    for architecture in architectures(program):
        assert f"sm_{architecture}" in report
