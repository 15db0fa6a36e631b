"""What a pass of a problem costs, what it is given, and what it must not take more memory than."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from .descriptor import Problem

Arrays = dict[str, np.ndarray]
_WEIGHTED = ("conv", "deconv", "upconv", "ip")


def shapes(problem: Problem) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of the problem; which of them a pass reads is for `inputs`."""
    p = problem
    if p.op == "ip":
        return {"x": (p.mb, p.ic), "w": (p.oc, p.ic), "bias": (p.oc,), "gy": (p.mb, p.oc)}
    found: dict[str, tuple[int, ...]] = {"x": (p.mb, p.ic, *p.image), "gy": (p.mb, p.oc, *p.output)}
    if p.op == "deconv":
        found["w"] = (p.ic, p.oc // p.groups, *p.kernel)
    elif p.op in ("conv", "upconv"):
        found["w"] = (p.oc, p.ic // p.groups, *p.kernel)
    if p.op in _WEIGHTED:
        found["bias"] = (p.oc,)
    if p.op == "bnorm":
        found["weight"] = found["beta"] = (p.ic,)
    return found


def read_by(problem: Problem) -> tuple[str, ...]:
    """Return the names of the arrays that the pass reads."""
    names = {
        "FWD_B": ("x", "w", "bias"),
        "FWD_D": ("x", "w"),
        "BWD_D": ("gy", "w"),
        "BWD_W": ("x", "gy"),
    }[problem.direction]
    if problem.op == "bnorm":
        return ("x", "weight", "beta") if problem.direction == "FWD_D" else ("gy", "x", "weight", "beta")
    if problem.op == "pool" and problem.direction == "BWD_D":
        return ("gy", "x")
    return names if problem.op in _WEIGHTED else tuple(name for name in names if name != "w")


def written_by(problem: Problem) -> tuple[str, ...]:
    """Return what the pass writes, by the name of the array that has its shape."""
    if problem.direction.startswith("FWD"):
        return ("gy",)
    if problem.op == "bnorm":
        return ("x", "weight", "beta")
    return ("x",) if problem.direction == "BWD_D" else ("w",)


def flops(problem: Problem) -> int:
    """Multiplications and additions of the operation as it is defined, whatever an algorithm saves.

    Products with padding are counted. Pooling, normalisation and resampling count none: they are bound by memory
    and are judged by GB/s.
    """
    p = problem
    if p.op not in _WEIGHTED:
        return 0
    positions = math.prod(p.image if p.op == "deconv" else p.output)
    return 2 * p.mb * positions * p.ic // p.groups * p.oc * math.prod(p.kernel)


def moved_bytes(problem: Problem) -> int:
    """Each input read once and each output written once: the least that must be moved, in bytes."""
    sizes = shapes(problem)
    elements = sum(math.prod(sizes[name]) for name in read_by(problem) + written_by(problem))
    return elements * np.dtype(problem.dtype).itemsize


def reduction_length(problem: Problem) -> int:
    """How many products are added up in one number of the result."""
    p = problem
    if p.direction == "BWD_W":
        return p.mb * math.prod(p.image if p.op == "deconv" else p.output)
    if p.op == "bnorm":
        return p.mb * math.prod(p.image)
    if p.op == "resampling":
        return 4 if p.direction == "FWD_D" else 4 * math.prod(p.scale)
    window = math.prod(p.kernel)
    if p.op == "pool":
        return window
    channels = p.oc if p.direction == "BWD_D" else p.ic
    return max(1, channels // p.groups * window * (math.prod(p.scale) if p.direction == "BWD_D" else 1))


#: A prime, so that no stride of an array is a multiple of it: a kernel that reads the wrong place reads other numbers.
_PERIOD = 1_000_003


def inputs(problem: Problem, fill: str, seed: int = 0) -> Arrays:
    """Return the arrays that the pass reads: ``fill`` "integers" (-4 to 4) or "normal" (mean 0, variance 1).

    Products of small integers add up without rounding in any order, so a result can be compared bit by bit. A long
    array repeats itself after a prime number of elements: drawing them all would take longer than the kernels do.
    """
    rng = np.random.default_rng(seed)
    sizes = shapes(problem)
    arrays = {}
    for name in read_by(problem):
        shape = sizes[name]
        drawn = min(math.prod(shape), _PERIOD)
        if fill == "integers":
            values = rng.integers(-4, 5, drawn).astype(problem.dtype)
        elif fill == "normal":
            values = rng.standard_normal(drawn, problem.dtype)
        else:
            raise ValueError(f"fill must be integers or normal, got {fill!r}")
        arrays[name] = np.resize(values, shape)
    return arrays


def memory_needed(problem: Problem) -> int:
    """Bytes that a run may take at most: all arrays, the result, and a float64 reference with its columns."""
    sizes = shapes(problem)
    elements = sum(math.prod(shape) for shape in sizes.values())
    columns = math.prod(problem.kernel) * math.prod(problem.output) * max(problem.ic, problem.oc)
    itemsize = np.dtype(problem.dtype).itemsize
    large = math.prod(problem.scale) * math.prod(sizes["x"]) if problem.op == "upconv" else 0
    whole_batch = columns * problem.mb if problem.op in _WEIGHTED else 0  # im2col keeps one image, some peers all
    return elements * (2 * itemsize + 16) + 8 * columns + whole_batch * itemsize + large * (8 + itemsize)


def memory_available() -> int | None:
    """Bytes of memory that are free for use; None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
