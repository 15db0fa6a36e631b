"""The stand-in's streams: what is captured is noted, and a launch does it again on the memory as it is then.

A real capture runs nothing. The stand-in has to run things to know their shapes, and undoes it: at the end of a
capture, arrays that were there before have their old content, and new ones are full of NaN until a launch. So a step
that is captured and launched has the numbers of a plain one only if everything that it depends on is read from memory
at the time of the launch, and a launch that repeats a number of the captured step is found by its numbers.

Refused, as CuPy refuses it or as it would go wrong there: copies from and to the host, cuBLAS, what CuPy needs a table
of addresses from the host for (concatenate, stack, arrays of indices), memory that is not from the graph's own pool,
and functions of which nobody has looked up whether they can be captured.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

# Looked up in CuPy 14: elementwise kernels, reductions, views, memset and copies on the device.
_CAPTURED = {
    "abs", "absolute", "add", "all", "any", "ascontiguousarray", "astype", "broadcast_to", "clip", "copy", "cosh",
    "divide", "empty", "empty_like", "exp", "flip", "full", "isfinite", "log", "logaddexp", "max", "maximum", "mean",
    "min", "minimum", "moveaxis", "multiply", "negative", "ones", "ones_like", "prod", "ravel", "reshape", "sign",
    "sqrt", "squeeze", "subtract", "sum", "swapaxes", "tanh", "transpose", "view", "where", "zeros", "zeros_like",
}  # fmt: skip
_HOST_ONLY = {"may_share_memory", "shares_memory", "dtype", "result_type", "can_cast"}
_CUBLAS = {"matmul", "dot", "vdot", "inner", "tensordot", "einsum", "__matmul__", "__rmatmul__"}

current: Capture | None = None  # there is one stream that is captured at a time, and one thread


class Capture:
    """What was noted since a stream's ``begin_capture``."""

    def __init__(self) -> None:
        self.operations: list[Callable[[], Any]] = []
        self.names: list[str] = []
        self._before: list[tuple[np.ndarray, np.ndarray]] = []
        self._new: list[np.ndarray] = []
        self.quiet = np.errstate(all="ignore")  # the inputs are not there yet, so the numbers mean nothing

    def check(self, name: str) -> None:
        """Raise as CuPy does for what can't be captured."""
        if name in _CUBLAS:
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        if name not in _CAPTURED | _HOST_ONLY and not name.startswith("__"):
            raise NotImplementedError(f"the stand-in does not know whether {name} can be captured")

    def changes(self, array: np.ndarray) -> None:
        """Remember an array's content before an operation that changes it."""
        self._before.append((array, array.copy()))

    def note(self, name: str, operation: Callable[[], Any]) -> None:
        self.names.append(name)
        self.operations.append(operation)

    def allocated(self, array: np.ndarray) -> None:
        if not _allocators:
            raise AssertionError("memory of a captured step that is not from the graph's own pool: it would be reused")
        self._new.append(array)

    def computed(self, name: str, function: Callable[..., Any], given: list[Any], again: Callable[[], Any]) -> Any:
        """Call a function of NumPy's; note it unless its result is a view of what it was given."""
        result = again()
        if name in _HOST_ONLY or not isinstance(result, (np.ndarray, np.generic)):
            return result
        result = np.asarray(result)
        if not any(isinstance(x, np.ndarray) and np.may_share_memory(x, result) for x in given):
            self.allocated(result)
            self.note(name, lambda: np.copyto(result, again()))
        return result

    def end(self) -> None:
        for array, content in reversed(self._before):
            array[...] = content
        for array in self._new:
            array.fill(np.nan if array.dtype.kind == "f" else 1 if array.dtype.kind == "b" else -1)


def refuse_host(what: str) -> None:
    """Raise if a stream is captured: ``what`` goes through the host."""
    if current is not None:
        raise RuntimeError(f"the current stream is capturing, so {what} is disallowed")


class Graph:
    """``cupy.cuda.Graph``."""

    def __init__(self, capture: Capture):
        self.names = capture.names
        self._operations = capture.operations
        self.launches = 0

    def launch(self, stream: Any = None) -> None:
        self.launches += 1
        for operation in self._operations:
            operation()


class Stream:
    """``cupy.cuda.Stream``: everything is done at once, so only capture is left to do."""

    ptr = 0
    graphs: list[Graph] = []  # noqa: RUF012 (all that were ever captured, for tests to look at)

    def __init__(self, non_blocking: bool = False):
        self.non_blocking = non_blocking

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def synchronize(self) -> None:
        refuse_host("waiting")

    def begin_capture(self, mode: Any = None) -> None:
        global current
        assert self.non_blocking, "the default stream cannot be captured"
        current = Capture()
        current.quiet.__enter__()

    def end_capture(self) -> Graph:
        global current
        assert current is not None
        capture, current = current, None
        capture.quiet.__exit__(None, None, None)
        capture.end()
        Stream.graphs.append(Graph(capture))
        return Stream.graphs[-1]


class Event:
    """``cupy.cuda.Event``, by the host's clock."""

    def __init__(self) -> None:
        self.time: float | None = None

    def record(self, stream: Any = None) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        refuse_host("waiting")


def elapsed(first: Event, last: Event) -> float:
    """``cupy.cuda.get_elapsed_time``, in milliseconds."""
    assert first.time is not None
    assert last.time is not None
    return max(1e-6, (last.time - first.time) * 1e3)


class MemoryPool:
    """``cupy.cuda.MemoryPool``."""

    def malloc(self, size: int) -> Any:
        raise AssertionError("the stand-in's memory is NumPy's")


_allocators: list[Any] = []


@contextlib.contextmanager
def using_allocator(allocator: Any) -> Iterator[None]:
    """``cupy.cuda.using_allocator``."""
    _allocators.append(allocator)
    try:
        yield
    finally:
        _allocators.pop()
