"""Operators that pick: rows of a table by number, and random elements to drop."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..device import to_device
from ..tensor import Tensor, as_tensor
from .shape import getitem


def embedding(indices: Any, weight: Any) -> Tensor:
    """Rows of ``weight`` (K,D) by ``indices`` (...), integers from 0 to K-1 -> (...,D).

    A row used twice gets both gradients.
    """
    weight = as_tensor(weight)
    indices = to_device(indices.data, "cpu") if isinstance(indices, Tensor) else np.asarray(indices)
    if weight.ndim != 2 or indices.dtype.kind not in "iu":
        raise TypeError(f"embedding: it takes integers and a (K,D) table, got {indices.dtype} and {weight.shape}")
    if indices.size and not 0 <= indices.min() <= indices.max() < weight.shape[0]:
        raise ValueError(
            f"embedding: indices run from {indices.min()} to {indices.max()}, but the table has {weight.shape[0]} rows"
        )
    return getitem(weight, indices)


def dropout(x: Any, p: float, generator: np.random.Generator, training: bool = True) -> Tensor:
    """Zero each element with probability ``p`` and scale the rest by 1/(1-p); in evaluation, x itself.

    Srivastava et al., 2014, in the form that leaves evaluation alone. The random numbers come from ``generator`` only.
    """
    x = as_tensor(x)
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must be in [0, 1), got {p}")
    if not training or p == 0:
        return x
    keep = (generator.random(x.shape, np.float32) >= p).astype(x.dtype) / (1 - p)
    return x * Tensor(x.namespace.asarray(keep, x.dtype))
