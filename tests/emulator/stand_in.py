"""A stand-in for CuPy without a device: arrays that are not NumPy's, whose kernels run on the emulator.

CuPy's arrays behave like NumPy's but do not mix with them, and nothing turns one into the other without being told to
(``.get()``, ``cupy.asarray``). The stand-in keeps to that more strictly than CuPy does: a function of NumPy's that is
given one of its arrays raises, where CuPy would sometimes compute. So code that runs here asks the array's namespace
for its functions, and makes no hidden copy. Streams can be captured (``capture.py``). What it does not show: CuPy's own
computations, which are NumPy's here, and anything about time and memory.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from scratchgan.kernels import launch

from . import capture
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
        return _wrapped_function(value, self) if callable(value) else _out(value)

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
        return self._transferred().copy()

    def item(self) -> Any:
        return self._transferred().item()

    def tolist(self) -> Any:
        return self._transferred().tolist()

    def _transferred(self) -> np.ndarray:
        capture.refuse_host("a copy to the host")
        DeviceArray.transfers += 1
        return self._inner

    def set(self, host: np.ndarray, stream: Any = None) -> None:
        capture.refuse_host("a copy from the host")
        assert type(host) is np.ndarray
        assert (host.dtype, host.shape) == (self.dtype, self.shape)
        self._inner[...] = host

    def fill(self, value: Any) -> None:
        self._change("fill", lambda: self._inner.fill(value))

    def _change(self, name: str, operation: Any) -> None:
        """Do what changes the array in place, and note it if a stream is captured."""
        if capture.current is not None:
            capture.current.check(name)
            capture.current.changes(self._inner)
            capture.current.note(name, operation)
        operation()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __len__(self) -> int:
        return len(self._inner)

    def __getitem__(self, index: Any) -> Any:
        index = _index(index)
        return _computed("__getitem__", lambda a: a[index], (self,), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        index, value = _index(index), _in(value)
        self._change("__setitem__", lambda: self._inner.__setitem__(index, value))

    def __deepcopy__(self, memo: Any) -> DeviceArray:
        return DeviceArray(self._inner.copy())

    __hash__ = None  # type: ignore[assignment]


def _operator(name: str) -> Any:
    if name.startswith("__i") and name != "__invert__":

        def change(self: DeviceArray, *others: Any) -> Any:
            arguments = [_in(other) for other in others]
            self._change(name, lambda: getattr(self._inner, name)(*arguments))
            return self

        return change

    def apply(self: DeviceArray, *others: Any) -> Any:
        return _computed(name, lambda a, *rest: getattr(a, name)(*rest), (self, *others), {})

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


def _index(index: Any) -> Any:
    """An index as NumPy takes it; one of arrays is a copy from the host, or has a shape that the host must know."""
    index = _in(index, indices=True)
    if any(isinstance(part, (np.ndarray, list)) for part in (index if isinstance(index, tuple) else (index,))):
        capture.refuse_host("an array as an index")
    return index


def _computed(name: str, function: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Call a function of NumPy's for arrays of the stand-in's."""
    given = [_in(a) for a in arguments]
    named = {key: _in(value) for key, value in options.items()}

    def again() -> Any:
        return function(*given, **named)

    if capture.current is None:
        return _out(again())
    capture.current.check(name)
    return _out(capture.current.computed(name, function, [*_flat(given), *named.values()], again))


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        else:
            yield value


def _wrapped_function(function: Any, owner: DeviceArray | None = None) -> Any:
    name = function.__name__

    def call(*arguments: Any, **options: Any) -> Any:
        if owner is None:
            return _computed(name, function, arguments, options)
        return _computed(name, lambda a, *rest, **named: getattr(a, name)(*rest, **named), (owner, *arguments), options)

    if isinstance(function, np.ufunc):
        call.at = lambda array, index, values: function.at(array._inner, _in(index, indices=True), _in(values))  # type: ignore[attr-defined]
    return call


class _Device:
    """``cupy.cuda.Device``: there is one, and it is always current."""

    compute_capability = "90"

    def __init__(self, index: int = 0):
        self.id = index
        self.mem_info = (8 << 30, 16 << 30)
        self.attributes = {"L2CacheSize": 1 << 16}

    def synchronize(self) -> None:
        capture.refuse_host("waiting")

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
        stream = capture.Stream()
        self.cuda = types.SimpleNamespace(
            runtime=runtime, Device=_Device, memory=memory, nvrtc=nvrtc, Stream=capture.Stream, Event=capture.Event,
            MemoryPool=capture.MemoryPool, using_allocator=capture.using_allocator, get_elapsed_time=capture.elapsed,
            get_current_stream=lambda: stream,
        )  # fmt: skip

    def RawKernel(self, source: str, name: str) -> Any:
        """A kernel that does nothing: only the benchmark has one of its own, to wait for."""
        return lambda grid, block, arguments: None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(np, name)
        return value if isinstance(value, type) or not callable(value) else _wrapped_function(value)

    def asarray(self, value: Any, dtype: Any = None, order: str | None = None) -> DeviceArray:
        if isinstance(value, DeviceArray) and dtype in (None, value.dtype):
            return value
        if not isinstance(value, DeviceArray):
            capture.refuse_host("a copy from the host")
        return DeviceArray(np.array(_raw(value), dtype=dtype, order=order or "K"))  # type: ignore[call-overload]

    array = asarray

    def asnumpy(self, value: Any) -> np.ndarray:
        return value.get() if isinstance(value, DeviceArray) else np.asarray(value)

    def empty(self, shape: Any, dtype: Any = float) -> DeviceArray:
        inner = np.empty(shape, dtype)
        inner.fill(np.nan if inner.dtype.kind == "f" else -1 if inner.dtype.kind == "i" else 1)
        if capture.current is not None:
            capture.current.allocated(inner)
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
        raw = [[_raw(v) for v in a] if isinstance(a, list) else _raw(a) for a in arguments]
        launched = functools.partial(super().run, program, name, grid, block, raw, shared)
        if capture.current is not None:
            for array in self.written(program, name, raw):
                capture.current.changes(array)
            capture.current.note(f"{program.path.parent.name}.{name}", launched)
        launched()


@contextlib.contextmanager
def stand_in(orders: int = 1) -> Iterator[_Runner]:
    """Within the block, ``import cupy`` gives the stand-in, and ``device="cuda"`` is its."""
    module = StandIn()
    before = {name: sys.modules.get(name) for name in ("cupy", "cupyx")}
    sys.modules["cupy"] = module
    sys.modules["cupyx"] = types.SimpleNamespace(empty_pinned=np.empty)  # type: ignore[assignment]
    runner = _Runner(module, orders)
    try:
        with launch.replaced_by(runner):
            yield runner
    finally:
        for name, original in before.items():
            if original is None:
                del sys.modules[name]
            else:
                sys.modules[name] = original
