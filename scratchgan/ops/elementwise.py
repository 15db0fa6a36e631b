"""Operators that act on each element alone, with NumPy's broadcasting.

Every function takes Tensors, arrays or Python numbers and returns a Tensor. Operands must agree in dtype: a Python
number takes the Tensor's, and float32 never becomes float64 on the way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Function
from ..device import Array, DeviceError, namespace
from ..tensor import Tensor, as_tensor
from .shape import sum_to


def _operands(operator: str, a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Return both operands as Tensors of one dtype on one device; a number or a mask adopts the other's dtype."""
    if not isinstance(a, Tensor):
        a = _constant(a, b)
    if not isinstance(b, Tensor):
        b = _constant(b, a)
    x, y = a.data, b.data
    if x.dtype is not y.dtype and x.dtype != y.dtype:
        if x.dtype == bool:
            a = Tensor(x.astype(y.dtype))
        elif y.dtype == bool:
            b = Tensor(y.astype(x.dtype))
        else:
            raise TypeError(
                f"{operator}: the operands are {x.dtype} and {y.dtype}; nothing is promoted silently, "
                "convert one with .astype"
            )
    if type(x) is not type(y):
        raise DeviceError(f"{operator}: the operands are on {a.device} and {b.device}; move one with .to")
    return a, b


def _constant(value: Any, like: Any) -> Tensor:
    """Return an operand that is no Tensor as one; a number, in the dtype and on the device of ``like``."""
    if isinstance(value, (int, float)) and isinstance(like, Tensor):
        xp = like.namespace
        if xp is np:
            return Tensor._made_by(None, 0, np.asarray(value, like.data.dtype))
        return Tensor._made_by(None, 0, xp.full((), value, like.data.dtype))  # a launch, where asarray would be a copy
    return as_tensor(value)


class Add(Function):
    saves_inputs = saves_output = False

    def forward(self, a: Array, b: Array) -> Array:
        self.shapes = a.shape, b.shape
        return a + b

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, a: None, b: None) -> Any:
        return (
            sum_to(gy, self.shapes[0]) if needs[0] else None,
            sum_to(gy, self.shapes[1]) if needs[1] else None,
        )


class Subtract(Function):
    saves_inputs = saves_output = False

    def forward(self, a: Array, b: Array) -> Array:
        self.shapes = a.shape, b.shape
        return a - b

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, a: None, b: None) -> Any:
        return (
            sum_to(gy, self.shapes[0]) if needs[0] else None,
            sum_to(-gy, self.shapes[1]) if needs[1] else None,
        )


class Multiply(Function):
    saves_output = False

    def forward(self, a: Array, b: Array) -> Array:
        return a * b

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, a: Tensor, b: Tensor) -> Any:
        return (
            sum_to(gy * b, a.shape) if needs[0] else None,
            sum_to(gy * a, b.shape) if needs[1] else None,
        )


class Divide(Function):
    saves_output = False

    def forward(self, a: Array, b: Array) -> Array:
        return a / b

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, a: Tensor, b: Tensor) -> Any:
        ga = gy / b
        return (
            sum_to(ga, a.shape) if needs[0] else None,
            sum_to(-ga * a / b, b.shape) if needs[1] else None,
        )


class Negative(Function):
    saves_inputs = saves_output = False

    def forward(self, x: Array) -> Array:
        return -x

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return -gy


class Power(Function):
    """x to a constant power."""

    saves_output = False

    def __init__(self, exponent: float):
        self.exponent = exponent

    def forward(self, x: Array) -> Array:
        return x**self.exponent

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor) -> Any:
        if self.exponent == 0:  # also where x is 0, for which 0 * x**-1 would be NaN
            return gy * 0.0
        return gy * (power(x, self.exponent - 1) * self.exponent)


class PowerTensor(Function):
    """A base to an exponent that is a Tensor too."""

    saves_output = True

    def forward(self, base: Array, exponent: Array) -> Array:
        return base**exponent

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: Tensor, base: Tensor, exponent: Tensor) -> Any:
        g_base = g_exponent = None
        if needs[0]:  # e * b**(e-1), which is 0 for e = 0 even where b is 0
            slope = where(exponent == 0, 0.0, exponent * power(base, where(exponent == 0, 1.0, exponent - 1)))
            g_base = sum_to(gy * slope, base.shape)
        if needs[1]:  # y * log(b), which tends to 0 as b does
            slope = where(base == 0, 0.0, y * log(where(base == 0, 1.0, base)))
            g_exponent = sum_to(gy * slope, exponent.shape)
        return g_base, g_exponent


class Exp(Function):
    saves_inputs, saves_output = False, True

    def forward(self, x: Array) -> Array:
        return namespace(x).exp(x)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: Tensor, x: None) -> Any:
        return gy * y


class Log(Function):
    saves_output = False

    def forward(self, x: Array) -> Array:
        return namespace(x).log(x)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor) -> Any:
        return gy / x


class Sqrt(Function):
    saves_inputs, saves_output = False, True

    def forward(self, x: Array) -> Array:
        return namespace(x).sqrt(x)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: Tensor, x: None) -> Any:
        return gy / (y * 2.0)


class Abs(Function):
    saves_output = False

    def forward(self, x: Array) -> Array:
        return namespace(x).abs(x)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor) -> Any:
        return gy * Tensor(x.namespace.sign(x.data))


class Clip(Function):
    saves_output = False

    def __init__(self, minimum: float | None, maximum: float | None):
        self.minimum, self.maximum = minimum, maximum

    def forward(self, x: Array) -> Array:
        return namespace(x).clip(x, self.minimum, self.maximum)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: Tensor) -> Any:
        inside = x.namespace.ones_like(x.data, dtype=bool)
        if self.minimum is not None:
            inside &= x.data >= self.minimum
        if self.maximum is not None:
            inside &= x.data <= self.maximum
        return gy * Tensor(inside)


class Where(Function):
    saves_inputs = saves_output = False

    def __init__(self, condition: Array):
        self.condition = condition

    def forward(self, a: Array, b: Array) -> Array:
        self.shapes = a.shape, b.shape
        return namespace(a).where(self.condition, a, b)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, a: None, b: None) -> Any:
        return (
            sum_to(where(self.condition, gy, 0.0), self.shapes[0]) if needs[0] else None,
            sum_to(where(self.condition, 0.0, gy), self.shapes[1]) if needs[1] else None,
        )


class Maximum(Function):
    saves_output = False

    def forward(self, a: Array, b: Array) -> Array:
        return namespace(a).maximum(a, b)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, a: Tensor, b: Tensor) -> Any:
        share = ((a.data > b.data) + 0.5 * (a.data == b.data)).astype(a.dtype)  # how much of y is a: 1, 1/2 or 0
        return (
            sum_to(gy * Tensor(share), a.shape) if needs[0] else None,
            sum_to(gy * Tensor(1 - share), b.shape) if needs[1] else None,
        )


def add(a: Any, b: Any) -> Tensor:
    """a + b."""
    return Add()(*_operands("add", a, b))


def subtract(a: Any, b: Any) -> Tensor:
    """a - b."""
    return Subtract()(*_operands("subtract", a, b))


def multiply(a: Any, b: Any) -> Tensor:
    """a * b."""
    return Multiply()(*_operands("multiply", a, b))


def divide(a: Any, b: Any) -> Tensor:
    """a / b."""
    return Divide()(*_operands("divide", a, b))


def negative(x: Any) -> Tensor:
    """-x."""
    return Negative()(x)


def power(base: Any, exponent: Any) -> Tensor:
    """base ** exponent; either may be a number. At base 0 the gradient with respect to the exponent is 0."""
    if isinstance(exponent, (int, float)):
        return Power(exponent)(base)
    return PowerTensor()(*_operands("power", base, exponent))


def exp(x: Any) -> Tensor:
    """e ** x."""
    return Exp()(x)


def log(x: Any) -> Tensor:
    """The natural logarithm."""
    return Log()(x)


def sqrt(x: Any) -> Tensor:
    """The square root; its gradient at 0 is infinite."""
    return Sqrt()(x)


def abs(x: Any) -> Tensor:
    """|x|; the gradient at 0 is 0."""
    return Abs()(x)


def clip(x: Any, minimum: float | None = None, maximum: float | None = None) -> Tensor:
    """x held between two bounds, either of which may be None; the gradient at a bound is 1."""
    if minimum is not None and maximum is not None and minimum > maximum:
        raise ValueError(f"clip: minimum {minimum} is above maximum {maximum}")
    return Clip(minimum, maximum)(x)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where ``condition`` (bool, not differentiable) holds, b elsewhere; the three are broadcast."""
    condition = condition.data if isinstance(condition, Tensor) else condition
    if condition.dtype != bool:
        raise TypeError(f"where: the condition must be bool, got {condition.dtype}")
    a, b = _operands("where", a, b)
    return Where(a.namespace.asarray(condition))(a, b)


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of a and b, element by element; where they are equal each gets half the gradient."""
    return Maximum()(*_operands("maximum", a, b))


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of a and b, element by element; where they are equal each gets half the gradient."""
    a, b = _operands("minimum", a, b)
    return -maximum(-a, -b)
