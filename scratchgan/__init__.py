"""Generative adversarial networks from scratch: autograd, kernels, networks, training.

The names below are imported when they are first used, so that `scratchgan.gradcheck`, which needs NumPy only, does not
bring the kernels and their compiler with it.
"""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING, Any

if not (_Path(__file__).parent / "kernels").is_dir():
    # In a checkout kernels/ lies beside this folder and not inside it. An installed package does not need this;
    # it lets a checkout that was not installed in editable mode, or not at all, find its kernels.
    __path__.append(str(_Path(__file__).parent.parent))

if TYPE_CHECKING:
    from . import kernels, ops
    from .autograd import AutogradError, Function, backward, grad
    from .device import DeviceError
    from .recording import enable_grad, is_grad_enabled, no_grad
    from .tensor import Tensor, as_tensor

__version__ = "0.1.0"

__all__ = [
    "AutogradError",
    "DeviceError",
    "Function",
    "Tensor",
    "as_tensor",
    "backward",
    "enable_grad",
    "grad",
    "is_grad_enabled",
    "kernels",
    "no_grad",
    "ops",
]

#: Which module has a name; a module has its own.
_HOMES = {
    "AutogradError": "autograd",
    "DeviceError": "device",
    "Function": "autograd",
    "Tensor": "tensor",
    "as_tensor": "tensor",
    "backward": "autograd",
    "enable_grad": "recording",
    "grad": "autograd",
    "is_grad_enabled": "recording",
    "no_grad": "recording",
}
_MODULES = ("autograd", "device", "kernels", "ops", "recording", "tensor")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return _import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
