"""A stand-in for CuPy without a device: arrays that are not NumPy's, whose kernels run on the emulator.

CuPy's arrays behave like NumPy's but do not mix with them, and nothing turns one into the other without being told to
(``.get()``, ``cupy.asarray``). The stand-in keeps to that more strictly than CuPy does: a function of NumPy's that is
given one of its arrays raises, where CuPy would sometimes compute. So code that runs here asks the array's namespace
for its functions, and makes no hidden copy. What it does not show: CuPy's own computations, which are NumPy's here,
and anything about time, streams and memory.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from scratchgan.kernels import launch

from .loader import Emulator


class DeviceArray:
    """An array on the stand-in's device. ``_inner`` is where its numbers are; only the stand-in looks there."""

    __array_ufunc__ = None  # as NumPy's protocol has it: NumPy's operators leave the operation to this class
    __slots__ = ("_inner",)
    transfers = 0  # how many times numbers came to the host

    def __init__(self, inner: np.ndarray):
        self._inner = inner

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __getattr__(self, name: str) -> Any:
        value = getattr(object.__getattribute__(self, "_inner"), name)
        return _wrapped_function(value) if callable(value) else _out(value)

    @property
    def device(self) -> Any:
        return types.SimpleNamespace(id=0)

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self._inner.ctypes.data)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return dict(self._inner.__array_interface__)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._inner.shape

    @property
    def flags(self) -> Any:
        given = self._inner.flags  # CuPy's have no `writeable`
        return types.SimpleNamespace(
            c_contiguous=given.c_contiguous, f_contiguous=given.f_contiguous, owndata=given.owndata
        )

    def get(self) -> np.ndarray:
        DeviceArray.transfers += 1
        return self._inner.copy()

    def item(self) -> Any:
        DeviceArray.transfers += 1
        return self._inner.item()

    def tolist(self) -> Any:
        DeviceArray.transfers += 1
        return self._inner.tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __len__(self) -> int:
        return len(self._inner)

    def __getitem__(self, index: Any) -> Any:
        return _out(self._inner[_in(index, indices=True)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self._inner[_in(index, indices=True)] = _in(value)

    def __deepcopy__(self, memo: Any) -> DeviceArray:
        return DeviceArray(self._inner.copy())

    __hash__ = None  # type: ignore[assignment]


def _operator(name: str) -> Any:
    def apply(self: DeviceArray, *others: Any) -> Any:
        result = getattr(self._inner, name)(*[_in(other) for other in others])
        return (
            self if name.startswith("__i") and name != "__invert__" and result is not NotImplemented else _out(result)
        )

    return apply


_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor")
for _name in [
    *(f"__{prefix}{name}__" for name in _BINARY for prefix in ("", "r", "i")),
    *(f"__{name}__" for name in ("neg", "pos", "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne")),
]:
    setattr(DeviceArray, _name, _operator(_name))


def _in(value: Any, indices: bool = False) -> Any:
    """What NumPy is given for an argument. Arrays of NumPy's are refused, as CuPy's functions refuse them."""
    if isinstance(value, DeviceArray):
        return value._inner
    if isinstance(value, (tuple, list)):
        return type(value)(_in(v, indices) for v in value)
    if isinstance(value, np.ndarray) and not (indices or value.ndim == 0):
        raise TypeError(f"Unsupported type {type(value)}")
    return value


def _out(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):  # CuPy has no scalars: its results of 0 axes are arrays
        return DeviceArray(np.asarray(value))
    if isinstance(value, (tuple, list)):
        return type(value)(_out(v) for v in value)
    return value


def _wrapped_function(function: Any) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        return _out(function(*[_in(a) for a in arguments], **{name: _in(v) for name, v in options.items()}))

    if isinstance(function, np.ufunc):
        call.at = lambda array, index, values: function.at(array._inner, _in(index, indices=True), _in(values))  # type: ignore[attr-defined]
    return call


class _Device:
    """``cupy.cuda.Device``: there is one, and it is always current."""

    def __init__(self, index: int = 0):
        self.id = index
        self.compute_capability = "90"
        self.mem_info = (8 << 30, 16 << 30)

    def __enter__(self) -> _Device:
        return self

    def __exit__(self, *_: Any) -> None:
        pass


class StandIn(types.ModuleType):
    """The module ``cupy``."""

    ndarray = DeviceArray

    def __init__(self) -> None:
        super().__init__("cupy")
        self.__version__ = "0 (stand-in)"
        error = type("CUDARuntimeError", (RuntimeError,), {})
        runtime = types.SimpleNamespace(
            getDeviceCount=lambda: 1,
            getDevice=lambda: 0,
            CUDARuntimeError=error,
            runtimeGetVersion=lambda: 13000,
            driverGetVersion=lambda: 13000,
            getDeviceProperties=lambda index: {"name": b"stand-in"},
        )
        memory = types.SimpleNamespace(OutOfMemoryError=type("OutOfMemoryError", (MemoryError,), {}))
        nvrtc = types.SimpleNamespace(getVersion=lambda: (13, 0))
        self.cuda = types.SimpleNamespace(runtime=runtime, Device=_Device, memory=memory, nvrtc=nvrtc)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(np, name)
        return value if isinstance(value, type) or not callable(value) else _wrapped_function(value)

    def asarray(self, value: Any, dtype: Any = None, order: str | None = None) -> DeviceArray:
        if isinstance(value, DeviceArray) and dtype in (None, value.dtype):
            return value
        return DeviceArray(np.array(_raw(value), dtype=dtype, order=order or "K"))  # type: ignore[call-overload]

    array = asarray

    def empty(self, shape: Any, dtype: Any = float) -> DeviceArray:
        inner = np.empty(shape, dtype)
        inner.fill(np.nan if inner.dtype.kind == "f" else -1 if inner.dtype.kind == "i" else 1)
        return DeviceArray(inner)


def _raw(value: Any) -> Any:
    return value._inner if isinstance(value, DeviceArray) else value


class _Runner(Emulator):
    """The emulator, for the stand-in's arrays."""

    def __init__(self, module: StandIn, orders: int):
        super().__init__(orders)
        self.module = module

    def is_array(self, value: Any) -> bool:
        return isinstance(value, DeviceArray)

    def namespace(self) -> Any:
        return self.module

    def run(
        self,
        program: launch.Program,
        name: str,
        grid: Sequence[int],
        block: Sequence[int],
        arguments: list[Any],
        shared: int,
    ) -> None:
        super().run(program, name, grid, block, [_raw(a) for a in arguments], shared)


@contextlib.contextmanager
def stand_in(orders: int = 1) -> Iterator[_Runner]:
    """Within the block, ``import cupy`` gives the stand-in, and ``device="cuda"`` is its."""
    module = StandIn()
    before = sys.modules.get("cupy")
    sys.modules["cupy"] = module
    runner = _Runner(module, orders)
    try:
        with launch.replaced_by(runner):
            yield runner
    finally:
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before
