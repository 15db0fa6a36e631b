"""What operators and layers take: every rule about an argument, and the one place that applies them.

An operator says its rules above its name, and they are checked before it begins::

    @operator(x=FLOATING, slope=number(0))
    def leaky_relu(x, slope=0.01): ...

`RULES` collects them, for the documentation and for the test that gives every argument a wrong value. What is about
several arguments at once (shapes that must agree) stays with the operator. Errors begin with the name of the operator
that was called: an operator that is made of others does not show them.

Promotion, in full (docs/operators.md has it as a table):

* A *number* (Python's or a NumPy scalar) takes the dtype of the Tensor beside it, if that keeps what it is. A float
  makes integers and masks float32, and an int makes a mask int64. Nothing is ever cut.
* A *mask* (a Tensor of bool) takes the dtype of the Tensor beside it.
* Two other dtypes do not mix. TypeError names them.
* An operator whose result is no integer (`divide`, `exp`, `mean`, ...) takes integers and masks as float32.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from .. import kernels
from ..autograd import constant
from ..device import DeviceError
from ..kernels.arguments import SIZES
from ..kernels.arguments import pair as kernel_pair
from ..tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])

RULES: dict[str, dict[str, Rule]] = {}  # by the name of the operator or layer, then of the argument

#: PyTorch's name of an argument, which means the same.
ALIASES_OF = {
    "axis": "dim",
    "keepdims": "keepdim",
    "x": "input",
    "logits": "input",
    "prediction": "input",
    "labels": "target",
    "slope": "negative_slope",
    "kernel": "kernel_size",
}


@dataclass(frozen=True)
class Rule:
    """One kind of argument. ``says``: what it must be. ``check``: (operator, argument, value) -> the value to use."""

    says: str
    check: Callable[[str, str, Any], Any]
    wrong: tuple[Any, ...] = ()  # some of what it refuses

    def __repr__(self) -> str:
        return self.says


def _refuse(operator: str, argument: str, says: str, value: Any, error: type[Exception] = TypeError) -> Exception:
    text = repr(value)
    if not isinstance(value, (int, float, str, bytes, tuple, list, type(None))):
        text = f"{type(value).__name__} {text}"
    return error(f"{operator}: {argument} must be {says}, got {text if len(text) < 80 else text[:77] + '...'}")


# Tensors


def _tensor(operator: str, argument: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    try:
        return Tensor(value)
    except (TypeError, ValueError) as error:
        reason = str(error).removeprefix("Tensor: ")
        raise type(error)(f"{operator}: {argument} cannot be a Tensor: {reason}") from None


def _floating(operator: str, argument: str, value: Any) -> Tensor:
    x = _tensor(operator, argument, value)
    return x if x.data.dtype.kind == "f" else _float32(x)


def _float32(x: Tensor) -> Tensor:
    return constant(x.data.astype(np.float32))


def _network(operator: str, argument: str, value: Any) -> Tensor:
    x = _tensor(operator, argument, value)
    if x.data.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"{operator}: {argument} must be float32 or float64, got {x.dtype}; convert it before it is a Tensor"
        )
    return x


def _several(operator: str, argument: str, value: Any) -> list[Tensor]:
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, np.ndarray, Tensor)):
        raise _refuse(operator, argument, "a sequence of Tensors", value)
    return [_tensor(operator, f"{argument}[{i}]", x) for i, x in enumerate(value)]


def _operand(operator: str, argument: str, value: Any) -> Any:
    return value if is_number(value) else _tensor(operator, argument, value)


def _index(operator: str, argument: str, value: Any) -> Any:
    x = _tensor(operator, argument, value)
    if x.data.dtype.kind not in "iu" and x.size:
        raise TypeError(f"{operator}: {argument} must be integers, got {x.dtype}")
    return x.data if x.data.dtype.kind in "iu" else x.data.astype(np.int64)


def _integers(operator: str, argument: str, value: Any) -> np.ndarray:
    array = _index(operator, argument, value)
    return array if isinstance(array, np.ndarray) else array.get()


def _mask(operator: str, argument: str, value: Any) -> Any:
    x = _tensor(operator, argument, value)
    if x.dtype != bool:
        raise TypeError(f"{operator}: {argument} must be bool, got {x.dtype}")
    return x.data


_NO_TENSORS: tuple[Any, ...] = ("a", None, {}, 1j, object())

TENSOR = Rule("a Tensor, an array or numbers", _tensor, _NO_TENSORS)
FLOATING = Rule("a Tensor; integers count as float32", _floating, _NO_TENSORS)
NETWORK = Rule("a Tensor of float32 or float64", _network, (*_NO_TENSORS, np.ones((2, 3), int), True))
TENSORS = Rule("a sequence of Tensors", _several, ("a", None, 1.0, ["a"]))
OPERAND = Rule("a Tensor, an array or a number, which takes the other operand's dtype", _operand, _NO_TENSORS)
INTEGERS = Rule("integers", _integers, (*_NO_TENSORS, [0.5], [True]))
INDEX = Rule("integers, which stay on their device", _index, INTEGERS.wrong)
MASK = Rule("a mask (bool)", _mask, (*_NO_TENSORS, [1.0], [1]))


# Settings


def integer(least: int | None = None, most: int = SIZES) -> Rule:
    """An int within bounds."""
    lowest = -SIZES if least is None else least
    says = "an int" if least is None else f"an int of at least {least}"

    def check(operator: str, argument: str, value: Any) -> int:
        if type(value) is not int:
            if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
                raise _refuse(operator, argument, says, value)
            value = int(value)
        if not lowest <= value <= most:
            limit = says if value < lowest else f"an int of at most {most}"
            raise _refuse(operator, argument, limit, value, ValueError)
        return value

    return Rule(says, check, ("a", 1.5, None, True, [1], 2**70, *([] if least is None else [least - 1])))


def number(
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float | None = None,
    below: float | None = None,
    infinite: bool = False,
) -> Rule:
    """A real number within bounds: ``least`` and ``most`` belong to them, ``above`` and ``below`` do not.

    It must be finite, unless ``infinite``; NaN never is within bounds.
    """
    words = [f"at least {least}"] * (least > -math.inf) + [f"above {above}"] * (above is not None)
    words += [f"at most {most}"] * (most < math.inf) + [f"below {below}"] * (below is not None)
    says = ("a number" if infinite else "a finite number") + (" " + " and ".join(words) if words else "")

    def check(operator: str, argument: str, value: Any) -> float:
        if type(value) is not float and type(value) is not int:
            if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
                raise _refuse(operator, argument, says, value)
            value = value.item() if isinstance(value, np.generic) else value
        inside = least <= value <= most and (above is None or value > above) and (below is None or value < below)
        if not inside or not (infinite or -math.inf < value < math.inf):  # NaN is not inside
            raise _refuse(operator, argument, says, value, ValueError)
        return value

    outside = [limit for limit in (above, below) if limit is not None]
    outside += [least - 1] * (least > -math.inf) + [most + 1] * (most < math.inf)
    return Rule(says, check, ("a", None, True, [1.0], math.nan, 1j, *[math.inf] * (not infinite), *outside))


def choice(*options: Any) -> Rule:
    """One of some words."""
    says = " or ".join(map(repr, options))

    def check(operator: str, argument: str, value: Any) -> Any:
        for option in options:
            if value is option or (isinstance(value, str) and value == option):
                return option
        raise _refuse(operator, argument, says, value, ValueError if isinstance(value, str) else TypeError)

    return Rule(says, check, ("?", 1.5, []))


def optional(rule: Rule) -> Rule:
    """None, or what another rule takes."""

    def check(operator: str, argument: str, value: Any) -> Any:
        return None if value is None else rule.check(operator, argument, value)

    return Rule(f"{rule.says}, or None", check, tuple(w for w in rule.wrong if w is not None))


def either(first: Rule, second: Rule, is_first: Callable[[Any], bool]) -> Rule:
    """What one of two rules takes; ``is_first`` says by which a value is judged."""

    def check(operator: str, argument: str, value: Any) -> Any:
        return (first if is_first(value) else second).check(operator, argument, value)

    return Rule(f"{first.says}, or {second.says}", check, tuple(w for w in second.wrong if not is_first(w)))


def pair(least: int) -> Rule:
    """A size along both axes of an image: an int, or (vertical, horizontal)."""

    def check(operator: str, argument: str, value: Any) -> tuple[int, int]:
        return kernel_pair(operator, argument, value, least)

    wrong = ("a", 1.5, None, True, (1,), (1, 2, 3), (1, "a"), least - 1, (least, least - 1), 2**31, 2**70)
    return Rule(f"an int or a (vertical, horizontal) pair of ints, at least {least}", check, wrong)


def integers(count: int, least: int | None, layout: str) -> Rule:
    """A tuple or list of ``count`` ints within bounds, which ``layout`` describes."""
    one, says = integer(least), f"{count} ints {layout}" + ("" if least is None else f", at least {least}")

    def check(operator: str, argument: str, value: Any) -> tuple[int, ...]:
        if not isinstance(value, (tuple, list)) or len(value) != count:
            raise _refuse(operator, argument, says, value)
        return tuple([one.check(operator, argument, n) for n in value])

    wrong = ["a", None, 1.5, (1,) * (count + 1), (1.5,) * count, (True,) * count, (2**70,) * count]
    return Rule(says, check, (*wrong, *([] if least is None else [(least - 1,) * count])))


def _flag(operator: str, argument: str, value: Any) -> bool:
    if value is True or value is False:
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    raise _refuse(operator, argument, "True or False", value)


def _text(operator: str, argument: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _refuse(operator, argument, "a string", value)


def _generator(operator: str, argument: str, value: Any) -> np.random.Generator:
    if isinstance(value, np.random.Generator):
        return value
    raise _refuse(operator, argument, "a numpy.random.Generator (np.random.default_rng(seed))", value)


def _axes(operator: str, argument: str, value: Any) -> Any:
    """Check the kind; `normalized_axes` checks that the axes are there."""
    if value is None or type(value) is int:
        return value
    if isinstance(value, (tuple, list)):
        return tuple([AXIS.check(operator, argument, v) for v in value])
    return AXIS.check(operator, argument, value)


def _shape(operator: str, argument: str, value: Any) -> tuple[int, ...]:
    if type(value) is tuple and all([type(n) is int and -1 <= n <= SIZES for n in value]):
        return value
    given = (value,) if isinstance(value, numbers.Integral) else value
    if not isinstance(given, (tuple, list)):
        raise _refuse(operator, argument, "a tuple of ints", value)
    return tuple([_SIZE.check(operator, argument, n) for n in given])


AXIS = integer()
_SIZE = integer(-1, 2**62)
FLAG = Rule("True or False", _flag, (1, 0, "a", None, [True]))
TEXT = Rule("a string", _text, (None, 1, 1.5, ["a"], b"a"))
GENERATOR = Rule("a numpy.random.Generator", _generator, (None, 0, "a", np.random))
AXES = Rule("an axis, several, or None for all", _axes, (True, 1.5, "a", (0, 0.5), {}, 2**70))
SHAPE = Rule("a tuple of ints; -1 leaves one open", _shape, (None, 1.5, "a", (1, 1.5), (True,), (-2,), (2**70,)))
PAIR_0, PAIR_1 = pair(0), pair(1)
SLOPE, EPS = number(0), number(0)
PRECISION = choice(None, "tf32")
REDUCTION = choice("mean", "sum", "none")
ANYTHING = Rule("see its description", lambda operator, argument, value: value)


# Applying them


def operator(**rules: Rule) -> Callable[[F], F]:
    """Check the arguments of a function before each call; see the top of this file. A default needs no check."""

    def decorate(function: F) -> F:
        name = function.__name__
        RULES[name] = rules
        if tuple(rules) == ("x",):
            return _of_one(function, name, rules["x"])
        return _of_several(function, name, rules)

    return decorate


def layer(**rules: Rule) -> Callable[[F], F]:
    """Check the arguments of a layer's ``__init__``, as `operator` does those of a function; its class is named."""

    def decorate(function: F) -> F:
        apply = _of_several(function, "", rules, method=True)
        apply.rules = rules
        return apply

    return decorate


_ERRORS = (ValueError, TypeError, IndexError, ArithmeticError, DeviceError)


def _named(name: str, error: BaseException) -> None:
    """Make an error that comes from within begin with the name of the operator that was called."""
    text = str(error)
    if text.startswith(name + ":"):
        return
    inner, colon, rest = text.partition(": ")
    text = rest if colon and (inner in RULES or hasattr(kernels, inner)) else text
    error.args = (f"{name}: {text}",)


def _of_one(function: Any, name: str, rule: Rule) -> Any:
    """One Tensor and nothing else."""
    check = rule.check

    @functools.wraps(function)
    def apply(x: Any) -> Any:
        try:
            return function(check(name, "x", x))
        except _ERRORS as error:
            _named(name, error)
            raise

    return apply


def unary(function: Callable[[], Any]) -> Callable[[F], F]:
    """Make an operator of one floating Tensor of a Function; what is decorated gives the name and the description.

    This and `binary` are written out, without the loop over rules: they are the cost of every such operator.
    """

    def decorate(described: F) -> F:
        name = described.__name__
        RULES[name] = {"x": FLOATING}

        @functools.wraps(described)
        def apply(x: Any) -> Any:
            try:
                if not isinstance(x, Tensor) or not (x.requires_grad or x.data.dtype.kind == "f"):
                    x = _floating(name, "x", x)
                return function()(x)
            except _ERRORS as error:
                _named(name, error)
                raise

        return apply  # type: ignore[return-value]

    return decorate


def _of_several(function: Any, name: str, rules: dict[str, Rule], method: bool = False) -> Any:
    parameters = list(inspect.signature(function).parameters.values())[method:]
    names = tuple(p.name for p in parameters)
    if names != tuple(rules):
        raise TypeError(f"{name} has the arguments {names}, and rules for {tuple(rules)}")
    checks = tuple((p.name, rules[p.name].check, p.default) for p in parameters)
    positional = sum(p.kind is not p.KEYWORD_ONLY for p in parameters)
    keywords = names[positional:]
    index = {
        **{ALIASES_OF[n]: i for i, n in enumerate(names) if n in ALIASES_OF},
        **{n: i for i, n in enumerate(names)},
    }
    defaults = [p.default for p in parameters]
    readable = ", ".join(f"{n} ({ALIASES_OF[n]})" if n in ALIASES_OF else n for n in names)

    def bound(name: str, given: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
        if len(given) > positional:
            raise TypeError(f"{name}: it takes {positional} arguments by position ({readable}), got {len(given)}")
        values: list[Any] = [*given, *defaults[len(given) :]]
        seen = set(range(len(given)))
        for key, value in named.items():
            if key not in index:
                raise TypeError(f"{name}: unknown argument {key!r}; it takes {readable}")
            if index[key] in seen and values[index[key]] is not defaults[index[key]]:
                own = names[index[key]]
                other = f"{own} and {ALIASES_OF[own]} mean the same, give one" if own in ALIASES_OF else f"{own} twice"
                raise TypeError(f"{name}: {other}")
            seen.add(index[key])
            values[index[key]] = value
        for n, value in zip(names, values, strict=True):
            if value is inspect.Parameter.empty:
                raise TypeError(f"{name}: the argument {n} is missing; it takes {readable}")
        return values

    count = len(names)

    @functools.wraps(function)
    def apply(*given: Any, **named: Any) -> Any:
        try:
            if named or len(given) != count or keywords:
                given = bound(name, given, named)  # type: ignore[assignment]
            checked = [v if v is d else c(name, n, v) for v, (n, c, d) in zip(given, checks)]  # noqa: B905
            if keywords:
                return function(*checked[:positional], **dict(zip(keywords, checked[positional:], strict=True)))
            return function(*checked)
        except _ERRORS as error:
            _named(name, error)
            raise

    @functools.wraps(function)
    def make(self: Any, *given: Any, **named: Any) -> None:
        name = type(self).__name__
        values = bound(name, given, named)
        checked = [v if v is d else c(name, n, v) for v, (n, c, d) in zip(values, checks, strict=True)]
        function(self, *checked[:positional], **dict(zip(keywords, checked[positional:], strict=True)))

    return make if method else apply


def binary(function: Callable[[], Any], *, floating: bool = False, masks: bool = True) -> Callable[[F], F]:
    """Make an operator of two operands of one dtype of a Function; the rules of promotion are at the top of this file.

    ``floating``: its result is no integer. ``masks``: two masks are allowed.
    """

    def decorate(described: F) -> F:
        name = described.__name__
        RULES[name] = {"a": FLOATING if floating else TENSOR, "b": FLOATING if floating else TENSOR}

        @functools.wraps(described)
        def apply(a: Any, b: Any) -> Any:
            try:
                if isinstance(a, Tensor):
                    x = a.data
                    if isinstance(b, Tensor):
                        y = b.data
                        if x.dtype is y.dtype and type(x) is type(y) and (a.requires_grad or x.dtype.kind == "f"):
                            return function()(a, b)
                    elif (type(b) is float or type(b) is int) and x.dtype.kind == "f" and type(x) is np.ndarray:
                        return function()(a, constant(np.asarray(b, x.dtype)))
                return function()(*operands(name, a, b, floating, masks))
            except _ERRORS as error:
                raise _explained(name, a, b, error)  # noqa: B904 (it is the same error, or says why it came)

        return apply  # type: ignore[return-value]

    return decorate


def _explained(name: str, a: Any, b: Any, error: Exception) -> Exception:
    try:
        check_broadcast(name, *[np.shape(v.data if isinstance(v, Tensor) else v) for v in (a, b)])
    except ValueError as reason:
        return reason
    _named(name, error)
    return error


def check_alike(operator: str, **tensors: Tensor) -> None:
    """Raise TypeError unless the Tensors have one dtype and are on one device."""
    if len({(t.data.dtype, type(t.data)) for t in tensors.values()}) > 1:
        names = list(tensors)
        kinds = ", ".join(f"{name} {t.dtype} on {t.device}" for name, t in tensors.items())
        raise TypeError(
            f"{operator}: {', '.join(names[:-1])} and {names[-1]} must agree in dtype and device, got {kinds}; "
            "convert one with .astype or .to"
        )


def check_broadcast(operator: str, *shapes: tuple[int, ...]) -> None:
    """Raise ValueError unless the shapes can be broadcast together."""
    if all([shape == shapes[0] for shape in shapes]):
        return
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(map(str, shapes))
        raise ValueError(
            f"{operator}: {listed} cannot be broadcast: from the right, sizes must be equal, or 1"
        ) from None


def is_number(value: Any) -> bool:
    """Whether a value is a number, which takes the dtype of what stands beside it: Python's, or a NumPy scalar."""
    return isinstance(value, (int, float, np.bool_, np.integer, np.floating))


def operands(operator: str, a: Any, b: Any, floating: bool = False, masks: bool = True) -> tuple[Tensor, Tensor]:
    """Return both operands as Tensors of one dtype on one device, after promotion."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        pass
    elif is_number(b) and not is_number(a):
        a = _tensor(operator, "a", a)
        b, a = beside(operator, b, a)
    elif is_number(a) and not is_number(b):
        b = _tensor(operator, "b", b)
        a, b = beside(operator, a, b)
    else:
        a, b = _tensor(operator, "a", a), _tensor(operator, "b", b)
    x, y = a.data.dtype, b.data.dtype
    if x != y:
        if x.kind == "b":
            a = constant(a.data.astype(y))
        elif y.kind == "b":
            b = constant(b.data.astype(x))
        else:
            raise TypeError(
                f"{operator}: the operands are {x} and {y}; nothing is promoted silently, convert one with .astype"
            )
    elif not masks and x.kind == "b":
        raise TypeError(f"{operator}: both operands are bool; it needs numbers")
    if floating and a.data.dtype.kind != "f":
        a, b = _float32(a), _float32(b)
    if type(a.data) is not type(b.data):
        raise DeviceError(f"{operator}: the operands are on {a.device} and {b.device}; move one with .to")
    return a, b


def beside(operator: str, value: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return a number and the Tensor beside it in one dtype: the Tensor's, unless that would cut the number."""
    dtype = like.data.dtype
    if dtype.kind != "f":
        if isinstance(value, (float, np.floating)):
            like, dtype = _float32(like), np.dtype(np.float32)
        elif dtype.kind == "b" and not isinstance(value, (bool, np.bool_)):
            like, dtype = constant(like.data.astype(np.int64)), np.dtype(np.int64)
        if dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            raise ValueError(f"{operator}: {value!r} does not fit {dtype}, the dtype of the other operand")
    xp = like.namespace
    # On a GPU a launch, where asarray would be a copy from the host.
    array = np.asarray(value, dtype) if xp is np else xp.full((), value, dtype)
    return constant(array), like
