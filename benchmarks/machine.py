"""The machine and the state that a figure was measured in; and equal, pinned threads for every candidate."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy",
    "numba",
    "llvmlite",
    "torch",
    "jax",
    "jaxlib",
    "onnxruntime",
    "scipy",
    "cupy-cuda13x",
    "cupy-cuda12x",
)
#: What must be equal for two results to be comparable; the rest is written down only.
IDENTITY = ("cpu", "cpu_flags", "cores", "architecture", "system", "gpu", "threads")


def pin(threads: int) -> list[int]:
    """Keep this process, and the thread pools that it is about to start, on the first ``threads`` processors.

    Must come before NumPy or a framework is imported: their pools are sized then. Returns the processors, or an empty
    list where the system cannot pin (the thread counts are still equal). ValueError if there are not so many.
    """
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    most = len(allowed) or os.cpu_count() or 1
    if not 1 <= threads <= most:
        raise ValueError(f"--threads must be between 1 and {most}, the processors of this process, got {threads}")
    # Not OMP_NUM_THREADS: it would not reach OpenBLAS's own pool, and OpenMP's is set by each library's call.
    for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"):
        os.environ[variable] = str(threads)
    if allowed:
        os.sched_setaffinity(0, allowed[:threads])
    return allowed[:threads]


def load_frameworks_first() -> None:
    """Import PyTorch before Numba.

    Our kernels ask OpenMP, in the environment, for threads that wait passively, and PyTorch's are to wait as they would
    without us: its copy of the library reads the environment when it is loaded.
    """
    with contextlib.suppress(ImportError):
        import torch  # noqa: F401


def describe(threads: int) -> dict[str, Any]:
    """Return the provenance of a result: machine, versions, commit, clock, date."""
    cpu, flags = _cpu()
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": cpu,
        "cpu_flags": flags,
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "gpu": _gpu(),
        "threads": threads,
        "vector_unit": _vector_unit(),
        "kernel": platform.release(),
        "python": platform.python_implementation(),
        "versions": versions,
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "clock_mhz": _clock(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Return a line for each thing that makes two machines, or settings, no fair comparison."""
    lines = []
    for key in IDENTITY:
        if a.get(key) != b.get(key):
            if key == "cpu_flags":
                one, other = set(a.get(key) or []), set(b.get(key) or [])
                left, right = (" ".join(sorted(part)) or "-" for part in (one - other, other - one))
                what = f"only A has {left}, only B has {right}"
            else:
                what = f"{a.get(key)!r} against {b.get(key)!r}"
            lines.append(f"{key}: {what}")
    return lines


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError:
        return None


def _cpu() -> tuple[str, list[str]]:
    text = _read("/proc/cpuinfo") or ""
    model = re.search(r"^model name\s*:\s*(.*)$", text, re.M)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.M)
    return model[1] if model else platform.processor() or platform.machine(), sorted(flags[1].split()) if flags else []


def _clock() -> float | None:
    """The highest clock that the system reports now, in MHz. A virtual machine may report a nominal one."""
    found = re.findall(r"^cpu MHz\s*:\s*([\d.]+)$", _read("/proc/cpuinfo") or "", re.M)
    return max(map(float, found)) if found else None


def _vector_unit() -> str:
    from scratchgan.kernels import simd

    return simd.UNIT.name


def _gpu() -> str | None:
    if "cupy" not in sys.modules:
        return None
    from .gpu import device_name

    return device_name()


def _git(*arguments: str) -> str | None:
    try:
        run = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip()


def cache_bytes() -> int:
    """Return the size of the largest cache that the system reports, or 32 MiB."""
    found = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        match = re.fullmatch(r"(\d+)([KM])", _read(str(path)) or "")
        if match:
            found.append(int(match[1]) * (1024 if match[2] == "K" else 1024**2))
    return max(found, default=32 * 1024**2)
