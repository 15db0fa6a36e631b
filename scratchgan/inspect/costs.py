"""How much arithmetic an application is, and how fast this machine could do it: the roofline.

FLOPs are those of the definition (a multiply-add is two), whatever a faster algorithm saves. Bytes are what must move
at least: every input once, the output once. What has no formula here has no number; nothing is guessed.
Source: S. Williams et al., "Roofline: an insightful visual performance model", 2009.
"""

from __future__ import annotations

import functools
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .events import Application

if TYPE_CHECKING:
    from .tape import Tape

#: FLOPs for each element of the output; a transcendental function is one, as is usual.
_BY_OUTPUT = {
    "Add": 1, "Subtract": 1, "Multiply": 1, "Divide": 1, "Negative": 1, "Power": 1, "PowerTensor": 1, "Exp": 1,
    "Log": 1, "Sqrt": 1, "Abs": 1, "Clip": 2, "Maximum": 1, "Where": 1, "Tanh": 1, "TanhGrad": 3, "Sigmoid": 3,
    "Softplus": 2, "LeakyRelu": 1, "LeakyReluGrad": 1,
}  # fmt: skip
#: FLOPs for each element of the first input.
_BY_INPUT = {"Sum": 1, "SumTo": 1, "Max": 1, "LogSumExp": 3, "BatchNorm": 8, "BinaryCrossEntropy": 6,
             "UpsampleNearest2dGrad": 1, "MaxPool2d": 1, "PutItem": 1}  # fmt: skip
#: Operators that move elements about.
_NONE = {"Reshape", "Transpose", "BroadcastTo", "Concatenate", "GetItem", "Pad", "Flip", "AsType", "ToDevice",
         "UpsampleNearest2d", "MaxPool2dGather"}  # fmt: skip
#: vjps that run a kernel of their own and no operators: FLOPs for each element of the first input.
_PULLED = {"BatchNorm": 12, "BinaryCrossEntropy": 1}


def flops(name: str, inputs: list[tuple[int, ...]], output: tuple[int, ...]) -> int | None:
    """Return the FLOPs of a Function of this name by the shapes of its inputs and output; None if none are defined."""
    size = math.prod(output)
    if name in _NONE:
        return 0
    if name in _BY_OUTPUT:
        return _BY_OUTPUT[name] * size
    if name in _BY_INPUT:
        return _BY_INPUT[name] * math.prod(inputs[0])
    if name == "Matmul":
        return 2 * size * inputs[0][-1]
    if name == "Linear":
        return 2 * size * inputs[0][-1] + (size if len(inputs) == 3 else 0)
    first, second = (math.prod(shape) for shape in inputs[:2]) if len(inputs) > 1 else (0, 0)
    if name == "Convolve":  # each output is a sum over one filter
        return 2 * size * second // max(inputs[1][0], 1) + (size if len(inputs) == 3 else 0)
    if name in ("ConvolveInputGrad", "ConvTranspose2d"):  # each input is spread over one filter
        return 2 * first * second // max(inputs[1][0], 1)
    if name == "ConvolveWeightGrad":  # each gradient of an output meets one filter's worth of pixels
        return 2 * second * size // max(output[0], 1)
    return None


@dataclass(frozen=True)
class Cost:
    """``flops``: None where no formula is known. ``moved``: bytes at least."""

    flops: int | None
    moved: int


def application_cost(tape: Tape, event: Application) -> Cost:
    """Return what applying a Function costs."""
    values = tape.store.values
    moved = sum(values[x.value].nbytes for x in event.inputs) + sum(values[y].nbytes for y in event.outputs)
    if event.earlier or len(event.outputs) != 1:
        return Cost(None, moved)
    return Cost(flops(event.name, [values[x.value].shape for x in event.inputs], values[event.outputs[0]].shape), moved)


def pullback_costs(tape: Tape) -> dict[int, Cost]:
    """Return what each vjp costs: the operators inside it, or its own kernel."""
    inside: dict[int, list[Cost]] = {}
    for event in tape.applications:
        if event.parent is not None:
            inside.setdefault(event.parent, []).append(application_cost(tape, event))
    costs = {}
    for pull in tape.pullbacks:
        forward, values = tape.events[pull.of], tape.store.values
        ends = [v for v in (*pull.gys, *pull.gxs) if v is not None]
        moved = sum(values[v].nbytes for v in ends)
        parts = inside.get(pull.index, [])
        total: int | None = None
        if parts and all(c.flops is not None for c in parts):
            total = sum(c.flops or 0 for c in parts)
            moved = max(moved, sum(c.moved for c in parts))
        if isinstance(forward, Application) and forward.name in _PULLED and forward.inputs:
            shape = values[forward.inputs[0].value].shape
            total = (total or 0) + _PULLED[forward.name] * math.prod(shape)
            moved += values[forward.inputs[0].value].nbytes
        elif not parts and isinstance(forward, Application) and forward.name in ("Add", "Multiply", "Subtract"):
            total = 0  # the gradient itself, handed on
        costs[pull.index] = Cost(total, moved)
    return costs


@dataclass(frozen=True)
class Ceilings:
    """What this machine does at best: GFLOP/s of a float32 matrix product, GB/s of a large copy (read + write)."""

    gflops: float
    gbytes: float

    def share(self, cost: Cost, ns: int | None) -> float | None:
        """Return which part of the roofline was reached: 1 is as fast as arithmetic or memory allow."""
        if cost.flops is None or not ns:
            return None
        least = max(cost.flops / self.gflops, cost.moved / self.gbytes)  # nanoseconds
        return least / ns


@functools.cache
def ceilings() -> Ceilings:
    """Measure this machine now, the best of some tries; about 0.2 s, once in a process."""

    def best(work: Any, tries: int = 5) -> float:
        times = []
        for _ in range(tries):
            start = time.perf_counter_ns()
            work()
            times.append(time.perf_counter_ns() - start)
        return float(min(times))

    a, b = np.ones((768, 768), np.float32), np.ones((768, 768), np.float32)
    c = np.empty_like(a)
    source, target = np.ones(1 << 23, np.float32), np.empty(1 << 23, np.float32)
    gflops = 2 * 768**3 / best(lambda: np.matmul(a, b, out=c))
    return Ceilings(gflops, 2 * source.nbytes / best(lambda: np.copyto(target, source)))
