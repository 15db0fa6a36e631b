"""Einstein's summation: products of arrays with named axes, by matrix products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..tensor import Tensor
from .arguments import RULES, TENSORS, TEXT, check_alike
from .matmul import matmul
from .reduce import sum
from .shape import getitem, reshape, transpose


def einsum(equation: str, *operands: Any) -> Tensor:
    """The sum of products that ``equation`` names, as NumPy and PyTorch read it: "bij,bjk->bik" is a batched product.

    A letter names an axis. One that is not on the right of the arrow is summed over; one that an operand has twice
    takes its diagonal. Without an arrow the right side is the letters that occur once, in alphabetical order. "..."
    stands for further axes in front, which must be the same for all operands that have them. Operands are multiplied
    from left to right, two at a time, each time as one matrix product.
    """
    equation = TEXT.check("einsum", "equation", equation)
    tensors = TENSORS.check("einsum", "operands", operands)
    names, result = _parsed(equation, tensors)
    check_alike("einsum", **{f"operand {i}": t for i, t in enumerate(tensors)})
    sizes: dict[str, int] = {}
    for t, letters in zip(tensors, names, strict=True):
        for letter, n in zip(letters, t.shape, strict=True):
            if sizes.setdefault(letter, n) != n:
                raise ValueError(
                    f"einsum: axis {letter!r} has {sizes[letter]} elements in one operand of {equation!r} and {n} in "
                    f"{t.shape}"
                )
    parts = [_diagonal(t, letters) for t, letters in zip(tensors, names, strict=True)]
    y, have = parts[0]
    for i, (other, letters) in enumerate(parts[1:], 1):
        later = set(result).union(*(rest for _, rest in parts[i + 1 :]))
        y, have = _multiplied(y, have, other, letters, later, sizes)
    y, have = _summed(y, have, set(result))
    return transpose(y, [have.index(letter) for letter in result]) if result else y


RULES["einsum"] = {"equation": TEXT, "operands": TENSORS}


def _parsed(equation: str, tensors: list[Tensor]) -> tuple[list[str], str]:
    """Return the letters of each operand's axes and of the result's; an ellipsis becomes digits."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(tensors) or not tensors:
        raise ValueError(f"einsum: {equation!r} is for {len(terms)} operands, got {len(tensors)}")
    further = ""
    names = []
    for term, t in zip(terms, tensors, strict=True):
        letters = term.replace("...", "")
        extra = t.ndim - len(letters)
        if not (letters.isalpha() or not letters) or (extra != 0 and "..." not in term) or extra < 0:
            raise ValueError(f"einsum: {term!r} of {equation!r} does not name the {t.ndim} axes of {t.shape}")
        digits = "".join(map(str, range(extra)))
        if "..." in term:
            if further and digits and digits != further:
                raise ValueError(f"einsum: the operands of {equation!r} have different numbers of further axes")
            further = digits or further
        names.append(term.replace("...", digits))
    if not arrow:
        once = sorted(c for c in set(left) if c.isalpha() and left.count(c) == 1)
        return names, further + "".join(once)
    result = right.replace("...", further)
    known = set("".join(names))
    if len(set(result)) != len(result) or not set(result) <= known:
        raise ValueError(f"einsum: the right side of {equation!r} must name axes of the operands, each once")
    return names, result


def _diagonal(t: Tensor, letters: str) -> tuple[Tensor, str]:
    """Return the diagonal of axes that have one name."""
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            a = letters.index(letter)
            b = letters.index(letter, a + 1)
            rest = [i for i in range(len(letters)) if i not in (a, b)]
            along = np.arange(t.shape[a])
            t = getitem(transpose(t, (a, b, *rest)), (along, along))
            letters = letter + "".join(letters[i] for i in rest)
    return t, letters


def _summed(t: Tensor, letters: str, keep: set[str]) -> tuple[Tensor, str]:
    gone = tuple(i for i, letter in enumerate(letters) if letter not in keep)
    return (sum(t, gone), "".join(c for c in letters if c in keep)) if gone else (t, letters)


def _multiplied(
    a: Tensor, a_letters: str, b: Tensor, b_letters: str, later: set[str], sizes: dict[str, int]
) -> tuple[Tensor, str]:
    """Multiply two operands, summing over what both have and nothing later needs: (batch, M, K) @ (batch, K, N)."""
    a, a_letters = _summed(a, a_letters, later | set(b_letters))
    b, b_letters = _summed(b, b_letters, later | set(a_letters))
    both = [c for c in a_letters if c in b_letters]
    batch, inner = [c for c in both if c in later], [c for c in both if c not in later]
    rows, columns = ([c for c in letters if c not in both] for letters in (a_letters, b_letters))

    def arranged(t: Tensor, letters: str, first: list[str], second: list[str]) -> Tensor:
        t = transpose(t, [letters.index(c) for c in (*batch, *first, *second)]) if t.ndim else t
        shape = (*(sizes[c] for c in batch), *(math.prod(sizes[c] for c in group) for group in (first, second)))
        return reshape(t, shape)

    y = matmul(arranged(a, a_letters, rows, inner), arranged(b, b_letters, inner, columns))
    letters = "".join([*batch, *rows, *columns])
    return reshape(y, tuple(sizes[c] for c in letters)), letters
