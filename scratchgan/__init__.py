"""Generative adversarial networks from scratch: autograd, kernels, networks, training."""

from pathlib import Path as _Path

if not (_Path(__file__).parent / "kernels").is_dir():
    # In a checkout kernels/ lies beside this folder and not inside it. An installed package does not need this;
    # it lets a checkout that was not installed in editable mode, or not at all, find its kernels.
    __path__.append(str(_Path(__file__).parent.parent))

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
