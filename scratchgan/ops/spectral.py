"""A weight over its largest singular value, as spectral normalisation needs it."""

from __future__ import annotations

from typing import Any

from .. import kernels
from ..autograd import Function
from ..device import Array
from ..recording import is_grad_enabled
from ..tensor import Tensor
from .arguments import AXIS, NETWORK, check_alike, operator
from .matmul import matmul
from .reduce import sum
from .shape import flatten, reshape, transpose


class SpectralNormalize(Function):
    """(weight, u, v) -> weight / sigma, sigma = u' W v; u and v are constants to the gradient.

    d(W/sigma) = dW/sigma - W dsigma/sigma^2 and dsigma = u' dW v, so that

        gW = gy/sigma - <gy, W>/sigma^2 * u v'
    """

    saves_output = False

    def __init__(self, order: tuple[int, ...]):
        self.order = order  # of the weight's axes, for a matrix with a row for each output

    def forward(self, weight: Array, u: Array, v: Array) -> Array:
        return weight / self._sigma(weight, u, v)

    def _sigma(self, weight: Array, u: Array, v: Array) -> Array:
        matrix = weight.transpose(self.order).reshape(len(u), len(v))
        return (u * kernels.matmul(matrix, v.reshape(-1, 1)).reshape(-1)).sum()

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, weight: Tensor, u: Tensor, v: Tensor) -> Any:
        shape = tuple(weight.shape[axis] for axis in self.order)
        back = tuple(self.order.index(axis) for axis in range(weight.ndim))
        direction = transpose(reshape(reshape(u, (-1, 1)) * reshape(v, (1, -1)), shape), back)  # d sigma / d W
        if not is_grad_enabled():
            sigma = self._sigma(weight.data, u.data, v.data)
            along = (gy.data * weight.data).sum() / (sigma * sigma)
            return Tensor(gy.data / sigma - along * direction.data), None, None
        sigma = sum(u * matmul(flatten(transpose(weight, self.order), 1), v))
        return gy / sigma - sum(gy * weight) / (sigma * sigma) * direction, None, None


@operator(weight=NETWORK, u=NETWORK, v=NETWORK, dim=AXIS)
def spectral_normalize(weight: Any, u: Any, v: Any, dim: int = 0) -> Tensor:
    """weight / sigma with sigma = u' W v, the matrix W being ``weight`` with axis ``dim`` first and the others joined.

    With ``u`` and ``v`` the first singular vectors of W, sigma is its largest singular value. They are constants: at
    the singular vectors the gradient of sigma is u v' anyway. Source: T. Miyato et al., "Spectral normalization for
    generative adversarial networks", 2018, equations 8 and 12.
    """
    check_alike("spectral_normalize", weight=weight, u=u, v=v)
    u, v = u.detach(), v.detach()
    rows = weight.shape[dim] if -weight.ndim <= dim < weight.ndim and weight.ndim > 1 else 0
    if rows == 0 or u.shape != (rows,) or v.shape != (weight.size // rows,):
        raise ValueError(
            f"spectral_normalize: weight {weight.shape} with outputs along axis {dim} needs u and v of as many numbers "
            f"as its matrix has rows and columns, got {u.shape} and {v.shape}"
        )
    dim %= weight.ndim
    return SpectralNormalize((dim, *(axis for axis in range(weight.ndim) if axis != dim)))(weight, u, v)
