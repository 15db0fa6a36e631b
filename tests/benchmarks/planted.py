"""Implementations with known faults, for tests of the harness."""

import time

import numpy as np

from benchmarks import reference
from benchmarks.peers import Implementation, Unimplemented


class Right(Implementation):
    """The reference itself, in the problem's precision."""

    name = "right"

    def build(self, problem, arrays):
        return lambda: tuple(y.astype(problem.dtype) for y in reference.compute(problem, arrays))


class Wrong(Right):
    """One number of many is off by a little."""

    name = "wrong"

    def build(self, problem, arrays):
        run = super().build(problem, arrays)

        def broken():
            (y,) = run()
            y.flat[y.size // 2] += 0.25
            return y

        return broken


class Partial(Right):
    """Has forward only."""

    name = "partial"

    def build(self, problem, arrays):
        if not problem.direction.startswith("FWD"):
            raise Unimplemented("forward only")
        return super().build(problem, arrays)


class Crashes(Right):
    name = "crashes"

    def build(self, problem, arrays):
        def run():
            raise RuntimeError("out of order")

        return run


class Writes(Right):
    """Changes its input."""

    name = "writes"

    def build(self, problem, arrays):
        run = super().build(problem, arrays)

        def broken():
            result = run()
            next(iter(arrays.values())).flat[0] = 77
            return result

        return broken


class Sleeps(Right):
    """Takes a given time."""

    def __init__(self, name, seconds):
        self.name, self.seconds = name, seconds

    def build(self, problem, arrays):
        result = super().build(problem, arrays)()

        def run():
            end = time.perf_counter() + self.seconds
            while time.perf_counter() < end:
                pass
            return result

        return run


def samples(median, spread, n, seed):
    """Times with a long tail to the slow side, as times have."""
    rng = np.random.default_rng(seed)
    return list(median * (1 + spread * rng.gamma(2.0, 0.5, n)))
