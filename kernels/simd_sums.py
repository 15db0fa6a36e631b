"""Weighted sums of runs of registers, in LLVM instructions: what bilinear algorithms are made of but for the products.

    target[i] = start + sum over terms t of  coefficient[t] * source[i, offset[t]]       i counts whole registers

The terms are entries of a table, so one function serves all algorithms; for the numbers of terms that occur there is
machine code with the offsets and coefficients in registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .jit import kernel
from .simd import _INT, _Vectors, intrinsic


def _emit_sum(context: Any, builder: Any, signature: Any, arguments: Any, terms: int) -> Any:
    target, target_at, source, source_at, offset, coefficient, first, start, shapes = arguments
    outer, outer_to, outer_from, inner, inner_to, inner_from = cgutils.unpack_tuple(builder, shapes, 6)
    vectors = _Vectors(context, builder, signature.args[0])
    to = vectors.pointer(signature.args[0], target, target_at)
    origin = vectors.pointer(signature.args[2], source, source_at)
    offsets = vectors.pointer(signature.args[4], offset, first)
    coefficients = vectors.pointer(signature.args[5], coefficient, first)
    places = [builder.load(vectors.offset(offsets, t)) for t in range(terms)]
    factors = [vectors.repeat(builder.load(vectors.offset(coefficients, t))) for t in range(terms)]
    starts = vectors.repeat(start)

    def loop(count: Any, steps: list[Any], pointers: list[Any], body: Callable[[list[Any]], None]) -> None:
        """Emit ``body`` ``count`` >= 1 times, with pointers that move by ``steps``."""
        before = builder.block
        begin = builder.append_basic_block("sum.loop")
        after = builder.append_basic_block("sum.after")
        builder.branch(begin)
        builder.position_at_end(begin)
        i = builder.phi(_INT)
        moving = [builder.phi(pointer.type) for pointer in pointers]
        body(moving)
        end = builder.block
        i.add_incoming(_INT(0), before)
        i_next = builder.add(i, _INT(1))
        i.add_incoming(i_next, end)
        for pointer, origin, step in zip(moving, pointers, steps, strict=True):
            pointer.add_incoming(origin, before)
            pointer.add_incoming(builder.gep(pointer, [step]), end)
        builder.cbranch(builder.icmp_signed("<", i_next, count), begin, after)
        builder.position_at_end(after)

    def register(pointers: list[Any]) -> None:
        total = starts
        for pointer, factor in zip(pointers[1:], factors, strict=True):
            total = vectors.multiply_add(factor, vectors.load(pointer), total)
        vectors.store(total, pointers[0])

    def run(pointers: list[Any]) -> None:
        sources = [builder.gep(pointers[1], [place]) for place in places]
        loop(inner, [inner_to] + [inner_from] * terms, [pointers[0], *sources], register)

    loop(outer, [outer_to, outer_from], [to, origin], run)
    return context.get_dummy_value()


def _sum_intrinsic(terms: int) -> Callable[..., Any]:
    @intrinsic
    def sum_registers(typing, target, target_at, source, source_at, offset, coefficient, first, start, shape):
        signature = types.void(
            target, types.intp, source, types.intp, offset, coefficient, types.intp, target.dtype,
            types.UniTuple(types.intp, 6),
        )  # fmt: skip
        return signature, lambda context, builder, signature, arguments: _emit_sum(
            context, builder, signature, arguments, terms
        )

    return sum_registers


_sum_1 = _sum_intrinsic(1)
_sum_2 = _sum_intrinsic(2)
_sum_3 = _sum_intrinsic(3)
_sum_4 = _sum_intrinsic(4)
_sum_6 = _sum_intrinsic(6)
_sum_8 = _sum_intrinsic(8)
_sum_9 = _sum_intrinsic(9)
_sum_12 = _sum_intrinsic(12)
_sum_16 = _sum_intrinsic(16)
TERMS = (1, 2, 3, 4, 6, 8, 9, 12, 16)  # what ``weighted_sum`` can do


@kernel
def weighted_sum(target, target_at, source, source_at, first, offset, coefficient, entry, start, shape):
    """Write registers from runs of registers, in two loops: all of ``shape`` = (outer count, outer step of the
    target, outer step of the source, inner count, and the inner steps), with steps in numbers and counts >= 1.

    Table entry e has the terms ``first[e]:first[e + 1]``, whose number is one of TERMS. Every lane starts from
    ``start``, and terms are added in the order of the table.
    """
    term = first[entry]
    terms = first[entry + 1] - term
    if terms == 4:
        _sum_4(target, target_at, source, source_at, offset, coefficient, term, start, shape)
    elif terms == 2:
        _sum_2(target, target_at, source, source_at, offset, coefficient, term, start, shape)
    elif terms == 1:
        _sum_1(target, target_at, source, source_at, offset, coefficient, term, start, shape)
    elif terms == 9:
        _sum_9(target, target_at, source, source_at, offset, coefficient, term, start, shape)
    elif terms == 6:
        _sum_6(target, target_at, source, source_at, offset, coefficient, term, start, shape)
    elif terms == 3:
        _sum_3(target, target_at, source, source_at, offset, coefficient, term, start, shape)
    elif terms == 16:
        _sum_16(target, target_at, source, source_at, offset, coefficient, term, start, shape)
    elif terms == 8:
        _sum_8(target, target_at, source, source_at, offset, coefficient, term, start, shape)
    else:
        _sum_12(target, target_at, source, source_at, offset, coefficient, term, start, shape)


@intrinsic
def all_finite(typing, array, position, count):
    """True if no number of the ``count`` >= 1 registers from ``position`` on is infinite or NaN."""
    signature = types.boolean(array, types.intp, types.intp)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, position, count = arguments
        vectors = _Vectors(context, builder, signature.args[0])
        pointer = vectors.pointer(signature.args[0], array, position)
        before = builder.block
        loop = builder.append_basic_block("finite.loop")
        after = builder.append_basic_block("finite.after")
        builder.branch(loop)
        builder.position_at_end(loop)
        i, total = builder.phi(_INT), builder.phi(vectors.type)
        value = vectors.load(builder.gep(pointer, [builder.mul(i, _INT(vectors.lanes))]))
        new_total = builder.fadd(total, builder.fsub(value, value))  # 0, or NaN for inf - inf
        following = builder.add(i, _INT(1))
        for phi, start, later in [(i, _INT(0), following), (total, vectors.zero, new_total)]:
            phi.add_incoming(start, before)
            phi.add_incoming(later, loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
        builder.position_at_end(after)
        is_nan = builder.fcmp_unordered("uno", new_total, new_total)
        bits = builder.bitcast(is_nan, ir.IntType(vectors.lanes))
        return builder.icmp_unsigned("==", bits, ir.Constant(bits.type, 0))

    return signature, emit
