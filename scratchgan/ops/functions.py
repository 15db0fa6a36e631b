"""Further functions of each element: powers, angles, and steps, whose gradient is 0."""

from __future__ import annotations

import math
from typing import Any

from ..autograd import Function
from ..device import Array, namespace
from ..tensor import Tensor
from .arguments import OPERAND, TENSOR, check_broadcast, operands, operator, unary
from .elementwise import exp
from .shape import sum_to


class Rsqrt(Function):
    saves_inputs, saves_output = False, True

    def forward(self, x: Array) -> Array:
        return 1 / namespace(x).sqrt(x)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: Tensor, x: None) -> Any:
        return gy * (y * y * y) * -0.5


class Sin(Function):
    saves_output = False

    def forward(self, x: Array) -> Array:
        return namespace(x).sin(x)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor) -> Any:
        return gy * cos(x)


class Cos(Function):
    saves_output = False

    def forward(self, x: Array) -> Array:
        return namespace(x).cos(x)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor) -> Any:
        return -gy * sin(x)


class Atan2(Function):
    saves_output = False

    def forward(self, y: Array, x: Array) -> Array:
        return namespace(y).arctan2(y, x)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, _: None, y: Tensor, x: Tensor) -> Any:
        part = gy / (x * x + y * y)
        return (
            sum_to(part * x, y.shape) if needs[0] else None,
            sum_to(-part * y, x.shape) if needs[1] else None,
        )


class Floor(Function):
    saves_inputs = saves_output = False

    def forward(self, x: Array) -> Array:
        return namespace(x).floor(x)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return gy * 0.0


class Round(Function):
    saves_inputs = saves_output = False

    def forward(self, x: Array) -> Array:
        return namespace(x).rint(x)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return gy * 0.0


class Erf(Function):
    saves_output = False

    def forward(self, x: Array) -> Array:
        return _erf(namespace(x), x)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor) -> Any:
        return gy * exp(-x * x) * (2 / math.sqrt(math.pi))


# The Taylor coefficients of erf(x) / x in x**2, below 1; above, x * exp(x**2) * erfc(x) * sqrt(pi) is a continued
# fraction (Abramowitz & Stegun 1964, 7.1.5 and 7.1.14), cut off where float64 no longer sees the rest.
_SERIES = [2 / math.sqrt(math.pi) * (-1) ** n / (math.factorial(n) * (2 * n + 1)) for n in range(40)]
_SPLIT, _LEVELS = 2.0, 60


def _erf(xp: Any, x: Array) -> Array:
    """Return the error function, by elementary functions only: neither NumPy nor CuPy has one of its own."""
    wide = x.astype(float)
    size = xp.minimum(xp.abs(wide), 6.0)  # there erf is 1 in float64, and exp(-x**2) still a number
    small = xp.minimum(size, _SPLIT)
    square, series = small * small, xp.zeros_like(wide)
    for coefficient in reversed(_SERIES):
        series = series * square + coefficient
    large = xp.maximum(size, _SPLIT)
    fraction = large
    for level in range(_LEVELS, 0, -1):
        fraction = large + level / 2 / fraction
    beyond = 1 - xp.exp(-large * large) / (fraction * math.sqrt(math.pi))
    return (xp.sign(wide) * xp.where(size < _SPLIT, small * series, beyond)).astype(x.dtype)


@unary(Rsqrt)
def rsqrt(x: Any) -> Tensor:  # type: ignore[empty-body]
    """1 / sqrt(x)."""


@unary(Sin)
def sin(x: Any) -> Tensor:  # type: ignore[empty-body]
    """The sine of an angle in radians."""


@unary(Cos)
def cos(x: Any) -> Tensor:  # type: ignore[empty-body]
    """The cosine of an angle in radians."""


@operator(y=OPERAND, x=OPERAND)
def atan2(y: Any, x: Any) -> Tensor:
    """The angle of the point (x, y), -pi to pi, with broadcasting; its gradient at the origin is NaN."""
    y, x = operands("atan2", y, x, floating=True)
    check_broadcast("atan2", y.shape, x.shape)
    return Atan2()(y, x)


@operator(x=TENSOR)
def floor(x: Any) -> Tensor:
    """The largest integer that is not above x, in x's dtype; the gradient is 0 everywhere, also where it jumps."""
    return Floor()(x) if x.data.dtype.kind == "f" else x


@operator(x=TENSOR)
def round(x: Any) -> Tensor:
    """The nearest integer, halves to the even one, in x's dtype; the gradient is 0 everywhere, also where it jumps."""
    return Round()(x) if x.data.dtype.kind == "f" else x


@unary(Erf)
def erf(x: Any) -> Tensor:  # type: ignore[empty-body]
    """The error function, 2/sqrt(pi) times the integral of exp(-t**2) from 0 to x."""
