"""Look at what scratchgan stands on and say what is wrong: versions, threads, vector instructions, BLAS, GPU,
caches, data sets, and whether a gradient that comes out of all that is right. Exit code 1 if something is broken."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

SUMMARY = "check the installation and say what is wrong with it"
EXAMPLES = """\
  scratchgan doctor
  scratchgan doctor --json > report.json    for a bug report
"""

OK, NOTE, BROKEN = "ok", "note", "broken"


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``status``: OK; NOTE, works but not as well as it could; or BROKEN."""

    name: str
    status: str
    value: str
    advice: str = ""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")


def run(arguments: argparse.Namespace) -> int:
    findings = []
    for finding in examine():
        findings.append(finding)
        if not arguments.json:
            print(_line(finding), flush=True)
    broken = [finding for finding in findings if finding.status == BROKEN]
    if arguments.json:
        print(json.dumps({"ok": not broken, "findings": [asdict(finding) for finding in findings]}, indent=2))
    elif broken:
        print(f"\nBroken: {', '.join(finding.name for finding in broken)}. The advice is above.")
    else:
        print("\nEverything that training needs works.")
    return 1 if broken else 0


def examine() -> Iterator[Finding]:
    """Make every check in turn; one that fails in an unforeseen way is a finding too, and the rest go on."""
    for name, check in [
        ("versions", _versions),
        ("vector unit", _vector_unit),
        ("gradient", _gradient),
        ("threads", _threads),
        ("BLAS", _blas),
        ("GPU", _gpu),
        ("kernel cache", _kernel_cache),
        ("data sets", _data_sets),
    ]:
        try:
            yield from check()
        except Exception as error:
            what = " ".join(f"{type(error).__name__}: {error}".split())
            yield Finding(name, BROKEN, what, "this check itself failed: install scratchgan again, then report it")


def _line(finding: Finding) -> str:
    colours = {OK: "32", NOTE: "33", BROKEN: "31;1"}
    mark = f"{finding.status:<8}"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        mark = f"\x1b[{colours[finding.status]}m{mark}\x1b[0m"
    width = max(60, shutil.get_terminal_size().columns) - 25
    value = textwrap.wrap(finding.value, width, break_on_hyphens=False) or [""]
    advice = textwrap.wrap(f"-> {finding.advice}", width, break_on_hyphens=False) if finding.advice else []
    return f"{mark} {finding.name:<15} " + ("\n" + " " * 25).join([*value, *advice])


# The checks


def _versions() -> Iterator[Finding]:
    from .. import __version__

    yield Finding("scratchgan", OK, f"{__version__} in {Path(__file__).parents[1]}")
    wide = sys.maxsize > 2**32
    yield Finding(
        "Python",
        OK if wide else BROKEN,
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "" if wide else "this is a 32-bit Python: install a 64-bit one",
    )
    least = _least_versions()
    for package, module in [
        ("numpy", "numpy"),
        ("numba", "numba"),
        ("Pillow", "PIL.Image"),
        ("safetensors", "safetensors.numpy"),
        ("rich", "rich"),
    ]:
        required = least.get(package.lower(), "0")
        try:
            importlib.import_module(module)
            installed = importlib.metadata.version(package)
        except Exception as error:  # a broken binary package can raise anything at its import
            yield Finding(
                package,
                BROKEN,
                f"can't be imported: {error}",
                f"pip install --force-reinstall '{package}>={required}'",
            )
            continue
        if _numbers(installed) < _numbers(required):
            yield Finding(package, BROKEN, f"{installed}, too old", f"pip install --upgrade '{package}>={required}'")
        else:
            llvm = f" with llvmlite {importlib.metadata.version('llvmlite')}" if package == "numba" else ""
            yield Finding(package, OK, installed + llvm)


def _least_versions() -> dict[str, str]:
    """What the installed distribution says it needs; nothing for a checkout that was never installed."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        matches = (re.match(r"([\w.-]+)>=([\d.]+)$", line) for line in importlib.metadata.requires("scratchgan") or ())
        return {match[1].lower(): match[2] for match in matches if match}
    return {}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _vector_unit() -> Iterator[Finding]:
    from llvmlite import binding as llvm

    from ..kernels import simd

    best = simd.runnable_units()[0]
    value = f"{simd.UNIT.name}: {simd.lanes(4)} float32 at once; the processor is {llvm.get_host_cpu_name()}"
    if simd.UNIT.name != best:
        yield Finding("vector unit", NOTE, value, f"this processor can do {best}: unset SCRATCHGAN_SIMD")
    elif best == "portable":
        advice = "kernels will be slow: in a virtual machine, pass the host's AVX2 or AVX-512 through"
        yield Finding("vector unit", NOTE, value, advice)
    else:
        yield Finding("vector unit", OK, value)


def _gradient() -> Iterator[Finding]:
    """The derivative of a small network's loss along a random direction, by reverse mode and by a difference.

    In float32, so that the kernels that training uses are compiled (or read from the cache) and nothing else. The
    symmetric difference over 2h has an error of order h^2 plus rounding of order 1e-7 / h; at h = 0.01 both are
    far below the 1% that is allowed, while a wrong gradient is off by about as much as it is large.
    """
    import numpy as np

    from .. import Tensor, grad, kernels, no_grad, ops

    random = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, dtype=np.float32)

    x, gamma, beta = normal(4, 3, 6, 6), np.ones(4, np.float32), np.zeros(4, np.float32)
    weights = [0.3 * normal(4, 3, 3, 3), 0.3 * normal(2, 4, 4, 4), 0.3 * normal(1, 2 * 6 * 6)]

    def loss(*w: Tensor) -> Tensor:
        hidden = ops.upsample_conv2d(Tensor(x), w[0], padding=1)
        hidden = ops.tanh(ops.batch_norm(hidden, None, None, gamma, beta, training=True))
        hidden = ops.tanh(ops.conv2d(hidden, w[1], stride=2, padding=1))
        logits = ops.linear(hidden.reshape((4, -1)), w[2])
        return ops.binary_cross_entropy_with_logits(logits, Tensor(np.ones((4, 1), np.float32)))

    compiled: list[str] = []
    started = time.perf_counter()
    with kernels.on_compile(compiled.append):
        leaves = [Tensor(w, requires_grad=True) for w in weights]
        gradients = grad(loss(*leaves), leaves)
        directions = [normal(*w.shape) for w in weights]
        along = sum(float((g.data * d).sum(dtype=np.float64)) for g, d in zip(gradients, directions, strict=True))
        h = 0.01
        with no_grad():
            above, below = (
                loss(*(Tensor(w + np.float32(s * h) * d) for w, d in zip(weights, directions, strict=True))).item()
                for s in (1, -1)
            )
    difference = (above - below) / (2 * h)
    seconds = time.perf_counter() - started
    how = f"{len(compiled)} kernels compiled" if compiled else "kernels from the cache"
    off = abs(along - difference) / max(abs(along), abs(difference))
    value = f"of a small network: {off:.1e} off a finite difference ({seconds:.1f} s, {how})"
    if off < 0.01:
        yield Finding("gradient", OK, value)
    else:
        advice = "kernels compute wrong numbers: delete the kernel cache, try SCRATCHGAN_SIMD=portable, report it"
        yield Finding("gradient", BROKEN, value, advice)


def _threads() -> Iterator[Finding]:
    import numba

    from .. import kernels
    from ..kernels.ahead import usable_cores

    cores = usable_cores()
    threads, allowed = kernels.get_num_threads(), _cpu_quota()
    value = f"{threads} for the kernels, {cores} cores"
    if allowed is not None and allowed < threads:
        count = max(1, int(allowed))
        yield Finding(
            "threads",
            NOTE,
            f"{value}, but this container may use {allowed:g} of them",
            f"set NUMBA_NUM_THREADS={count} and OPENBLAS_NUM_THREADS={count}, or they wait for each other",
        )
    elif threads < cores:
        yield Finding("threads", NOTE, value, "NUMBA_NUM_THREADS limits the kernels: unset it to use every core")
    else:
        yield Finding("threads", OK, value)
    layer = numba.threading_layer()  # known once a parallel kernel has run: the gradient's check came first
    if layer == "workqueue":
        advice = "calls from two threads at once would abort: install an OpenMP runtime (Debian: libgomp1)"
        yield Finding("threading layer", NOTE, layer, advice)
    else:
        yield Finding("threading layer", OK, layer)


def _cpu_quota() -> float | None:
    """How many cores' worth of time Linux grants this control group (cgroup v2), None if there is no limit."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return int(quota) / int(period)
    return None


def _blas() -> Iterator[Finding]:
    import numpy as np

    build = np.show_config(mode="dicts")
    blas = build.get("Build Dependencies", {}).get("blas", {})
    name = f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
    n = 1024
    a, b = (np.random.default_rng(seed).standard_normal((n, n), dtype=np.float32) for seed in (0, 1))
    times = []
    for _ in range(6):
        started = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - started)
    rate = 2 * n**3 / min(times[1:]) / 1e9  # the first one starts the threads
    value = f"{name}: {rate:.0f} GFLOP/s on a {n} x {n} float32 product"
    if rate < 5:  # a single scalar thread does about this much
        advice = "NumPy has no fast BLAS: install its wheel with `pip install --force-reinstall numpy`"
        yield Finding("BLAS", NOTE, value, advice)
    else:
        yield Finding("BLAS", OK, value)


def _gpu() -> Iterator[Finding]:
    from ..device import DeviceError, require_cuda

    has_driver = shutil.which("nvidia-smi") is not None
    has_cupy = importlib.util.find_spec("cupy") is not None
    if not has_cupy and not has_driver:
        yield Finding("GPU", OK, "none (no NVIDIA driver, no CuPy): training runs on the CPU")
        return
    try:
        cupy = require_cuda()
    except DeviceError as error:
        yield Finding("GPU", NOTE, "not usable: training runs on the CPU", str(error))
        return
    count = cupy.cuda.runtime.getDeviceCount()
    for index in range(count):
        properties = cupy.cuda.runtime.getDeviceProperties(index)
        memory = properties["totalGlobalMem"] / 2**30
        name = f"cuda:{index} {properties['name'].decode()}, {memory:.0f} GiB, CuPy {cupy.__version__}"
        yield Finding("GPU", OK, name)


def _kernel_cache() -> Iterator[Finding]:
    from ..kernels import jit

    folder = jit.cache_folder()
    problem = _write_problem(folder)
    if problem:
        advice = "kernels are compiled anew at every start: set SCRATCHGAN_CACHE_DIR to a folder that can be written"
        yield Finding("kernel cache", NOTE, f"{folder}: {problem}", advice)
    else:
        yield Finding("kernel cache", OK, f"{folder.parent}: {_megabytes(folder.parent)}")


def _data_sets() -> Iterator[Finding]:
    from ..data.mnist import NAMED_SETS, cache_folder, find_local

    yield Finding("toyfaces", OK, "built in")
    for name, named in NAMED_SETS.items():
        found = {split: find_local(named, split) for split in named.files}
        missing = sum(file.size for split, paths in found.items() if paths is None for file in named.files[split])
        if not missing:
            folders = {str(paths[0].parent) for paths in found.values() if paths is not None}
            yield Finding(name, OK, ", ".join(sorted(folders)))
        elif problem := _write_problem(cache_folder()):
            advice = "set SCRATCHGAN_CACHE_DIR to a folder that can be written, or pass --data-dir"
            yield Finding(name, NOTE, f"not here, and {cache_folder()} can't keep a download: {problem}", advice)
        else:
            yield Finding(name, OK, f"not here; {missing / 1e6:.0f} MB are downloaded when it is first asked for")


def _write_problem(folder: Path) -> str:
    """Why no file can be made in ``folder``, or in the nearest parent of it that exists; empty if one can."""
    while not os.path.exists(folder) and folder != folder.parent:  # Path.exists raises where access is denied
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(1 << 16))
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""


def _megabytes(folder: Path) -> str:
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # another process may delete it
            size += path.stat().st_size
    return f"{size / 1e6:.0f} MB"
