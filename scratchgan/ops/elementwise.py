"""Operators that act on each element alone, with NumPy's broadcasting.

Every function takes Tensors, arrays or numbers and returns a Tensor. Operands must agree in dtype: a number takes the
Tensor's, and float32 never becomes float64 on the way; `scratchgan.ops.arguments` has the whole of that rule.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Function, constant
from ..device import Array, namespace
from ..guard import kept
from ..tensor import Tensor
from .arguments import (
    MASK,
    RULES,
    TENSOR,
    beside,
    binary,
    check_broadcast,
    either,
    is_number,
    number,
    operands,
    operator,
    optional,
    unary,
)
from .shape import sum_to


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

    saves_output = False

    def forward(self, base: Array, exponent: Array) -> Array:
        return base**exponent

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, base: Tensor, exponent: Tensor) -> Any:
        return (
            sum_to(gy * PowerByBase()(base, exponent), base.shape) if needs[0] else None,
            sum_to(gy * PowerByExponent()(base, exponent), exponent.shape) if needs[1] else None,
        )


class PowerByBase(Function):
    """e * b**(e-1): how b**e changes with b. For e = 0 that is 0, even where b is 0 and b**-1 infinite."""

    saves_output = False

    def forward(self, base: Array, exponent: Array) -> Array:
        constant = exponent == 0
        return namespace(base).where(constant, 0, exponent * base ** (exponent - 1 + constant))

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, base: Tensor, exponent: Tensor) -> Any:
        g_base = g_exponent = None
        if needs[0]:
            g_base = sum_to(gy * (exponent * PowerByBase()(base, exponent - 1.0)), base.shape)
        if needs[1]:
            g_exponent = sum_to(gy * _power_by_both(base, exponent), exponent.shape)
        return g_base, g_exponent


class PowerByExponent(Function):
    """b**e * log(b): how b**e changes with e. Where b is 0, its limit: 0 for e > 0; PyTorch takes 0 for e = 0 too."""

    saves_output = False

    def forward(self, base: Array, exponent: Array) -> Array:
        xp = namespace(base)
        flat = (base == 0) & (exponent >= 0)
        return xp.where(flat, 0, base**exponent * xp.log(xp.where(flat, 1, base)))

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, base: Tensor, exponent: Tensor) -> Any:
        g_base = g_exponent = None
        if needs[0]:
            g_base = sum_to(gy * _power_by_both(base, exponent), base.shape)
        if needs[1]:
            flat = constant((base.data == 0) & (exponent.data >= 0))
            slope = PowerByExponent()(base, exponent) * log(where(flat, 1.0, base))
            g_exponent = sum_to(gy * slope, exponent.shape)
        return g_base, g_exponent


def _power_by_both(base: Tensor, exponent: Tensor) -> Tensor:
    """b**(e-1) * (1 + e*log(b)), which changes b**e with both. Where b is 0: 0 for e > 1, and infinite for e = 0."""
    zero, e = base.data == 0, exponent.data
    flat = constant(zero & ((e > 1) | (e == 0)))
    logarithm = log(where(flat, 1.0, base))
    return power(base, exponent - 1.0) * (1.0 + exponent * logarithm)


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
        outside = x.namespace.zeros_like(x.data, dtype=bool)  # NaN is not outside: the result is x
        if self.minimum is not None:
            outside |= x.data < self.minimum
        if self.maximum is not None:
            outside |= x.data > self.maximum
        return where(constant(outside), 0.0, gy)


class Where(Function):
    saves_inputs = saves_output = False

    def __init__(self, condition: Any):
        self.condition = kept(condition)

    def forward(self, a: Array, b: Array) -> Array:
        self.shapes = a.shape, b.shape
        return namespace(a).where(self.condition, a, b)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, a: None, b: None) -> Any:
        return (
            sum_to(where(constant(self.condition), gy, 0.0), self.shapes[0]) if needs[0] else None,
            sum_to(where(constant(self.condition), 0.0, gy), self.shapes[1]) if needs[1] else None,
        )


class Maximum(Function):
    """The gradient goes to the larger, half to each of two equal ones, and to the one that is NaN."""

    saves_output = False

    def forward(self, a: Array, b: Array) -> Array:
        return namespace(a).maximum(a, b)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, a: Tensor, b: Tensor) -> Any:
        return _shared(needs, gy, a, b, a.data > b.data)


class Minimum(Function):
    saves_output = False

    def forward(self, a: Array, b: Array) -> Array:
        return namespace(a).minimum(a, b)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, a: Tensor, b: Tensor) -> Any:
        return _shared(needs, gy, a, b, a.data < b.data)


def _shared(needs: tuple[bool, ...], gy: Tensor, a: Tensor, b: Tensor, a_wins: Array) -> Any:
    """Return both gradients of a choice between a and b."""
    xp, x, y = a.namespace, a.data, b.data
    share = a_wins + 0.5 * (x == y)  # how much of the result is a: 1, 1/2 or 0
    if a.data.dtype.kind == "f":
        unknown_a, unknown_b = xp.isnan(x), xp.isnan(y)
        share = share + unknown_a * xp.where(unknown_b, 0.5, 1.0)
    share = share.astype(gy.dtype)
    return (
        sum_to(gy * constant(share), a.shape) if needs[0] else None,
        sum_to(gy * constant(1 - share), b.shape) if needs[1] else None,
    )


@binary(Add)
def add(a: Any, b: Any) -> Tensor:  # type: ignore[empty-body]
    """a + b."""


@binary(Subtract, masks=False)
def subtract(a: Any, b: Any) -> Tensor:  # type: ignore[empty-body]
    """a - b."""


@binary(Multiply)
def multiply(a: Any, b: Any) -> Tensor:  # type: ignore[empty-body]
    """a * b."""


@binary(Divide, floating=True)
def divide(a: Any, b: Any) -> Tensor:  # type: ignore[empty-body]
    """a / b, a floating number also for integers."""


@operator(x=TENSOR)
def negative(x: Any) -> Tensor:
    """-x."""
    if x.data.dtype == bool:
        raise TypeError("negative: x is bool; it needs numbers (1.0 - x turns a mask over)")
    return Negative()(x)


def power(base: Any, exponent: Any) -> Tensor:
    """base ** exponent; either may be a number, whose dtype is the other's.

    Where the base is 0, the gradient with respect to the exponent is 0 for exponents of 0 and more, and -inf below.
    Integers to a negative constant power are refused: give the exponent as a float.
    """
    if isinstance(base, Tensor) and (type(exponent) is int or type(exponent) is float) and base.data.dtype.kind == "f":
        return Power(exponent)(base)
    return _power(base, exponent)


def _power(base: Any, exponent: Any) -> Tensor:
    if is_number(exponent) and not isinstance(exponent, (bool, np.bool_)) and not is_number(base):
        base = TENSOR.check("power", "base", base)
        if base.data.dtype.kind != "f":
            if not isinstance(exponent, (float, np.floating)) and exponent < 0:
                raise ValueError(f"power: integers to the power {exponent} are no integers; give it as a float")
            constant, base = beside("power", exponent, base)
            exponent = constant.item()
        return Power(exponent.item() if isinstance(exponent, np.generic) else exponent)(base)
    if not is_number(base):
        base = TENSOR.check("power", "base", base)
    if not is_number(exponent):
        exponent = TENSOR.check("power", "exponent", exponent)
    base, exponent = operands("power", base, exponent, masks=False)
    if exponent.data.dtype.kind == "i" and (exponent.data < 0).any():
        raise ValueError("power: integers to negative powers are no integers; make one operand floating")
    check_broadcast("power", base.shape, exponent.shape)
    return PowerTensor()(base, exponent)


RULES["power"] = {"base": TENSOR, "exponent": TENSOR}


@unary(Exp)
def exp(x: Any) -> Tensor:  # type: ignore[empty-body]
    """e ** x."""


@unary(Log)
def log(x: Any) -> Tensor:  # type: ignore[empty-body]
    """The natural logarithm."""


@unary(Sqrt)
def sqrt(x: Any) -> Tensor:  # type: ignore[empty-body]
    """The square root; its gradient at 0 is infinite."""


@operator(x=TENSOR)
def abs(x: Any) -> Tensor:
    """|x|; the gradient at 0 is 0."""
    return Abs()(x)


_BOUND = optional(either(TENSOR, number(infinite=True), lambda value: isinstance(value, (Tensor, np.ndarray))))


@operator(x=TENSOR, minimum=_BOUND, maximum=_BOUND)
def clip(x: Any, minimum: Any = None, maximum: Any = None) -> Tensor:
    """x held between two bounds, numbers or Tensors, either of which may be None.

    The gradient at a number's bound is 1; at a Tensor's, x and the bound share it. NaN stays NaN.
    """
    if isinstance(minimum, Tensor) or isinstance(maximum, Tensor):
        check_broadcast("clip", *[v.shape for v in (x, minimum, maximum) if isinstance(v, Tensor)])
        x = x if minimum is None else Maximum()(*operands("clip", x, minimum))
        return x if maximum is None else Minimum()(*operands("clip", x, maximum))
    if minimum is not None and maximum is not None and minimum > maximum:
        raise ValueError(f"clip: minimum {minimum} is above maximum {maximum}")
    if x.data.dtype == bool:
        raise TypeError("clip: x is bool; it needs numbers")
    if x.data.dtype.kind != "f":
        for bound in (minimum, maximum):
            if bound is not None:
                _, x = beside("clip", bound, x)
    return Clip(minimum, maximum)(x)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where ``condition`` (bool, not differentiable) holds, b elsewhere; the three are broadcast."""
    if not isinstance(condition, Tensor):
        condition = Tensor(MASK.check("where", "condition", condition))
    elif condition.data.dtype != bool:
        MASK.check("where", "condition", condition)
    if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.data.dtype is b.data.dtype):
        a, b = operands("where", a, b)
    check_broadcast("where", condition.shape, a.shape, b.shape)
    if type(condition.data) is not type(a.data):
        condition = constant(a.namespace.asarray(condition.data))
    return Where(condition)(a, b)


RULES["where"] = {"condition": MASK, "a": TENSOR, "b": TENSOR}


@binary(Maximum)
def maximum(a: Any, b: Any) -> Tensor:  # type: ignore[empty-body]
    """The larger of a and b, element by element; equal ones get half the gradient each, and a NaN all of it."""


@binary(Minimum)
def minimum(a: Any, b: Any) -> Tensor:  # type: ignore[empty-body]
    """The smaller of a and b, element by element; equal ones get half the gradient each, and a NaN all of it."""
