"""Where an array lives: NumPy arrays on the CPU, CuPy arrays on a GPU. The one place that imports CuPy."""

from __future__ import annotations

import re
import sys
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # a numpy.ndarray or a cupy.ndarray


class DeviceError(RuntimeError):
    """A device that was asked for is not there, or two devices were mixed."""


def namespace(array: Array) -> Any:
    """Return the module of NumPy's functions for ``array``: numpy, or cupy for an array on a GPU."""
    if isinstance(array, (np.ndarray, np.generic)):
        return np
    cupy = sys.modules.get("cupy")  # an array of CuPy's can only exist if CuPy was imported
    if cupy is not None and isinstance(array, cupy.ndarray):
        return cupy
    raise TypeError(f"expected a NumPy or CuPy array, got {type(array).__module__}.{type(array).__name__}")


def device_of(array: Array) -> str:
    """Return "cpu" or "cuda:<index>"."""
    return "cpu" if namespace(array) is np else f"cuda:{array.device.id}"


def to_device(array: Array, device: str) -> Array:
    """Return ``array`` on ``device`` ("cpu", "cuda" or "cuda:<index>"): itself if it is there already, else a copy."""
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", device)
    if match is None:
        raise ValueError(f"unknown device {device!r}: use 'cpu', 'cuda' or 'cuda:<index>'")
    if device == "cpu":
        return array if namespace(array) is np else array.get()
    cupy = require_cuda()
    index, count = int(match[1] or 0), cupy.cuda.runtime.getDeviceCount()
    if index >= count:
        raise DeviceError(f"there is no cuda:{index}: this machine has {count} GPU{'s' * (count > 1)}, from cuda:0")
    with cupy.cuda.Device(index):
        return cupy.asarray(array)


def require_cuda() -> Any:
    """Import and return CuPy with a usable GPU, or raise DeviceError with what is missing and what to do."""
    try:
        import cupy
    except ModuleNotFoundError as error:
        raise DeviceError(
            "device 'cuda' needs CuPy, which is not installed: pip install 'scratchgan[cuda12]' (or cuda13), "
            "or use device 'cpu'"
        ) from error
    except ImportError as error:  # CuPy is there, but not the CUDA libraries that it was built for
        raise DeviceError(f"device 'cuda': CuPy cannot be imported ({_first_line(error)}); {_OTHER_CUDA}") from error
    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        if "InsufficientDriver" not in str(error):
            advice = "check the driver with nvidia-smi, or use 'cpu'"
        else:
            version = runtime.runtimeGetVersion()
            advice = (
                f"CuPy is for CUDA {version // 1000}.{version % 1000 // 10}, and there is no NVIDIA driver or it "
                "is too old: nvidia-smi shows the newest CUDA that a driver knows. Update it, install the CuPy "
                "of an older CUDA (scratchgan[cuda12]), or use 'cpu'"
            )
        raise DeviceError(f"device 'cuda': no usable GPU ({error}); {advice}") from error
    if count == 0:
        raise DeviceError("device 'cuda': no GPU was found; check the driver with nvidia-smi, or use 'cpu'")
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # CuPy has an exception of its own for each library
        raise DeviceError(
            f"device 'cuda': NVRTC, CUDA's compiler, is missing ({_first_line(error)}); {_OTHER_CUDA}"
        ) from error
    return cupy


def require_tensor_cores() -> None:
    """Raise DeviceError unless the current GPU has tensor cores that take TF32."""
    capability = require_cuda().cuda.Device().compute_capability
    if int(capability) < 80:
        raise DeviceError(
            "precision 'tf32' needs the tensor cores of compute capability 8.0 (Ampere, 2020) or newer, and this GPU "
            f"has {capability[:-1]}.{capability[-1]}: leave it out"
        )


_OTHER_CUDA = (
    "install the CuPy of this machine's CUDA, and only that one: scratchgan[cuda12] or scratchgan[cuda13], with CUDA's "
    "libraries as wheels if the system has none (pip install 'cupy-cuda12x[ctk]')"
)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def memory_error(error: BaseException) -> str | None:
    """Return what to say if ``error`` is a GPU's lack of memory: what was asked for, what is free, what to lower."""
    cupy = sys.modules.get("cupy")
    if cupy is None or not isinstance(error, cupy.cuda.memory.OutOfMemoryError):
        return None
    free, total = (round(n / 2**20) for n in cupy.cuda.Device().mem_info)
    return (
        f"out of GPU memory: {_first_line(error)} {free:,} of the GPU's {total:,} MiB are free; use a smaller --batch, "
        "--size or --width, or end what else uses the GPU (nvidia-smi lists it)"
    )
