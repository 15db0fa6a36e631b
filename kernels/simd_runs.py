"""Runs of numbers in whole registers: copied, written, added up and transposed, for what surrounds a matrix product.

Like the register tile of ``simd.py`` these are LLVM instructions behind a function that a Numba kernel calls on flat
arrays and positions in them. A run may be of any length; what lies beyond its end in the last register is read, and
whether it is written is said at each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from .simd import _INT, _Vectors, intrinsic


def _ends(context: Any, builder: Any, signature: Any, arguments: Any) -> tuple[_Vectors, Any, Any]:
    """Return the vectors of a run's numbers, and pointers to where it is written and read: (target, position, source,
    position) are the first arguments of all that take one run to another."""
    target, target_at, source, source_at = arguments[:4]
    vectors = _Vectors(context, builder, signature.args[0])
    return (
        vectors,
        vectors.pointer(signature.args[0], target, target_at),
        vectors.pointer(signature.args[2], source, source_at),
    )


@intrinsic
def copy_run(typing, target, target_at, source, source_at, count):
    """Copy ``count`` >= 1 numbers from source[source_at:] to target[target_at:] in whole registers: up to ``lanes`` - 1
    more are read, and written, than asked.

    The caller sees to it that both arrays go on that far, and that whatever comes next in ``target`` is written later.
    That is what makes a run of 7 or 14 numbers cost one load and one store.
    """
    signature = types.void(target, types.intp, source, types.intp, types.intp)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors, to, origin = _ends(context, builder, signature, arguments)

        def body(i: Any) -> None:
            vectors.store(vectors.load(builder.gep(origin, [i])), builder.gep(to, [i]))

        vectors.loop(arguments[4], body)
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def copy_every_second(typing, target, target_at, source, source_at, count):
    """target[i] = source[2*i] for i < ``count`` (>= 1), in whole registers, as ``copy_run``: up to ``lanes`` - 1
    more are written, and twice as many numbers plus one read."""
    signature = types.void(target, types.intp, source, types.intp, types.intp)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors, to, origin = _ends(context, builder, signature, arguments)
        count = arguments[4]
        even = [2 * i for i in range(vectors.lanes)]

        def body(i: Any) -> None:
            here = builder.gep(origin, [builder.mul(i, _INT(2))])
            halves = vectors.load(here), vectors.load(vectors.offset(here, vectors.lanes))
            vectors.store(vectors.shuffle(*halves, even), builder.gep(to, [i]))

        vectors.loop(count, body)
        return context.get_dummy_value()

    return signature, emit


def _write_intrinsic(streaming: bool) -> Callable[..., Any]:
    @intrinsic
    def write(typing, target, target_at, source, source_at, addend, slope, count):
        signature = types.void(target, types.intp, source, types.intp, target.dtype, target.dtype, types.intp)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vectors, to, origin = _ends(context, builder, signature, arguments)
            addend, slope, count = arguments[4:]
            addends = vectors.repeat(addend)

            def body(i: Any) -> None:
                (value,) = vectors.leaky([builder.fadd(vectors.load(builder.gep(origin, [i])), addends)], slope)
                if streaming:
                    vectors.store(value, builder.gep(to, [i]), streaming)
                else:
                    vectors.store_first(builder.sub(count, i), value, builder.gep(to, [i]))

            vectors.loop(count, body)
            return context.get_dummy_value()

        return signature, emit

    return write


# target[i] = source[i] + ``addend``, times ``slope`` where that is not positive, for i < ``count`` (>= 1). Writes no
# more; reads whole registers.
write_run = _write_intrinsic(False)
# The same past the caches: the target must be aligned to a whole register, and ``count`` be that of whole ones.
stream_sum = _write_intrinsic(True)


@intrinsic
def write_interleaved(typing, target, target_at, even, even_at, odd, odd_at, addend, slope, count):
    """target[2*i] = even[i] + ``addend``, target[2*i + 1] = odd[i] + ``addend``, times ``slope`` where that is not
    positive, as far as they are among the first ``count`` (>= 1) of target. Writes no more; reads whole registers."""
    signature = types.void(
        target, types.intp, even, types.intp, odd, types.intp, target.dtype, target.dtype, types.intp
    )

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, target_at, even, even_at, odd, odd_at, addend, slope, count = arguments
        vectors = _Vectors(context, builder, signature.args[0])
        to = vectors.pointer(signature.args[0], target, target_at)
        evens = vectors.pointer(signature.args[2], even, even_at)
        odds = vectors.pointer(signature.args[4], odd, odd_at)
        addends = vectors.repeat(addend)
        half = builder.lshr(builder.add(count, _INT(1)), _INT(1))

        def body(i: Any) -> None:
            sums = [builder.fadd(vectors.load(builder.gep(origin, [i])), addends) for origin in (evens, odds)]
            for part, value in enumerate(vectors.interleave(*vectors.leaky(sums, slope))):
                start = builder.add(builder.shl(i, _INT(1)), _INT(part * vectors.lanes))
                vectors.store_first(builder.sub(count, start), value, builder.gep(to, [start]))

        vectors.loop(half, body)
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def add_run(typing, target, target_at, source, source_at, count):
    """target[i] += source[i] for i < ``count`` (>= 1). Writes no more; reads whole registers."""
    signature = types.void(target, types.intp, source, types.intp, types.intp)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors, to, origin = _ends(context, builder, signature, arguments)
        count = arguments[4]

        def body(i: Any) -> None:
            here = builder.gep(to, [i])
            value = builder.fadd(vectors.load(here), vectors.load(builder.gep(origin, [i])))
            vectors.store_first(builder.sub(count, i), value, here)

        vectors.loop(count, body)
        return context.get_dummy_value()

    return signature, emit


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


@intrinsic
def transpose_square(typing, target, target_at, target_pitch, source, source_at, source_pitch):
    """target[j*target_pitch + i] = source[i*source_pitch + j] for i, j < ``lanes``.

    Interleaving register i with register i + lanes/2 moves one bit of the register's number into the position within
    the register; log2(lanes) rounds of it exchange the two.
    """
    signature = types.void(target, types.intp, types.intp, source, types.intp, types.intp)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, target_at, target_pitch, source, source_at, source_pitch = arguments
        vectors = _Vectors(context, builder, signature.args[0])
        to = vectors.pointer(signature.args[0], target, target_at)
        origin = vectors.pointer(signature.args[3], source, source_at)
        lanes = vectors.lanes
        rows = []
        for _ in range(lanes):
            rows.append(vectors.load(origin))
            origin = builder.gep(origin, [source_pitch])

        for _ in range(lanes.bit_length() - 1):
            pairs = zip(rows[: lanes // 2], rows[lanes // 2 :], strict=True)
            rows = [row for a, b in pairs for row in vectors.interleave(a, b)]
        for row in rows:
            vectors.store(row, to)
            to = builder.gep(to, [target_pitch])
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def prefetch(typing, array, position):
    """Ask for the cache line of array[position], which need not exist, without waiting for it."""
    signature = types.void(array, types.intp)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = _Vectors(context, builder, signature.args[0])
        vectors.prefetch(vectors.pointer(signature.args[0], *arguments))
        return context.get_dummy_value()

    return signature, emit
