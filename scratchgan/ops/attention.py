"""Scaled dot-product attention, which keeps no matrix of attention weights.

For L queries and S keys those weights are L x S numbers for each head, far more than all that goes in and comes out.
Forwards they are made for a few rows at a time. Backwards they are computed again from the queries and keys: one more
product, instead of the memory (Dao et al., FlashAttention, 2022, do so within one kernel).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..autograd import Function
from ..device import Array, namespace
from ..kernels import matmul as product
from ..tensor import Tensor
from .arguments import FLAG, NETWORK, TENSOR, check_alike, number, operator, optional
from .matmul import Matmul
from .reduce import softmax, sum
from .shape import broadcast_to, sum_to, transpose

_AT_ONCE = 1 << 21  # attention weights


class Attention(Function):
    """(q, k, v) or (q, k, v, bias) -> softmax(q @ k.T * scale + bias) @ v, over the last two axes."""

    saves_output = False

    def __init__(self, scale: float):
        self.scale = scale

    def forward(self, q: Array, k: Array, v: Array, bias: Array | None = None) -> Array:
        xp, lead = namespace(q), q.shape[:-2]
        y = xp.empty((*lead, q.shape[-2], v.shape[-1]), q.dtype)
        if bias is not None:
            bias = xp.broadcast_to(bias, (*lead, q.shape[-2], k.shape[-2]))
        rows = max(1, _AT_ONCE // max(1, math.prod(lead) * k.shape[-2]))
        keys = k.swapaxes(-1, -2)
        for first in range(0, q.shape[-2], rows):
            part = (..., slice(first, first + rows), slice(None))
            scores = product(q[part] * q.dtype.type(self.scale), keys)
            if bias is not None:
                scores = scores + bias[part]
            weights = xp.exp(scores - scores.max(-1, keepdims=True))
            y[part] = product(weights / weights.sum(-1, keepdims=True), v)
        return y

    def backward(
        self, needs: tuple[bool, ...], gy: Tensor, _: None, q: Tensor, k: Tensor, v: Tensor, *bias: Tensor
    ) -> Any:
        scores = Matmul()(q, _swapped(k)) * self.scale
        weights = softmax(scores + bias[0] if bias else scores, -1)
        gv = Matmul()(_swapped(weights), gy) if needs[2] else None
        gweights = Matmul()(gy, _swapped(v))
        gscores = weights * (gweights - sum(gweights * weights, -1, keepdims=True))
        gq = Matmul()(gscores, k) * self.scale if needs[0] else None
        gk = Matmul()(_swapped(gscores), q) * self.scale if needs[1] else None
        return (gq, gk, gv, sum_to(gscores, bias[0].shape) if needs[3] else None) if bias else (gq, gk, gv)


def _swapped(x: Tensor) -> Tensor:
    return transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@operator(
    query=NETWORK,
    key=NETWORK,
    value=NETWORK,
    attn_mask=optional(TENSOR),
    is_causal=FLAG,
    scale=optional(number()),
)
def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, is_causal: bool = False, scale: float | None = None
) -> Tensor:
    """softmax(query @ key.T * scale + mask) @ value (Vaswani et al., 2017).

    query (...,L,E), key (...,S,E) and value (...,S,D) give (...,L,D); the axes in front (batch, heads) are broadcast.
    ``scale`` is 1/sqrt(E) unless given. ``attn_mask``, (...,L,S) or what is broadcast to it: bool, where False keeps a
    query from a key, or numbers that are added, with a gradient. ``is_causal`` keeps query i from all keys after i, and
    takes no mask besides. A query that is kept from all keys is NaN. There is no dropout of the weights.
    """
    name = "scaled_dot_product_attention"
    check_alike(name, query=query, key=key, value=value)
    q, k, v = query, key, value
    shapes = f"query {q.shape}, key {k.shape} and value {v.shape}"
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(f"{name}: {shapes} do not fit; they must be (...,L,E), (...,S,E) and (...,S,D)")
    if k.shape[-2] == 0:
        raise ValueError(f"{name}: there are no keys in {k.shape}")
    try:
        lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    except ValueError:
        raise ValueError(f"{name}: the axes in front of {shapes} cannot be broadcast") from None
    operands = [broadcast_to(t, (*lead, *t.shape[-2:])) for t in (q, k, v)]
    bias = _bias(name, attn_mask, is_causal, q, (*lead, q.shape[-2], k.shape[-2]))
    if bias is not None:
        operands.append(bias)
    if scale is None:
        scale = 1 / math.sqrt(max(q.shape[-1], 1))
    return Attention(float(scale))(*operands)


def _bias(name: str, mask: Any, is_causal: bool, q: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Return what is added to the scores: 0 or -inf, or the numbers of the mask."""
    xp = q.namespace
    if is_causal:
        if mask is not None:
            raise ValueError(f"{name}: is_causal=True is a mask; give no attn_mask besides")
        mask = Tensor(xp.tril(xp.ones(shape[-2:], bool)))
    if mask is None:
        return None
    if mask.dtype == bool:
        mask = Tensor(xp.where(mask.data, 0, -np.inf).astype(q.dtype))
    if mask.dtype != q.dtype or type(mask.data) is not type(q.data):
        raise TypeError(
            f"{name}: attn_mask must be bool or {q.dtype}, and on {q.device}, as the query is, got {mask.dtype} on "
            f"{mask.device}"
        )
    try:
        fits = np.broadcast_shapes(mask.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name}: attn_mask {mask.shape} cannot be broadcast to the scores' {shape}")
    return mask
