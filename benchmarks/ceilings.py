"""The two ceilings of the roofline, measured here and now: multiply-adds in registers, and a triad over memory.

S. Williams et al., "Roofline: an insightful visual performance model", 2009; J. McCalpin, "Memory bandwidth and machine
balance", 1995 (the triad a = b + s * c, counted as three arrays moved, as STREAM does: the line that is read before
it is written is not counted).
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .machine import cache_bytes


@dataclass(frozen=True)
class Ceilings:
    """GFLOP/s of one precision, and GB/s of memory, on ``threads`` threads."""

    gflops: float
    gbytes: float
    dtype: str
    threads: int

    def attainable(self, flops: int, moved: int) -> float:
        """Seconds that the pass must take at least, by either ceiling."""
        return max(flops / (self.gflops * 1e9), moved / (self.gbytes * 1e9))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


_compiled: dict[str, Any] = {}

#: Independent sums: 4 cycles of latency, at most two multiply-adds a cycle, and room in 16 registers.
_CHAINS = 12


def compiled_kernels() -> dict[str, Any]:
    """Compile the multiply-add loop, as LLVM vector instructions that no compiler can take apart, and the triad."""
    if _compiled:
        return _compiled
    import numba
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    from scratchgan.kernels.simd import UNIT

    def multiply_adds(typing_context: Any, count: Any, seed: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            count, seed = arguments
            number = context.get_value_type(signature.args[1])
            lanes = UNIT.register_bytes * 8 // signature.args[1].bitwidth
            vector = ir.VectorType(number, lanes)
            i32, i64 = ir.IntType(32), ir.IntType(64)
            undefined = ir.Constant(vector, ir.Undefined)
            first = builder.insert_element(undefined, seed, i32(0))
            factor = builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(i32, lanes), [0] * lanes))
            kind = ir.FunctionType(vector, [vector] * 3)
            name = f"llvm.fmuladd.v{lanes}f{signature.args[1].bitwidth}"
            fma = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
            before, loop, after = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("after")
            builder.branch(loop)
            builder.position_at_end(loop)
            i = builder.phi(i64)
            sums = [builder.phi(vector) for _ in range(_CHAINS)]
            following = [builder.call(fma, [chain, factor, factor]) for chain in sums]
            next_i = builder.add(i, i64(1))
            i.add_incoming(i64(0), before)
            i.add_incoming(next_i, loop)
            for index, (chain, new) in enumerate(zip(sums, following, strict=True)):
                chain.add_incoming(ir.Constant(vector, [float(index)] * lanes), before)
                chain.add_incoming(new, loop)
            builder.cbranch(builder.icmp_signed("<", next_i, count), loop, after)
            builder.position_at_end(after)
            total = following[0]
            for chain in following[1:]:
                total = builder.fadd(total, chain)
            return builder.extract_element(total, i32(0))

        return seed(types.int64, seed), emit

    burn: Any = intrinsic(multiply_adds)
    jit = numba.njit(parallel=True, error_model="numpy")

    @jit
    def arithmetic(count: int, results: Any) -> None:
        for thread in numba.prange(results.size):
            results[thread] = burn(count, results[thread])

    @jit
    def triad(a: Any, b: Any, c: Any, factor: Any) -> None:
        for i in numba.prange(a.size):
            a[i] = b[i] + factor * c[i]

    _compiled.update(arithmetic=arithmetic, triad=triad, lanes=UNIT.register_bytes)
    return _compiled


def measure(dtype: str = "float32", seconds: float = 0.6) -> Ceilings:
    """Measure both ceilings on the threads that the kernels have; the best of several runs each, as a ceiling is."""
    from scratchgan import kernels

    threads = kernels.get_num_threads()
    compiled = compiled_kernels()
    itemsize = np.dtype(dtype).itemsize
    results = np.full(threads, 1e-3, dtype)
    count = 2_000_000
    work = 2 * count * _CHAINS * (compiled["lanes"] // itemsize) * threads
    compiled["arithmetic"](100, results)
    gflops = work / _best(lambda: compiled["arithmetic"](count, np.full_like(results, 1e-3)), seconds / 2) / 1e9

    size = max(4 * cache_bytes(), 64 * 1024**2) // itemsize
    a, b, c = (np.ones(size, dtype) for _ in range(3))
    factor = np.dtype(dtype).type(3)
    gbytes = 3 * size * itemsize / _best(lambda: compiled["triad"](a, b, c, factor), seconds / 2) / 1e9
    return Ceilings(gflops, gbytes, dtype, threads)


def _best(run: Any, seconds: float) -> float:
    run()
    begin, best, rounds = time.perf_counter(), float("inf"), 0
    while rounds < 5 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
        rounds += 1
    return best
