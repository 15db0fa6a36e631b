"""Spectral normalisation: a weight divided by its largest singular value.

Source: T. Miyato et al., "Spectral normalization for generative adversarial networks", 2018, section 2 and
algorithm 1. A layer whose weight matrix has largest singular value sigma stretches no input difference by more than
sigma, so dividing by it bounds each layer's Lipschitz constant by 1.

sigma is estimated by power iteration, one step per training forward pass, from where the last one ended:

    u = W v / |W v|        v = W' u / |W' u|        sigma = u' W v

The weights change little from one step to the next, so one step keeps up.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from .. import kernels, ops
from ..device import Array, device_of, namespace, to_device
from ..tensor import Tensor
from .conv import ConvTranspose2d
from .module import Module, Parameter


class SpectralNorm(Module):
    """weight -> weight / sigma(weight), with the vectors of the power iteration as buffers ``_u`` and ``_v``.

    ``dim`` is the axis of the weight that counts outputs: the rows of the matrix.
    """

    _u: Array
    _v: Array

    def __init__(self, weight: Parameter, power_iterations: int, eps: float, dim: int, generator: np.random.Generator):
        self.power_iterations, self.eps, self.dim = power_iterations, eps, dim
        rows, columns = self._matrix(weight).shape
        for name, size in [("_u", rows), ("_v", columns)]:
            vector = generator.standard_normal(size).astype(weight.dtype)
            self.register_buffer(name, self._normalized(to_device(vector, device_of(weight.data))))
        self._iterate(weight, 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        order = (self.dim, *(axis for axis in range(weight.ndim) if axis != self.dim))
        return weight.transpose(order).flatten(1)

    def _normalized(self, vector: Array) -> Array:
        # The norm stays where the vector is: as a Python number it would have to be waited for on a GPU.
        xp = namespace(vector)
        return vector / xp.maximum(xp.sqrt((vector * vector).sum()), vector.dtype.type(self.eps))

    def _iterate(self, weight: Tensor, times: int) -> None:
        # New arrays each time: a graph of an earlier forward pass has saved the old ones.
        matrix = self._matrix(weight.detach()).data
        for _ in range(times):
            self._u = self._normalized(_product(matrix, self._v))
            self._v = self._normalized(_product(matrix.T, self._u))

    def advance(self, weight: Tensor) -> None:
        """Bring the vectors nearer to the weight's first singular vectors."""
        self._iterate(weight, self.power_iterations)

    def forward(self, weight: Tensor) -> Tensor:
        return ops.spectral_normalize(weight, self._u, self._v, self.dim)

    def extra_repr(self) -> str:
        return f"power_iterations={self.power_iterations}, dim={self.dim}"


def _product(matrix: Array, vector: Array) -> Array:
    return kernels.matmul(matrix, vector.reshape(-1, 1)).reshape(-1)


class Parametrization(Module):
    """A weight that is computed from the parameter ``original`` by the module ``0``, under PyTorch's names."""

    def __init__(self, original: Parameter, transform: SpectralNorm):
        self.original = original
        setattr(self, "0", transform)

    def advance(self) -> None:
        """Prepare for a training forward pass; `Module.__call__` calls this."""
        getattr(self, "0").advance(self.original)

    def forward(self) -> Tensor:
        return getattr(self, "0")(self.original)


LayerType = TypeVar("LayerType", bound=Module)


def spectral_norm(
    layer: LayerType,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
    *,
    generator: np.random.Generator,
) -> LayerType:
    """Make the parameter ``name`` of a layer spectrally normalised, and return the layer.

    The parameter itself becomes ``layer.parametrizations.weight.original``; ``layer.weight`` is computed from it, and
    the gradient flows through sigma to it. Each call of the layer in training makes ``n_power_iterations`` steps;
    calls in evaluation and readings of ``layer.weight`` make none. ``dim`` is the axis that counts outputs: 1 for
    ConvTranspose2d, else 0. The state dict has the names of PyTorch's
    ``torch.nn.utils.parametrizations.spectral_norm``. The first vectors are drawn from ``generator``.
    """
    parameter = vars(layer).get(name)
    if not isinstance(parameter, Parameter) or parameter.ndim < 2:
        raise ValueError(
            f"spectral_norm: {type(layer).__name__} has no parameter {name!r} of at least 2 axes, "
            "or it is normalised already"
        )
    if n_power_iterations < 1:
        raise ValueError(f"spectral_norm: n_power_iterations must be at least 1, got {n_power_iterations}")
    if dim is None:
        dim = 1 if isinstance(layer, ConvTranspose2d) else 0
    transform = SpectralNorm(parameter, n_power_iterations, eps, dim, generator)
    if "parametrizations" not in vars(layer):
        layer.parametrizations = Module()
    setattr(layer.parametrizations, name, Parametrization(parameter, transform))
    delattr(layer, name)
    return layer
