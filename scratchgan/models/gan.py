"""The generator and discriminator of an image GAN: upsampling with convolutions against strided convolutions.

    G    z (N,latent) -> Linear -> (N,f,b,b) -> [double the size, 3x3 convolution] * k -> 3x3 convolution, tanh -> image
    D    image -> [4x4 convolution, stride 2: halve the size] * k -> (N,f,b,b) -> Linear -> one logit

An image of ``size`` pixels is b * 2^k with b from 4 to 7, so that both networks begin and end at b x b:

    size     16    24    28    32    48    64    96   128
    b * 2^k  4*4   6*4   7*4   4*8   6*8   4*16  6*16  4*32

Both are plain `nn.Sequential`s. A PyTorch Sequential of the same layers has the same state-dict names: `Upsample`,
which is fused into its convolution here, and the activation, which is fused into the convolution or batch normalisation
before it, leave an `Identity` in their places.

Sources: I. Goodfellow et al., "Generative adversarial nets", 2014; A. Radford et al., "Unsupervised representation
learning with deep convolutional generative adversarial networks", 2016 (the guidelines of section 3); A. Odena et al.,
"Deconvolution and checkerboard artifacts", 2016 (upsampling and convolution in place of transposed convolution).
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from .. import nn

#: Normalisations that a discriminator can have.
NORMS = ("none", "batch", "layer", "spectral")


def doublings(size: int) -> tuple[int, int]:
    """Return (b, k) with size = b * 2^k, b from 4 to 7 and k >= 1; ValueError names the nearest sizes that do."""
    k = math.floor(math.log2(size / 4)) if size >= 8 else 0
    if k < 1:
        raise ValueError(f"size {size} is too small for the generator: the smallest is 8")
    if size % 2**k:
        below = size // 2**k * 2**k
        raise ValueError(
            f"size {size} cannot be reached by the generator, which doubles an image of 4 to 7 pixels: "
            f"the nearest sizes are {below} and {below + 2**k}"
        )
    return size // 2**k, k


class Generator(nn.Sequential):
    """Latent vectors (N,latent) -> images (N,channels,size,size) in [-1, 1].

    The last stage and the one before it have ``width`` channels; every stage before that has twice as many as the next,
    up to 8 * width. Initial values are drawn from ``generator`` (DCGAN's, `nn.init.dcgan_`).
    """

    def __init__(self, size: int, channels: int, latent: int = 64, width: int = 32, *, generator: np.random.Generator):
        base, k = doublings(size)
        # For k = 4: 8, 4, 2, 1, 1 times the width.
        features = [width * min(2 ** max(k - 1 - i, 0), 8) for i in range(k + 1)]
        layers: list[nn.Module] = [
            nn.Linear(latent, features[0] * base * base, generator=generator),
            nn.Unflatten(1, (features[0], base, base)),
            nn.BatchNorm2d(features[0], negative_slope=0.0),
            nn.Identity(),
        ]
        for before, after in pairwise(features):
            layers += [
                nn.Identity(),
                nn.UpsampleConv2d(before, after, 3, padding=1, generator=generator),
                nn.BatchNorm2d(after, negative_slope=0.0),
                nn.Identity(),
            ]
        layers += [nn.Conv2d(features[-1], channels, 3, padding=1, generator=generator), nn.Tanh()]
        super().__init__(*layers)
        nn.init.dcgan_(self, generator=generator)


class Discriminator(nn.Sequential):
    """Images (N,channels,size,size) -> logits (N,1): how sure D is that each image is real.

    The first stage has ``width`` channels and each next one twice as many, up to 8 * width. ``norm`` normalises between
    the convolutions: "none"; "batch", as in DCGAN, from the second convolution on; "layer", in the same places, for
    losses with a penalty on the gradient (I. Gulrajani et al., 2017); "spectral", of all weights (T. Miyato et al.,
    2018).
    """

    def __init__(
        self, size: int, channels: int, width: int = 32, norm: str = "none", *, generator: np.random.Generator
    ):
        if norm not in NORMS:
            raise ValueError(f"Discriminator: norm must be one of {', '.join(NORMS)}, got {norm!r}")
        base, k = doublings(size)
        features = [channels, *(width * min(2**i, 8) for i in range(k))]
        layers: list[nn.Module] = []
        for before, after in pairwise(features):
            normalised = norm in ("batch", "layer") and len(layers) > 0
            slope = 1.0 if normalised else 0.2
            layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1, negative_slope=slope, generator=generator))
            if not normalised:
                layers.append(nn.Identity())
            elif norm == "batch":
                layers += [nn.BatchNorm2d(after, negative_slope=0.2), nn.Identity()]
            else:
                layers += [nn.GroupNorm(1, after), nn.LeakyReLU(0.2)]
        layers += [nn.Flatten(), nn.Linear(features[-1] * base * base, 1, generator=generator)]
        super().__init__(*layers)
        nn.init.dcgan_(self, generator=generator)
        if norm == "spectral":
            for layer in layers:
                if isinstance(layer, (nn.Conv2d, nn.Linear)):
                    nn.spectral_norm(layer, generator=generator)


def generator28(
    size: int = 28, channels: int = 1, latent: int = 64, *, generator: np.random.Generator
) -> nn.Sequential:
    """Return G28, the benchmark's generator: two doublings, from size / 4. Raises ValueError unless 4 divides size."""
    base = _quarter(size)
    return nn.Sequential(
        nn.Linear(latent, 128 * base * base, generator=generator),
        nn.Unflatten(1, (128, base, base)),
        nn.BatchNorm2d(128),
        nn.Identity(),
        nn.UpsampleConv2d(128, 128, 3, padding=1, generator=generator),
        nn.BatchNorm2d(128, negative_slope=0.2),
        nn.Identity(),
        nn.Identity(),
        nn.UpsampleConv2d(128, 64, 3, padding=1, generator=generator),
        nn.BatchNorm2d(64, negative_slope=0.2),
        nn.Identity(),
        nn.Conv2d(64, channels, 3, padding=1, generator=generator),
        nn.Tanh(),
    )


def discriminator28(size: int = 28, channels: int = 1, *, generator: np.random.Generator) -> nn.Sequential:
    """Return D28, the benchmark's discriminator: two halvings, no normalisation. ValueError unless 4 divides size."""
    base = _quarter(size)
    return nn.Sequential(
        nn.Conv2d(channels, 64, 4, stride=2, padding=1, negative_slope=0.2, generator=generator),
        nn.Identity(),
        nn.Conv2d(64, 128, 4, stride=2, padding=1, negative_slope=0.2, generator=generator),
        nn.Identity(),
        nn.Flatten(),
        nn.Linear(128 * base * base, 1, generator=generator),
    )


def _quarter(size: int) -> int:
    if size < 8 or size % 4:
        raise ValueError(f"size {size} is not for model gan28: it must be 8 or more and a multiple of 4")
    return size // 4


def gan28(*, generator: np.random.Generator) -> tuple[nn.Sequential, nn.Sequential]:
    """Return G28 and D28, the benchmark's networks for 28x28 grey images, with a latent vector of 64 numbers."""
    return generator28(generator=generator), discriminator28(generator=generator)


def gan64(*, generator: np.random.Generator) -> tuple[nn.Sequential, nn.Sequential]:
    """Return G64 and D64, the benchmark's networks for 64x64 RGB images, with a latent vector of 128 numbers."""
    g = Generator(64, 3, latent=128, width=64, generator=generator)
    d = Discriminator(64, 3, width=64, norm="batch", generator=generator)
    return g, d
