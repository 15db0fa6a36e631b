"""Modules in a row, and those that only change an input's shape."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from .. import ops
from ..ops.arguments import AXIS, SHAPE, layer
from ..tensor import Tensor, as_tensor
from .module import Module


class ModuleList(Module):
    """Modules by number: a list whose parameters are found. It computes nothing by itself."""

    def __init__(self, modules: Iterable[Module] = ()):
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> None:
        """Add a module at the end."""
        if not isinstance(module, Module):
            raise TypeError(
                f"{type(self).__name__}: item {len(self)} must be a Module, got {type(module).__name__} {module!r}"
            )
        setattr(self, str(len(self)), module)

    def __len__(self) -> int:
        return len(self.named_children())

    def __iter__(self) -> Iterator[Module]:
        return iter([module for _, module in self.named_children()])

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]


class Sequential(ModuleList):
    """Modules in a row, each taking what the one before it gives: ``Sequential(first, second, ...)``."""

    def __init__(self, *modules: Module):
        super().__init__(modules)

    def forward(self, x: Any) -> Any:
        for i, module in enumerate(self):
            try:
                x = module(x)
            except Exception as error:
                error.add_note(f"in module {i} of a Sequential, {type(module).__name__}({module.extra_repr()})")
                raise
        return x


class Identity(Module):
    """Gives its input back."""

    def forward(self, x: Any) -> Tensor:
        return as_tensor(x)


class Flatten(Module):
    """Joins the axes from ``start_dim`` to ``end_dim`` into one: (N,C,H,W) -> (N,C*H*W)."""

    @layer(start_dim=AXIS, end_dim=AXIS)
    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> Tensor:
        return ops.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}" + ("" if self.end_dim == -1 else f", end_dim={self.end_dim}")


class Unflatten(Module):
    """Splits one axis into several: ``Unflatten(1, (C, H, W))`` makes (N,C*H*W) to (N,C,H,W); one may be -1."""

    @layer(dim=AXIS, unflattened_size=SHAPE)
    def __init__(self, dim: int, unflattened_size: tuple[int, ...]):
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Any) -> Tensor:
        x = as_tensor(x)
        size = math.prod([n for n in self.unflattened_size if n != -1])
        here = -x.ndim <= self.dim < x.ndim
        if not here or (x.shape[self.dim] % max(size, 1) if -1 in self.unflattened_size else x.shape[self.dim] != size):
            raise ValueError(
                f"Unflatten: axis {self.dim} of x {x.shape} must have {size} elements to become {self.unflattened_size}"
            )
        axis = self.dim % x.ndim
        sizes = tuple([x.shape[axis] // max(size, 1) if n == -1 else n for n in self.unflattened_size])
        return ops.reshape(x, (*x.shape[:axis], *sizes, *x.shape[axis + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
