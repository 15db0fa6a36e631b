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
    with cupy.cuda.Device(int(match[1] or 0)):
        return cupy.asarray(array)


def require_cuda() -> Any:
    """Import and return CuPy with a usable GPU, or raise DeviceError with what is missing and what to do."""
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            "device 'cuda' needs CuPy, which is not installed: pip install 'scratchgan[cuda12]' (or cuda13), "
            "or use device 'cpu'"
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(
            f"device 'cuda': no usable GPU ({error}); check the driver with nvidia-smi, or use 'cpu'"
        ) from error
    if count == 0:
        raise DeviceError("device 'cuda': no GPU was found; check the driver with nvidia-smi, or use 'cpu'")
    return cupy
