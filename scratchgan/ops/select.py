"""Operators that pick: rows of a table by number, and random elements to drop."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import constant
from ..tensor import Tensor
from .arguments import FLAG, GENERATOR, INTEGERS, NETWORK, TENSOR, number, operator
from .shape import GetItem


@operator(indices=INTEGERS, weight=TENSOR)
def embedding(indices: Any, weight: Any) -> Tensor:
    """Rows of ``weight`` (K,D) by ``indices`` (...), integers from 0 to K-1 -> (...,D).

    A row used twice gets both gradients.
    """
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight must be a (K,D) table, got {weight.shape}")
    if indices.size and not 0 <= indices.min() <= indices.max() < weight.shape[0]:
        raise ValueError(
            f"embedding: indices run from {indices.min()} to {indices.max()}, but the table has {weight.shape[0]} rows"
        )
    return GetItem(indices)(weight)


@operator(x=NETWORK, p=number(0, 1), generator=GENERATOR, training=FLAG)
def dropout(x: Any, p: float, generator: np.random.Generator, training: bool = True) -> Tensor:
    """Zero each element with probability ``p`` and scale the rest by 1/(1-p); in evaluation, x itself.

    Srivastava et al., 2014, in the form that leaves evaluation alone. The random numbers come from ``generator`` only.
    With p = 1 everything is 0.
    """
    if not training or p == 0:
        return x
    keep = (generator.random(x.shape, np.float32) >= p).astype(x.dtype) / ((1 - p) or 1)
    return x * constant(x.namespace.asarray(keep, x.dtype))
