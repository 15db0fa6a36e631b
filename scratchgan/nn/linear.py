"""Layers made of one matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..ops.arguments import FLAG, GENERATOR, integer, layer
from ..tensor import Tensor
from . import init
from .module import Module, Parameter


class Linear(Module):
    """x @ weight.T + bias: (..., in_features) -> (..., out_features).

    ``weight`` is (out_features, in_features) and ``bias`` (out_features,), or None; both start uniform within
    +-1/sqrt(in_features), drawn from ``generator``.
    """

    @layer(in_features=integer(1), out_features=integer(1), bias=FLAG, generator=GENERATOR)
    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, generator: np.random.Generator):
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(np.empty((out_features, in_features), np.float32))
        self.bias = Parameter(np.empty(out_features, np.float32)) if bias else None
        init.default_(self.weight, self.bias, generator=generator)

    def forward(self, x: Any) -> Tensor:
        return ops.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Embedding(Module):
    """A table of vectors, looked up by number: integers (...) -> (..., embedding_dim).

    ``weight`` is (num_embeddings, embedding_dim) and starts as N(0, 1), drawn from ``generator``.
    """

    @layer(num_embeddings=integer(1), embedding_dim=integer(1), generator=GENERATOR)
    def __init__(self, num_embeddings: int, embedding_dim: int, *, generator: np.random.Generator):
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = Parameter(np.empty((num_embeddings, embedding_dim), np.float32))
        init.normal_(self.weight, generator=generator)

    def forward(self, indices: Any) -> Tensor:
        return ops.embedding(indices, self.weight)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"
