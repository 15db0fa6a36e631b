"""A training step as one CUDA graph: recorded once, and then launched as a whole.

A step of a small network is some hundred kernels of a few microseconds each, and Python needs longer to launch one
than the GPU to run it. While a stream is captured, a launch does nothing but note kernel and arguments; the notes
become a graph, whose launch costs as much as one kernel's. Python does not run again, so all that it did in the step
has to be arranged for:

    arrays      a launch reads and writes the addresses that were captured. All memory of the step comes from a pool
                that belongs to the graph, so nobody else is given it. What the step binds anew (``state``) is copied
                back to where the next launch reads it; `is_recording` tells an optimiser to write there at once.
    numbers     an argument is captured by value. What changes from step to step (batches, noise, Adam's corrections)
                goes through `from_host` and `reread`: they are called with a function, and in a graph that function is
                called again before each launch, in the step's order, and its result copied to the same place.
    the host    must not wait for the GPU inside: such a copy raises.

So the step reads as ever, and both ways give the same bits. The first step runs as always, which compiles and loads
every kernel; the second is captured, then launched. Steps of several kinds are several graphs of one state, whose
arrays stay where they are. Source: CUDA C++ Programming Guide, "CUDA Graphs".
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from .device import Array, require_cuda, to_device

Make = Callable[[], np.ndarray]
Slot = tuple[Any, str]  # an object and the attribute that holds an array of the state

_ALIGNMENT = 256  # bytes, that of CUDA's own allocations
_active: ContextVar[_Inputs | None] = ContextVar("active", default=None)


class GraphError(RuntimeError):
    """A step could not be captured; the message says what it did and what to do."""


def from_host(make: Make, device: str) -> Array:
    """Return what ``make()`` returns on ``device``; a captured step calls ``make`` again before every launch.

    It must return arrays of the same shape and dtype each time.
    """
    inputs = _active.get()
    value, place = (make(), None) if inputs is None else inputs.take(make)
    return to_device(value, device) if place is None else place


def reread(make: Make) -> Array | None:
    """Call ``make``, and return None; in a captured step the array that it fills before every launch.

    For numbers that a kernel takes by value in a plain step, and must read from memory in a captured one.
    """
    inputs = _active.get()
    if inputs is not None:
        return inputs.take(make)[1]
    make()
    return None


def is_recording() -> bool:
    """Whether a step is being captured here and now, so that results belong where they were read from."""
    inputs = _active.get()
    return inputs is not None and inputs.recording


class CapturedStep:
    """Calls ``step``, which returns an array of results on the GPU: first as it is, then as a CUDA graph.

    ``state`` names what the step may bind to new arrays: (object, attribute) pairs. Every call is one step, and
    returns the array of results, which the next call overwrites.

    Raises DeviceError without a GPU, and GraphError if the step can't be captured.
    """

    def __init__(self, step: Callable[[], Array], state: Callable[[], Sequence[Slot]]):
        self._step, self._state = step, state
        self._cupy = require_cuda()
        self._inputs: _Inputs | None = None
        self._graph: Any = None

    def __call__(self) -> Array:
        if self._inputs is None:
            self._inputs = _Inputs(self._cupy)
            slots = self._state()
            homes = [getattr(owner, name) for owner, name in slots]
            with self._inputs.active():
                result = self._step()
            _bring_home(slots, homes)  # the graph of another kind of step may read there already
            return result
        if self._graph is None:
            self._capture(self._inputs)
        else:
            self._inputs.make()
        self._inputs.copy()
        self._graph.launch()
        return self._result

    def _capture(self, inputs: _Inputs) -> None:
        cuda = self._cupy.cuda
        slots = self._state()
        homes = [getattr(owner, name) for owner, name in slots]
        for home in homes:
            home[...] = home.copy()  # loads the kernels of the copies below
        inputs.record()
        self._pool = cuda.MemoryPool()
        stream = cuda.Stream(non_blocking=True)  # the default stream can't be captured
        cuda.Device().synchronize()
        try:
            with stream, cuda.using_allocator(self._pool.malloc), inputs.active():
                stream.begin_capture()
                try:
                    self._result = self._step()
                    _bring_home(slots, homes)
                except BaseException:
                    with contextlib.suppress(Exception):
                        stream.end_capture()
                    raise
                self._graph = stream.end_capture()
        except (RuntimeError, NotImplementedError, TypeError) as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            raise GraphError(
                f"the step can't be captured as a CUDA graph ({type(error).__name__}: {reason}); go on from the last "
                "checkpoint without it (--set cuda_graph=false)"
            ) from error


class _Inputs:
    """What a step gets from the host: functions, and one place on the GPU for the results of each.

    The plain first step measures how much that is; then it is one array, filled by one copy.
    """

    def __init__(self, cupy: Any):
        self.cupy = cupy
        self.recording = False  # else measuring
        self.size = 0  # bytes so far
        self._makers: list[tuple[Make, int, np.ndarray]] = []  # with the offset, and an example of what it returns

    @contextlib.contextmanager
    def active(self) -> Any:
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)

    def record(self) -> None:
        """Go from measuring to recording: make the memory."""
        import cupyx

        self.recording = True
        self._capacity, self.size = max(self.size, 1), 0
        self._device = self.cupy.empty(self._capacity, np.uint8)
        # Pinned memory is copied from while the host goes on. It must not be written to before that is done, so two
        # take turns.
        self._hosts = [(cupyx.empty_pinned(self._capacity, np.uint8), self.cupy.cuda.Event()) for _ in range(2)]

    def take(self, make: Make) -> tuple[np.ndarray, Array | None]:
        """Return what ``make()`` returns and, in a captured step, the place on the GPU that it is copied to."""
        value, first = make(), self.size
        self.size += -(-value.nbytes // _ALIGNMENT) * _ALIGNMENT
        if not self.recording:
            return value, None
        if self.size > self._capacity:
            raise GraphError("the captured step takes more from the host than the step before it")
        last = first + value.nbytes
        self._hosts[0][0][first:last] = _bytes(value)
        self._makers.append((make, first, value))
        return value, self._device[first:last].view(value.dtype).reshape(value.shape)

    def make(self) -> None:
        """Call every function, in the step's order."""
        host, event = self._hosts[0]
        event.synchronize()
        for make, first, example in self._makers:
            value = make()
            if value.shape != example.shape or value.dtype != example.dtype:
                raise GraphError(
                    f"a captured step was given {value.dtype} {value.shape} where it was recorded with "
                    f"{example.dtype} {example.shape}"
                )
            host[first : first + value.nbytes] = _bytes(value)

    def copy(self) -> None:
        """Copy the results to the GPU, in the current stream's order."""
        host, event = self._hosts[0]
        self._device.set(host, stream=self.cupy.cuda.get_current_stream())
        event.record()
        self._hosts.reverse()


def _bring_home(slots: Sequence[Slot], homes: Sequence[Array]) -> None:
    """Copy what was bound anew to where the arrays were before, and bind those again."""
    for (owner, name), home in zip(slots, homes, strict=True):
        new = getattr(owner, name)
        if new is not home:
            home[...] = new
            setattr(owner, name, home)


def _bytes(value: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(value).reshape(-1).view(np.uint8)
