"""Tensor: an array that remembers where it came from.

It holds a NumPy or CuPy array (``data``), whether a gradient is wanted (``requires_grad``), and the Node that made
it, if one did. All arithmetic lives one floor up, in `scratchgan.ops`: the operators and methods here only delegate.
"""

from __future__ import annotations

import operator
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .device import Array, device_of, namespace, to_device

if TYPE_CHECKING:
    from .autograd import Node

_new = object.__new__
ops: Any = None  # scratchgan.ops puts itself here when it is imported, so that imports only point down


class Tensor:
    """An array with a place in a graph of gradients.

    ``data``: a NumPy or CuPy array, which is shared and not copied; or Python numbers and nested lists, of which floats
    become float32. ``requires_grad``: make this a leaf that gradients are computed for (floating dtypes only).
    """

    __slots__ = ("__weakref__", "_given", "_grad", "_hooks", "_index", "_node", "data", "requires_grad")
    __array_ufunc__ = None  # an ndarray on the left of an operator leaves it to Tensor

    def __init__(self, data: Any, requires_grad: bool = False, *, dtype: Any = None):
        if isinstance(data, Tensor):
            data = data.data
        elif type(data) is not np.ndarray and not hasattr(data, "__cuda_array_interface__"):
            data, dtype = _as_array(data, dtype)
        if dtype is not None and data.dtype != dtype:
            data = data.astype(dtype)
        if data.dtype.kind not in "fiub":
            raise TypeError(f"Tensor: it holds real numbers or bools, got {data.dtype}")
        if requires_grad and data.dtype not in (np.float32, np.float64):
            raise TypeError(f"Tensor: only float32 and float64 can require a gradient, got {data.dtype}")
        self.data: Array = data
        self._given = True  # by the user, who may still write to it; see `scratchgan.guard`
        self.requires_grad = requires_grad
        self._grad: Tensor | None = None
        self._node: Node | None = None
        self._index = 0
        self._hooks: list[Callable[[Tensor], Tensor | None]] | None = None

    @staticmethod
    def _made_by(node: Node | None, index: int, data: Array) -> Tensor:
        """Wrap output ``index`` of ``node``, or a constant if there is no node; the fast way, without checks."""
        self = _new(Tensor)
        self.data = data
        self._given = False
        self.requires_grad = node is not None
        self._grad = None
        self._node = node
        self._index = index  # _hooks stays unset: they are for leaves, a result's are its Node's
        return self

    # What it is

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.data.size

    @property
    def device(self) -> str:
        """ "cpu" or "cuda:<index>"."""
        return device_of(self.data)

    @property
    def namespace(self) -> Any:
        """The module whose functions work on ``data``: numpy or cupy."""
        return namespace(self.data)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operator made this Tensor."""
        return self._node is None

    @property
    def grad(self) -> Tensor | None:
        """The gradient that ``backward`` accumulated here: of leaves, and of those that `retain_grad` was called on."""
        if self._grad is None and self._node is not None:
            warnings.warn(
                f"the .grad of a result (of {self._node.name}) is not kept, only that of leaves: "
                "call retain_grad() on it before backward(), or use grad(outputs, inputs)",
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and (value.shape, value.dtype) != (self.shape, self.dtype):
            raise ValueError(f"grad must be {self.dtype} {self.shape}, got {value.dtype} {value.shape}")
        self._grad = value

    def __repr__(self) -> str:
        numbers = np.array2string(to_device(self.data, "cpu"), separator=", ", prefix="Tensor(", precision=4)
        extra = "" if self.dtype == np.float32 else f", dtype={self.dtype}"
        extra += "" if self.device == "cpu" else f", device={self.device!r}"
        extra += f", made by {self._node.name}" if self._node else ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({numbers}{extra})"

    # Gradients

    def backward(self, gradient: Tensor | None = None, create_graph: bool = False) -> None:
        """Add the gradient of this Tensor to ``.grad`` of every leaf behind it; see `scratchgan.autograd.backward`."""
        from .autograd import backward

        backward(self, gradient, create_graph)

    def zero_grad(self) -> None:
        """Forget the accumulated gradient."""
        self._grad = None

    def detach(self) -> Tensor:
        """Return a constant with the same array: no gradient flows back through it."""
        tensor = Tensor._made_by(None, 0, self.data)
        tensor._given = self._given
        return tensor

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Callable[[], None]:
        """Call ``hook(gradient)`` whenever the whole gradient of this Tensor is known.

        A Tensor that it returns replaces the gradient. Returns a function that removes the hook.
        """
        if not self.requires_grad:
            raise ValueError("register_hook: this Tensor does not require a gradient")
        if self._node is None:
            self._hooks = self._hooks or []
            return _listed(self._hooks, hook)
        self._node.hooks = self._node.hooks or []
        return _listed(self._node.hooks, (self._index, hook))

    def retain_grad(self) -> None:
        """Keep the gradient of this result in ``.grad`` on every later backward, as leaves do."""
        if self._node is None:
            return
        this = weakref.ref(self)  # the graph must not keep its own result alive

        def keep(gradient: Tensor) -> None:
            tensor = this()
            if tensor is not None:
                tensor._grad = gradient if tensor._grad is None else tensor._grad + gradient

        self.register_hook(keep)

    # Out of the graph

    def numpy(self) -> np.ndarray:
        """Return the array itself, without a copy; it is read-only if an operator made it."""
        if not isinstance(self.data, np.ndarray):
            raise TypeError(f"numpy(): this Tensor is on {self.device}; copy it with .to('cpu').numpy()")
        return self.data

    def item(self) -> float | int | bool:
        """Return the only element as a Python number."""
        if self.size != 1:
            raise ValueError(f"item(): only a Tensor of one element is a number, this one has shape {self.shape}")
        return self.data.item()

    def tolist(self) -> Any:
        """Return nested lists of Python numbers."""
        return self.data.tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a Tensor with no axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    # Copies, and pickles: of leaves and constants. A result is its graph, and that would be copied to the last leaf.

    def __reduce_ex__(self, protocol: Any) -> Any:
        self._refuse_copy("pickle")
        return type(self), (self.numpy(), self.requires_grad)

    def __copy__(self) -> Tensor:
        return self if self._node is not None else type(self)(self.data, self.requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        self._refuse_copy("copy.deepcopy")
        memo[id(self)] = copy = type(self)(self.data.copy(), self.requires_grad)
        return copy

    def _refuse_copy(self, operation: str) -> None:
        if self._node is not None:
            raise TypeError(
                f"{operation}: this Tensor {self.shape} is a result (of {self._node.name}, applied at "
                f"{self._node.where}), and its graph cannot be copied; use .detach(), and keep no result in a module"
            )

    # Arithmetic: each of these is the function of the same name in scratchgan.ops

    def __add__(self, other: Any) -> Tensor:
        return ops.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return ops.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return ops.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return ops.subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return ops.multiply(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return ops.multiply(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return ops.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return ops.divide(other, self)

    def __pow__(self, exponent: Any) -> Tensor:
        return ops.power(self, exponent)

    def __rpow__(self, base: Any) -> Tensor:
        return ops.power(base, self)

    def __matmul__(self, other: Any) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return ops.negative(self)

    def __abs__(self) -> Tensor:
        return ops.abs(self)

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index)

    # Comparisons give constants of dtype bool. A Tensor is hashed by what it is, not by its numbers.

    def _compare(self, other: Any, relation: Callable[[Any, Any], Any]) -> Tensor:
        other = other.data if isinstance(other, Tensor) else other
        try:
            mask = (
                np.asarray(relation(self.data, other))
                if isinstance(self.data, np.ndarray)
                else relation(self.data, other)
            )
        except (ValueError, TypeError) as error:
            raise type(error)(f"{relation.__name__}: a Tensor {self.shape} and {np.shape(other)}: {error}") from None
        if isinstance(mask, np.ndarray):
            mask.setflags(write=False)
        return Tensor._made_by(None, 0, mask)

    def __lt__(self, other: Any) -> Tensor:
        return self._compare(other, operator.lt)

    def __le__(self, other: Any) -> Tensor:
        return self._compare(other, operator.le)

    def __gt__(self, other: Any) -> Tensor:
        return self._compare(other, operator.gt)

    def __ge__(self, other: Any) -> Tensor:
        return self._compare(other, operator.ge)

    def __eq__(self, other: Any) -> Any:
        return self._compare(other, operator.eq)

    def __ne__(self, other: Any) -> Any:
        return self._compare(other, operator.ne)

    __hash__ = object.__hash__

    def sum(self, axis: Any = None, keepdims: bool = False, **names: Any) -> Tensor:
        return ops.sum(self, axis, keepdims, **names)

    def mean(self, axis: Any = None, keepdims: bool = False, **names: Any) -> Tensor:
        return ops.mean(self, axis, keepdims, **names)

    def var(self, axis: Any = None, keepdims: bool = False, **names: Any) -> Tensor:
        return ops.var(self, axis, keepdims, **names)

    def max(self, axis: Any = None, keepdims: bool = False, **names: Any) -> Tensor:
        return ops.max(self, axis, keepdims, **names)

    def min(self, axis: Any = None, keepdims: bool = False, **names: Any) -> Tensor:
        return ops.min(self, axis, keepdims, **names)

    def exp(self) -> Tensor:
        return ops.exp(self)

    def log(self) -> Tensor:
        return ops.log(self)

    def sqrt(self) -> Tensor:
        return ops.sqrt(self)

    def abs(self) -> Tensor:
        return ops.abs(self)

    def tanh(self) -> Tensor:
        return ops.tanh(self)

    def sigmoid(self) -> Tensor:
        return ops.sigmoid(self)

    def relu(self) -> Tensor:
        return ops.relu(self)

    def clip(self, minimum: float | None = None, maximum: float | None = None) -> Tensor:
        return ops.clip(self, minimum, maximum)

    def reshape(self, *shape: Any) -> Tensor:
        return ops.reshape(self, *shape)

    def flatten(self, start: int = 0) -> Tensor:
        return ops.flatten(self, start)

    def transpose(self, *axes: Any) -> Tensor:
        return ops.transpose(self, *axes)

    def broadcast_to(self, shape: tuple[int, ...]) -> Tensor:
        return ops.broadcast_to(self, shape)

    @property
    def T(self) -> Tensor:
        """All axes in reverse order."""
        return ops.transpose(self)

    def to(self, device: str) -> Tensor:
        """Return this Tensor on ``device``; the gradient comes back to where this one is."""
        return ops.to_device(self, device)

    def astype(self, dtype: Any) -> Tensor:
        """Return this Tensor in another floating dtype; the gradient comes back in this one's."""
        return ops.astype(self, dtype)


def _as_array(data: Any, dtype: Any) -> tuple[np.ndarray, Any]:
    """Return what is no plain array as one, and the dtype to convert it to; Python's floats become float32."""
    if isinstance(data, np.ma.MaskedArray):
        raise TypeError("Tensor: a masked array's mask would be lost; fill it (.filled) and keep the mask as a Tensor")
    if isinstance(data, (np.ndarray, np.generic)):  # a subclass: np.memmap, np.matrix
        return np.asarray(data), dtype
    try:
        array = np.asarray(data)
    except ValueError:  # NumPy says "inhomogeneous"
        raise ValueError("Tensor: nested lists must have equal lengths, these are inhomogeneous") from None
    if array.dtype == object:
        raise TypeError(f"Tensor: expected numbers or nested lists of equal lengths, got {type(data).__name__}")
    if dtype is None and array.dtype == np.float64 and not hasattr(data, "__array__"):
        dtype = np.float32
    return array, dtype


def _listed(items: list[Any], item: Any) -> Callable[[], None]:
    items.append(item)
    return lambda: items.remove(item)


def as_tensor(data: Any, dtype: Any = None) -> Tensor:
    """Return ``data`` itself if it is a Tensor, else a constant; ``dtype`` is for Python numbers only."""
    if isinstance(data, Tensor):
        return data
    if dtype is not None and isinstance(data, (int, float)):  # NumPy's float64 scalar is a Python float
        return Tensor._made_by(None, 0, np.asarray(data, dtype))
    return Tensor(data)
