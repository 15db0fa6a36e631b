"""Vector instructions for Numba kernels, and the register tile of every matrix product.

This file and the two that build on it, ``simd_runs.py`` and ``simd_transforms.py``, are the only ones that know about
LLVM.

Numba compiles scalar loops, and LLVM cannot be talked into keeping a two-dimensional tile of sums in vector
registers. So the inner loop of every matrix product is written here as LLVM instructions, as a function that a
Numba kernel calls on flat arrays and positions in them.

The tile. A register holds ``lanes`` numbers (16 float32 on AVX-512). The product keeps ``rows`` x 2 registers of
C, and each step of its loop loads two registers of B, repeats one number of A over a register, and does one
multiply-add for each register of C:

                      b[k, 0:lanes]  b[k, lanes:2*lanes]
        a[0, k]  ->       c00              c01
        a[1, k]  ->       c10              c11             rows * 2 multiply-adds
        ...               ...              ...             for rows + 2 loads
        a[11, k] ->       cB0              cB1

With 12 rows that is 24 multiply-adds for 14 loads, so the arithmetic and not the memory decides the speed; and
24 independent sums hide the latency of a multiply-add (4 cycles). Twelve is as many as 32 registers allow.

Rows come in steps: a panel of A is 1, 2 or 3 ``ROW_STEP`` rows high, so that a matrix of 64 rows is five panels
of 12 and one of 4 and nothing is computed twice or in vain.

Only ``kernels/*/cpu.py`` and the files next to it import this module; it imports Numba.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils

from .jit import intrinsic


class VectorUnit(NamedTuple):
    """What the register tile is cut for: bytes in a vector register, and the rows in one step of a panel."""

    name: str
    register_bytes: int
    row_step: int


# 3 * row_step * 2 sums, 2 registers of B and one of A must fit the register file: 32 registers with AVX-512 and
# NEON, 16 with AVX2 and SSE.
_UNITS = {
    "avx512": VectorUnit("avx512", 64, 4),
    "avx2": VectorUnit("avx2", 32, 2),
    "neon": VectorUnit("neon", 16, 4),
    "portable": VectorUnit("portable", 16, 2),
}
_NEEDS = {"avx512": {"avx512f"}, "avx2": {"avx2", "fma"}, "neon": {"neon"}, "portable": set[str]()}


def runnable_units() -> list[str]:
    """Return the names of the vector units that this processor has, best first."""
    features = {name for name, present in llvm.get_host_cpu_features().items() if present}
    if llvm.get_process_triple().startswith(("aarch64", "arm64")):
        features.add("neon")  # every 64-bit ARM has it, and LLVM does not always list it
    return [name for name in _UNITS if _NEEDS[name] <= features]


def _choose_unit() -> VectorUnit:
    runnable = runnable_units()
    name = os.environ.get("SCRATCHGAN_SIMD") or runnable[0]
    if name not in runnable:
        raise ValueError(f"SCRATCHGAN_SIMD={name}: this processor can run {', '.join(runnable)}")
    return _UNITS[name]


UNIT = _choose_unit()
ROW_STEP = UNIT.row_step
PANEL_ROWS = 3 * ROW_STEP

# Numbers of A that lie between one row of a panel and the next. It is a constant so that all rows are addressed
# from one register. 16 more than the depth of a panel: rows that are a power of two apart would share cache sets.
MAX_DEPTH = 256
PITCH = MAX_DEPTH + 16

# While a tile is computed, the panel of A that comes next is fetched, this many numbers further with each step. The
# loop takes so many steps in a round that it asks for one whole line of the cache, in float32.
AHEAD = 4
STEPS = 4
CACHE_LINE = 64  # bytes

# Rows of B are fetched from the second cache into the first this many steps before their turn. A row of a tile is two
# lines with AVX-512, which the processor does not expect in time; where it is one or less, asking costs more than it
# brings.
ROWS_AHEAD = 12 if UNIT.name == "avx512" else 0


def lanes(itemsize: int) -> int:
    """Return how many numbers of ``itemsize`` bytes a vector register holds."""
    return UNIT.register_bytes // itemsize


_INT = ir.IntType(64)


class _Vectors:
    """Emits vector instructions for the element type of one Numba array type."""

    def __init__(self, context: Any, builder: Any, array: Any):
        self.context, self.builder = context, builder
        self.element = context.get_value_type(array.dtype)
        self.itemsize = array.dtype.bitwidth // 8
        self.lanes = lanes(self.itemsize)
        self.type = ir.VectorType(self.element, self.lanes)
        self.zero = ir.Constant(self.type, [0.0] * self.lanes)
        self.suffix = f"v{self.lanes}f{array.dtype.bitwidth}"
        # fmuladd, not fma: where the processor has no fused instruction, fma would be a call of the C library.
        self._fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(self.type, [self.type] * 3), f"llvm.fmuladd.{self.suffix}"
        )

    def pointer(self, array: types.Array, value: Any, position: Any) -> Any:
        data = self.context.make_array(array)(self.context, self.builder, value).data
        return self.builder.gep(data, [position])

    def offset(self, pointer: Any, count: int) -> Any:
        return self.builder.gep(pointer, [_INT(count)])

    def load(self, pointer: Any) -> Any:
        value = self.builder.load(self.builder.bitcast(pointer, self.type.as_pointer()))
        value.align = self.itemsize
        return value

    def store(self, value: Any, pointer: Any, streaming: bool = False) -> None:
        """``streaming`` goes to memory past the caches; the pointer must be aligned to a whole register."""
        store = self.builder.store(value, self.builder.bitcast(pointer, self.type.as_pointer()))
        store.align = UNIT.register_bytes if streaming else self.itemsize
        if streaming:
            one = self.builder.module.add_metadata([ir.IntType(32)(1)])
            store.set_metadata("nontemporal", one)

    def store_first(self, count: Any, value: Any, pointer: Any) -> None:
        """Store lanes 0 ... count - 1, and touch no memory behind them.

        A whole register is stored without a mask: AMD's processors before Zen 4 are slow at masked stores.
        """
        builder = self.builder
        with builder.if_else(builder.icmp_signed(">=", count, _INT(self.lanes))) as (whole, part):
            with whole:
                self.store(value, pointer)
            with part:
                index = ir.VectorType(_INT, self.lanes)
                numbers = ir.Constant(index, list(range(self.lanes)))
                present = builder.icmp_signed("<", numbers, self.repeat(count, index))
                function = cgutils.get_or_insert_function(
                    builder.module,
                    ir.FunctionType(ir.VoidType(), [self.type, self.type.as_pointer(), ir.IntType(32), present.type]),
                    f"llvm.masked.store.{self.suffix}.p0",
                )
                vector = builder.bitcast(pointer, self.type.as_pointer())
                builder.call(function, [value, vector, ir.IntType(32)(self.itemsize), present])

    def repeat(self, value: Any, vector: Any = None) -> Any:
        """A register, or another vector type, with the value in every lane."""
        undefined = ir.Constant(vector or self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.IntType(32)(0))
        lanes_of_first = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, lanes_of_first)

    def shuffle(self, a: Any, b: Any, order: list[int]) -> Any:
        """The lanes of a, then of b, in this order."""
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), order))

    def interleave(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Two registers: a0 b0 a1 b1 ..."""
        low, high = (
            [lane + which * self.lanes for lane in range(first, first + self.lanes // 2) for which in range(2)]
            for first in (0, self.lanes // 2)
        )
        return self.shuffle(a, b, low), self.shuffle(a, b, high)

    def prefetch(self, pointer: Any, level: int = 2) -> None:
        """Ask for a cache line to be brought into this level of cache; the pointer need not be valid."""
        byte, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32]), "llvm.prefetch.p0"
        )
        read, locality, data = i32(0), i32(4 - level), i32(1)
        self.builder.call(function, [self.builder.bitcast(pointer, byte), read, locality, data])

    def loop(self, count: Any, body: Callable[[Any], None]) -> None:
        """Emit ``body`` for i = 0, lanes, 2*lanes, ... while i < count, and at least once."""
        builder = self.builder
        before = builder.block
        loop = builder.append_basic_block("run.loop")
        after = builder.append_basic_block("run.after")
        builder.branch(loop)
        builder.position_at_end(loop)
        i = builder.phi(_INT)
        body(i)
        following = builder.add(i, _INT(self.lanes))
        i.add_incoming(_INT(0), before)
        i.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
        builder.position_at_end(after)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.call(self._fma, [a, b, c])

    def leaky(self, values: list[Any], slope: Any) -> list[Any]:
        """Each value where it is positive or NaN, slope * value elsewhere, which for slope 0 is 0 even of an infinity.

        Without an activation, a slope of 1, this is a branch: in a thin layer the arithmetic would show.
        """
        builder, without = self.builder, self.builder.block
        zero, one = (ir.Constant(self.element, number) for number in (0.0, 1.0))
        with builder.if_then(builder.fcmp_ordered("!=", slope, one)):
            slopes, is_zero = self.repeat(slope), builder.fcmp_ordered("==", slope, zero)
            activated = []
            for value in values:
                scaled = builder.select(is_zero, self.zero, builder.fmul(value, slopes))
                activated.append(builder.select(builder.fcmp_unordered(">", value, self.zero), value, scaled))
            within = builder.block
        return self.merge(values, without, activated, within)

    def merge(self, values: list[Any], block: Any, others: list[Any], other_block: Any) -> list[Any]:
        """Where two blocks meet, and the builder is: each value if the first led here, and the other if the second."""
        results = [self.builder.phi(self.type) for _ in values]
        for result, value, other in zip(results, values, others, strict=True):
            result.add_incoming(value, block)
            result.add_incoming(other, other_block)
        return results


def _emit_products(
    vectors: _Vectors, a: Any, ahead: Any, b: Any, row_of_b: Callable[[Any], Any], depth: Any, rows: int
) -> list[tuple[Any, Any]]:
    """Emit the loop over k, and return the sums: two registers for each row. The builder is left behind the loop.

    ``a`` and ``b`` point to the panel and to B, ``ahead`` to the panel that comes next; ``row_of_b`` emits the position
    of row k of B. A whole panel's loop takes `STEPS` steps at once, so that it asks for each cache line of the next
    panel once, and a second one the steps that are left.
    """
    sums = [vectors.zero] * (2 * rows)
    if rows < PANEL_ROWS:
        sums = _emit_steps(vectors, a, b, row_of_b, _INT(0), depth, 1, None, sums)
    else:
        whole = vectors.builder.and_(depth, _INT(-STEPS))
        sums = _emit_steps(vectors, a, b, row_of_b, _INT(0), whole, STEPS, ahead, sums)
        sums = _emit_steps(vectors, a, b, row_of_b, whole, depth, 1, None, sums)
    return list(zip(sums[::2], sums[1::2], strict=True))


def _emit_steps(
    vectors: _Vectors,
    a: Any,
    b: Any,
    row_of_b: Callable[[Any], Any],
    first: Any,
    end: Any,
    steps: int,
    ahead: Any,
    sums: list[Any],
) -> list[Any]:
    """Emit a loop over k from ``first`` to ``end``, ``steps`` at once, and return the sums with its products added.

    The sums are left and right of row 0, of row 1, and so on.
    """
    builder = vectors.builder
    before = builder.block
    loop = builder.append_basic_block("tile.loop")
    after = builder.append_basic_block("tile.after")
    builder.cbranch(builder.icmp_signed("<", first, end), loop, after)
    builder.position_at_end(loop)
    k = builder.phi(_INT)
    phis = [builder.phi(vectors.type) for _ in sums]
    if ahead is not None:
        next_panel = builder.gep(ahead, [builder.mul(k, _INT(AHEAD))])
        for line in range(0, steps * AHEAD * vectors.itemsize, CACHE_LINE):
            vectors.prefetch(vectors.offset(next_panel, line // vectors.itemsize))
    new = list(phis)
    for step in range(steps):
        now = builder.add(k, _INT(step))
        row = builder.gep(b, [row_of_b(now)])
        b_now = [vectors.load(vectors.offset(row, column * vectors.lanes)) for column in range(2)]
        if ROWS_AHEAD:
            later = builder.gep(b, [row_of_b(builder.add(now, _INT(ROWS_AHEAD)))])
            for column in range(2):
                vectors.prefetch(vectors.offset(later, column * vectors.lanes), level=1)
        column_of_a = builder.gep(a, [now])
        for m in range(len(sums) // 2):
            a_now = vectors.repeat(builder.load(vectors.offset(column_of_a, m * PITCH)))
            for cell, b_part in enumerate(b_now, 2 * m):
                new[cell] = vectors.multiply_add(a_now, b_part, new[cell])
    k_next = builder.add(k, _INT(steps))
    for phi, start, following in [(k, first, k_next), *zip(phis, sums, new, strict=True)]:
        phi.add_incoming(start, before)
        phi.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", k_next, end), loop, after)
    builder.position_at_end(after)
    return vectors.merge(sums, before, new, loop)


def _emit_tile(context: Any, builder: Any, signature: Any, arguments: Any, rows: int) -> Any:
    c, c_at, c_pitch, a, a_at, ahead, b, b_at, b_pitch, depth, first = arguments
    vectors = _Vectors(context, builder, signature.args[0])
    row_of_c = vectors.pointer(signature.args[0], c, c_at)
    sums = _emit_products(
        vectors,
        vectors.pointer(signature.args[3], a, a_at),
        vectors.pointer(signature.args[3], a, ahead),
        vectors.pointer(signature.args[6], b, b_at),
        lambda k: builder.mul(k, b_pitch),
        depth,
        rows,
    )
    targets = []
    for _ in range(rows):
        targets.append([vectors.offset(row_of_c, column * vectors.lanes) for column in range(2)])
        row_of_c = builder.gep(row_of_c, [c_pitch])
    cells = [(sums[row][column], targets[row][column]) for row in range(rows) for column in range(2)]
    with builder.if_else(first) as (overwrite, accumulate):
        with overwrite:
            for value, target in cells:
                vectors.store(value, target)
        with accumulate:
            for value, target in cells:
                vectors.store(builder.fadd(vectors.load(target), value), target)
    return context.get_dummy_value()


def _emit_written_tile(context: Any, builder: Any, signature: Any, arguments: Any, rows: int) -> Any:
    y, y_at, y_pitch, present, count, bias, bias_at, slope, a, a_at, ahead, b, b_at, b_rows, depth, streamed = arguments
    vectors = _Vectors(context, builder, signature.args[0])
    positions = context.make_array(signature.args[13])(context, builder, b_rows).data
    row_of_y = vectors.pointer(signature.args[0], y, y_at)
    pointer_bias = vectors.pointer(signature.args[5], bias, bias_at)
    sums = _emit_products(
        vectors,
        vectors.pointer(signature.args[8], a, a_at),
        vectors.pointer(signature.args[8], a, ahead),
        vectors.pointer(signature.args[11], b, b_at),
        lambda k: builder.load(builder.gep(positions, [k])),
        depth,
        rows,
    )
    present_in = [builder.sub(count, _INT(column * vectors.lanes)) for column in range(2)]
    for row in range(rows):
        with builder.if_then(builder.icmp_signed("<", _INT(row), present)):
            addend = vectors.repeat(builder.load(vectors.offset(pointer_bias, row)))
            values = vectors.leaky([builder.fadd(sums[row][column], addend) for column in range(2)], slope)
            targets = [vectors.offset(row_of_y, column * vectors.lanes) for column in range(2)]
            with builder.if_else(streamed) as (past, through):
                with past:
                    for value, target in zip(values, targets, strict=True):
                        vectors.store(value, target, streaming=True)
                with through:
                    for numbers, value, target in zip(present_in, values, targets, strict=True):
                        vectors.store_first(numbers, value, target)
        row_of_y = builder.gep(row_of_y, [y_pitch])
    return context.get_dummy_value()


def _tile_intrinsic(rows: int) -> Callable[..., Any]:
    @intrinsic
    def multiply_tile(typing, c, c_at, c_pitch, a, a_at, ahead, b, b_at, b_pitch, depth, first):
        signature = types.void(
            c, types.intp, types.intp, a, types.intp, types.intp, b, types.intp, types.intp, types.intp,
            types.boolean,
        )  # fmt: skip
        return signature, functools.partial(_emit_tile, rows=rows)

    return multiply_tile


# c[c_at + r*c_pitch + j] (+)= sum over k < depth (>= 1) of a[a_at + r*PITCH + k] * b[b_at + k*b_pitch + j]
# for r < 1, 2 or 3 ROW_STEP and j < 2*lanes; the old values of c count unless `first`. a[ahead:] up to AHEAD * depth
# is fetched into the cache; it need not exist.
multiply_tile_low = _tile_intrinsic(ROW_STEP)
multiply_tile_middle = _tile_intrinsic(2 * ROW_STEP)
multiply_tile_high = _tile_intrinsic(3 * ROW_STEP)


def _written_tile_intrinsic(rows: int) -> Callable[..., Any]:
    @intrinsic
    def write_tile(
        typing, y, y_at, y_pitch, present, count, bias, bias_at, slope, a, a_at, ahead, b, b_at, b_rows, depth, streamed
    ):
        signature = types.void(
            y, types.intp, types.intp, types.intp, types.intp, bias, types.intp, y.dtype, a, types.intp, types.intp, b,
            types.intp, b_rows, types.intp, types.boolean,
        )  # fmt: skip
        return signature, functools.partial(_emit_written_tile, rows=rows)

    return write_tile


# The same product, written to where it belongs: y[y_at + r*y_pitch + j] = bias[bias_at + r] + sum over k, times
# ``slope`` where that is not positive, for those r below ``present`` and j below ``count``; no other number is touched.
# Row k of B begins at b[b_at + b_rows[k]], and b_rows has ROWS_AHEAD numbers more than B has rows. ``streamed`` goes
# past the caches: y + y_at and y_pitch must be aligned to a whole register, and ``count`` be that of both.
write_tile_low = _written_tile_intrinsic(ROW_STEP)
write_tile_middle = _written_tile_intrinsic(2 * ROW_STEP)
write_tile_high = _written_tile_intrinsic(3 * ROW_STEP)
