"""Which networks a run has: by the name of its model and the shape of its data."""

from __future__ import annotations

import numpy as np

from .. import nn
from .gan import Discriminator, Generator, discriminator28, generator28
from .mlp import PointDiscriminator, PointGenerator

#: gan: upsampling against strided convolutions (`models.gan`); gan28: the benchmark's networks, made for 28 pixels and
#: here for any size that 4 divides; mlp: for points in the plane.
MODELS = ("gan", "gan28", "mlp")


def model_for(shape: tuple[int, ...]) -> str:
    """Return the model that suits data of this shape: (C,S,S) or (2,)."""
    return "mlp" if len(shape) == 1 else "gan"


def make_generator(
    model: str, shape: tuple[int, ...], latent: int, width: int, *, generator: np.random.Generator
) -> nn.Sequential:
    """Return a new generator of data of ``shape``. Raises ValueError for a shape out of the model's reach."""
    _check(model, shape)
    if model == "mlp":
        return PointGenerator(latent, width, generator=generator)
    channels, size, _ = shape
    if model == "gan28":
        return generator28(size, channels, latent, generator=generator)
    return Generator(size, channels, latent, width, generator=generator)


def make_discriminator(
    model: str, shape: tuple[int, ...], width: int, norm: str, *, generator: np.random.Generator
) -> nn.Sequential:
    """Return a new discriminator of data of ``shape``. Raises ValueError for a shape out of the model's reach."""
    _check(model, shape)
    if model == "mlp":
        return PointDiscriminator(width, norm, generator=generator)
    channels, size, _ = shape
    if model == "gan28":
        if norm != "none":
            raise ValueError(f"model gan28: its discriminator has no normalisation: d_norm must be none, got {norm!r}")
        return discriminator28(size, channels, generator=generator)
    return Discriminator(size, channels, width, norm, generator=generator)


def _check(model: str, shape: tuple[int, ...]) -> None:
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {model!r}")
    if (model == "mlp") != (len(shape) == 1):
        what = "points" if len(shape) == 1 else "images"
        raise ValueError(f"model {model} is not for {what}; {model_for(shape)} is")
