"""Networks for points in the plane: three hidden layers each.

G    z (N,latent) -> [Linear, ReLU] * 3 -> Linear -> points (N,2)
D    points (N,2) -> [Linear, LeakyReLU] * 3 -> Linear -> one logit
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import nn

_HIDDEN = 3


class PointGenerator(nn.Sequential):
    """Latent vectors (N,latent) -> points (N,2), anywhere in the plane. ``width``: units in a hidden layer."""

    def __init__(self, latent: int, width: int, *, generator: np.random.Generator):
        super().__init__(*_layers(latent, width, 2, nn.ReLU, generator))


class PointDiscriminator(nn.Sequential):
    """Points (N,2) -> logits (N,1). ``norm`` is "none", or "spectral" (T. Miyato et al., 2018)."""

    def __init__(self, width: int, norm: str = "none", *, generator: np.random.Generator):
        if norm not in ("none", "spectral"):
            raise ValueError(f"PointDiscriminator: norm (d_norm) must be none or spectral, got {norm!r}")
        layers = _layers(2, width, 1, lambda: nn.LeakyReLU(0.2), generator)
        super().__init__(*layers)
        if norm == "spectral":
            for layer in layers:
                if isinstance(layer, nn.Linear):
                    nn.spectral_norm(layer, generator=generator)


def _layers(
    first: int, width: int, last: int, activation: Callable[[], nn.Module], generator: np.random.Generator
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for _ in range(_HIDDEN):
        layers += [nn.Linear(first, width, generator=generator), activation()]
        first = width
    return [*layers, nn.Linear(first, last, generator=generator)]
