"""Small matrices applied to rows and columns of registers, in LLVM instructions: what bilinear algorithms are made of
but for the products.

A matrix M of coefficients is applied to a square of registers from both sides,

    target[p, q] = sum over i and j of  M[p, i] * M[q, j] * source[i, j]

first along the rows and then along the columns, which takes far fewer additions than the four-fold sum. The
coefficients are constants of the machine code: 0 costs nothing, 1 and -1 an addition. What lies between the two steps
is on the stack, in the first cache: there are not enough registers for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .simd import _INT, UNIT, _Vectors, intrinsic

Matrix = Sequence[Mapping[int, float]]  # a row for each result: index of what is summed -> coefficient


def _sum(vectors: _Vectors, row: Mapping[int, float], values: Mapping[int, Any]) -> Any:
    """The sum of row[i] * values[i]."""
    builder, total = vectors.builder, None
    # Ones first: they need no multiplication, and then what follows is a multiply-add.
    for i, factor in sorted(row.items(), key=lambda term: (term[1] != 1, term[1] < 0, term[0])):
        value = values[i]
        if factor == 1:
            total = value if total is None else builder.fadd(total, value)
        elif factor == -1 and total is not None:
            total = builder.fsub(total, value)
        else:
            constant = ir.Constant(vectors.type, [factor] * vectors.lanes)
            total = builder.fmul(constant, value) if total is None else vectors.multiply_add(constant, value, total)
    return total


def _apply(vectors: _Vectors, matrix: Matrix, values: Mapping[int, Any]) -> list[Any]:
    """The product of the matrix and ``values``.

    Winograd's points come as t and -t. Two rows of the matrix then differ in the signs of some terms alone: those, and
    the others, are added up once for both.
    """
    builder = vectors.builder
    results: dict[int, Any] = {}
    for p, row in enumerate(matrix):
        if p in results:
            continue
        for q in range(p + 1, len(matrix)):
            other = matrix[q]
            alike = {i: value for i, value in row.items() if other.get(i) == value}
            opposite = {i: value for i, value in row.items() if other.get(i) == -value}
            if alike and opposite and len(row) > 2 and len(alike) + len(opposite) == len(row) == len(other):
                even, odd = _sum(vectors, alike, values), _sum(vectors, opposite, values)
                results[p], results[q] = builder.fadd(even, odd), builder.fsub(even, odd)
                break
        else:
            results[p] = _sum(vectors, row, values)
    return [results[p] for p in range(len(matrix))]


def _loop(builder: Any, count: Any, pointers: list[tuple[Any, Any]], body: Callable[[list[Any]], None]) -> None:
    """Emit ``body`` ``count`` >= 1 times, with pointers that move on, given as (first, step in numbers)."""
    before = builder.block
    loop, after = builder.append_basic_block("transform.loop"), builder.append_basic_block("transform.next")
    builder.branch(loop)
    builder.position_at_end(loop)
    i = builder.phi(_INT)
    moving = [builder.phi(first.type) for first, _ in pointers]
    body(moving)
    end = builder.block
    following = builder.add(i, _INT(1))
    i.add_incoming(_INT(0), before)
    i.add_incoming(following, end)
    for pointer, (first, step) in zip(moving, pointers, strict=True):
        pointer.add_incoming(first, before)
        pointer.add_incoming(builder.gep(pointer, [step]), end)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
    builder.position_at_end(after)


def _opaque(builder: Any, value: int) -> Any:
    """A number that LLVM does not know, so that it does not unroll a loop of so many rounds: that would be several
    times the code to compile, and no faster."""
    same = ir.InlineAsm(ir.FunctionType(_INT, [_INT]), "", "=r,0", side_effect=False)
    return builder.call(same, [_INT(value)])


def _emit_square(
    vectors: _Vectors, matrix: Matrix, target: Any, to: tuple[Any, Any], source: Any, from_: tuple[Any, Any]
) -> None:
    builder = vectors.builder
    size = 1 + max(max(row) for row in matrix)
    # Column q of what lies between the two steps, half[q * size + i] for row i of the source.
    half = cgutils.alloca_once(builder, ir.ArrayType(vectors.element, len(matrix) * size * vectors.lanes))
    half.align = UNIT.register_bytes
    half = builder.bitcast(half, target.type)

    def along_row(pointers: list[Any]) -> None:
        row, to_half = pointers
        values = {j: vectors.load(builder.gep(row, [builder.mul(from_[1], _INT(j))])) for j in range(size)}
        for q, result in enumerate(_apply(vectors, matrix, values)):
            vectors.store(result, vectors.offset(to_half, q * size * vectors.lanes))

    def along_column(pointers: list[Any]) -> None:
        from_half, column = pointers
        values = {i: vectors.load(vectors.offset(from_half, i * vectors.lanes)) for i in range(size)}
        for p, result in enumerate(_apply(vectors, matrix, values)):
            vectors.store(result, builder.gep(column, [builder.mul(to[0], _INT(p))]))

    register = _INT(vectors.lanes)
    _loop(builder, _opaque(builder, size), [(source, from_[0]), (half, register)], along_row)
    columns = [(half, _INT(size * vectors.lanes)), (target, to[1])]
    _loop(builder, _opaque(builder, len(matrix)), columns, along_column)


def transform(matrices: Sequence[Matrix]) -> Callable[..., Any]:
    """Return the function of a kernel that applies one of the ``matrices``, chosen by its first argument.

    function(which, target, target_at, to, source, source_at, from_, run): ``to`` and ``from_`` are the distances in
    numbers between rows and between columns of the square, and ``run`` = (count >= 1, step in the target, step in the
    source) says how many squares there are side by side.
    """

    @intrinsic
    def transform_registers(typing, which, target, target_at, to, source, source_at, from_, run):
        pair, three = types.UniTuple(types.intp, 2), types.UniTuple(types.intp, 3)
        signature = types.void(types.intp, target, types.intp, pair, source, types.intp, pair, three)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            which, target, target_at, to, source, source_at, from_, run = arguments
            vectors = _Vectors(context, builder, signature.args[1])
            first_target = vectors.pointer(signature.args[1], target, target_at)
            first_source = vectors.pointer(signature.args[4], source, source_at)
            to_pair, from_pair = (tuple(cgutils.unpack_tuple(builder, pair, 2)) for pair in (to, from_))
            count, to_step, from_step = cgutils.unpack_tuple(builder, run, 3)
            after = builder.append_basic_block("transform.after")
            cases = builder.switch(which, after)
            for number, matrix in enumerate(matrices):
                if matrices.index(matrix) < number:
                    continue  # equal matrices share a block
                block = builder.append_basic_block("transform")
                for other, same in enumerate(matrices):
                    if same == matrix:
                        cases.add_case(_INT(other), block)
                builder.position_at_end(block)

                def one(at: list[Any], matrix: Matrix = matrix) -> None:
                    _emit_square(vectors, matrix, at[0], to_pair, at[1], from_pair)

                _loop(builder, count, [(first_target, to_step), (first_source, from_step)], one)
                builder.branch(after)
            builder.position_at_end(after)
            return context.get_dummy_value()

        return signature, emit

    return transform_registers
