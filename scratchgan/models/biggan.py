"""BigGAN: a class-conditional generator and discriminator of residual blocks, at any size of `models.gan`.

    G    z = (z0, z1, .., zk)    c = embedding of the class, shared by all blocks
         z0 -> Linear -> (N,f,b,b) -> [residual block, double the size, conditioned on (c, zi)] * k
            -> batch norm, ReLU, 3x3 convolution, tanh -> image
    D    image -> [residual block, halve the size] * k -> residual block -> ReLU, sum over pixels -> h
         logit = Linear(h) + <embedding of the class, h>

Every block of G sees its own chunk of z and the class, which set the gains and biases of its batch normalisations. D's
second term is the projection: the log of a ratio of class posteriors is linear in h. All weights are orthogonal at
first and spectrally normalised always. Self-attention, if wanted, stands behind the block that reaches its size.

The equal but cheaper form is used where a layer is linear: a 1x1 convolution commutes with nearest upsampling and with
average pooling, so the skips convolve the small image; `UpsampleConv2d` and `ConvAvgPool2d` never write the large one.

Sources: A. Brock et al., "Large scale GAN training for high fidelity natural image synthesis", 2019 (section 3,
appendix B); T. Miyato and M. Koyama, "cGANs with projection discriminator", 2018 (equation 3); H. Zhang et al.,
"Self-attention generative adversarial networks", 2019; T. Miyato et al., "Spectral normalization for generative
adversarial networks", 2018.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from .. import nn, ops
from ..device import Array, device_of, to_device
from ..recording import no_grad
from ..tensor import Tensor, as_tensor
from .gan import doublings

LayerType = TypeVar("LayerType", bound=nn.Module)


class ClassEmbedding(nn.Embedding):
    """A vector for each class: labels -> (N,embedding_dim).

    Labels are integers (N,), or floats (N,classes): a one-hot row is a class, and weights that sum to 1 are a mixture
    of classes, which is how one walks from class to class. ``weight`` is (classes, embedding_dim).
    """

    def forward(self, labels: Any) -> Tensor:
        weight = self.weight  # computed anew at each reading, if it is normalised
        return ops.matmul(_one_hot(labels, self.num_embeddings, weight.data), weight)


def _one_hot(labels: Any, classes: int, like: Array) -> Tensor:
    """Return labels as float rows (N,classes), in the dtype and on the device of ``like``."""
    array = as_tensor(labels).data
    if array.dtype.kind == "f":
        if array.ndim != 2 or array.shape[1] != classes:
            raise ValueError(
                f"ClassEmbedding: labels that mix classes must be (N,{classes}), a weight for each class, "
                f"got {array.shape}"
            )
        return labels if isinstance(labels, Tensor) else Tensor(to_device(array, device_of(like)))
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(
            f"ClassEmbedding: labels must be integers (N,) or weights (N,{classes}), got {array.dtype} {array.shape}"
        )
    array = to_device(array, "cpu")
    if array.size and not 0 <= array.min() <= array.max() < classes:
        raise ValueError(
            f"ClassEmbedding: labels run from {array.min()} to {array.max()}, but there are {classes} classes, from 0"
        )
    return Tensor(to_device(np.eye(classes, dtype=like.dtype)[array], device_of(like)))


class ConditionalBatchNorm2d(nn.Module):
    """Batch normalisation whose gain and bias depend on a condition, with a ReLU: (N,C,H,W), (N,D) -> (N,C,H,W).

    gain = 1 + Linear(condition), bias = Linear'(condition); so it starts near the plain normalisation. In evaluation
    it uses running statistics, as `nn.BatchNorm2d` does. Source: H. de Vries et al., "Modulating early visual
    processing by language", 2017; appendix B of BigGAN.
    """

    def __init__(self, num_features: int, condition: int, *, generator: np.random.Generator):
        self.norm = nn.BatchNorm2d(num_features, affine=False)
        self.gain = _normalised(nn.Linear(condition, num_features, bias=False, generator=generator), generator)
        self.bias = _normalised(nn.Linear(condition, num_features, bias=False, generator=generator), generator)

    def forward(self, x: Any, condition: Any) -> Tensor:
        return ops.scale_shift(self.norm(x), 1.0 + self.gain(condition), self.bias(condition), 0.0)


class SelfAttention(nn.Module):
    """Every pixel looks at every other: x + gamma * attention(x), (N,C,H,W) -> (N,C,H,W), with gamma 0 at first.

    As in BigGAN, queries and keys have C/8 channels and values C/2, and keys and values are of the image pooled to half
    its size, which is a quarter of the work. H and W must be even.
    """

    def __init__(self, channels: int, *, generator: np.random.Generator):
        if channels % 8:
            raise ValueError(f"SelfAttention: channels must be a multiple of 8, got {channels}")

        def convolution(before: int, after: int) -> nn.Conv2d:
            return _normalised(nn.Conv2d(before, after, 1, bias=False, generator=generator), generator)

        self.query = convolution(channels, channels // 8)
        self.key = convolution(channels, channels // 8)
        self.value = convolution(channels, channels // 2)
        self.output = convolution(channels // 2, channels)
        self.gamma = nn.Parameter(np.zeros(1, np.float32))

    def forward(self, x: Any) -> Tensor:
        x = as_tensor(x)
        n, channels, height, width = x.shape
        pixels = height * width
        query = self.query(x).reshape(n, channels // 8, pixels)
        key = ops.max_pool2d(self.key(x), 2).reshape(n, channels // 8, pixels // 4)
        value = ops.max_pool2d(self.value(x), 2).reshape(n, channels // 2, pixels // 4)
        weights = ops.softmax(ops.matmul(query.transpose(0, 2, 1), key))  # (N, pixel, pixel looked at)
        seen = ops.matmul(value, weights.transpose(0, 2, 1)).reshape(n, channels // 2, height, width)
        return x + self.gamma * self.output(seen)


class GeneratorBlock(nn.Module):
    """Doubles the size: norm, ReLU, upsample, 3x3, norm, ReLU, 3x3; beside it a 1x1 convolution and upsampling."""

    def __init__(self, before: int, after: int, condition: int, *, generator: np.random.Generator):
        self.norm1 = ConditionalBatchNorm2d(before, condition, generator=generator)
        self.conv1 = _normalised(nn.UpsampleConv2d(before, after, 3, padding=1, generator=generator), generator)
        self.norm2 = ConditionalBatchNorm2d(after, condition, generator=generator)
        self.conv2 = _normalised(nn.Conv2d(after, after, 3, padding=1, generator=generator), generator)
        self.skip = _normalised(nn.Conv2d(before, after, 1, generator=generator), generator)

    def forward(self, x: Any, condition: Any) -> Tensor:
        y = self.conv1(self.norm1(x, condition))
        return self.conv2(self.norm2(y, condition)) + ops.upsample_nearest2d(self.skip(x))


class DiscriminatorBlock(nn.Module):
    """(N,before,H,W) -> (N,after,H/2,W/2): ReLU, 3x3, ReLU, 3x3, average pooling; beside it pooling and 1x1.

    ``halve=False`` keeps the size, and must keep the channels: the skip is then the input itself. ``first=True`` leaves
    out the first ReLU, which would take half of an image away.
    """

    def __init__(
        self, before: int, after: int, *, halve: bool = True, first: bool = False, generator: np.random.Generator
    ):
        self.halve, self.first = halve, first
        self.conv1 = _normalised(
            nn.Conv2d(before, after, 3, padding=1, negative_slope=0.0, generator=generator), generator
        )
        kind = nn.ConvAvgPool2d if halve else nn.Conv2d
        self.conv2 = _normalised(kind(after, after, 3, padding=1, generator=generator), generator)
        self.skip = _normalised(nn.Conv2d(before, after, 1, generator=generator), generator) if halve else nn.Identity()

    def forward(self, x: Any) -> Tensor:
        y = self.conv2(self.conv1(x if self.first else ops.relu(x)))
        return y + self.skip(ops.avg_pool2d(x, 2) if self.halve else x)


class Generator(nn.Module):
    """z (N,latent) and labels (N,) or (N,classes) -> images (N,channels,size,size) in [-1, 1].

    The last block has ``width`` channels; every stage before has twice as many, up to 8 * width. ``embedding`` is the
    length of a class's vector. ``attention`` is the size behind whose block self-attention stands, 0 for none: size/2,
    size/4, .. but not the first size. Raises ValueError for a size, latent or attention that do not fit.
    """

    def __init__(
        self,
        size: int,
        channels: int,
        classes: int,
        latent: int = 120,
        width: int = 32,
        embedding: int = 64,
        attention: int = 0,
        *,
        generator: np.random.Generator,
    ):
        base, k = doublings(size)
        _check_attention("Generator", attention, base, k)
        if latent < k + 1:
            raise ValueError(f"Generator: latent must be at least {k + 1}, one for each of its parts, got {latent}")
        self.size, self.channels, self.classes, self.latent = size, channels, classes, latent
        self._chunks = [len(part) for part in np.array_split(np.arange(latent), k + 1)]
        features = [width * min(2 ** (k - i), 8) for i in range(k + 1)]
        self._first = (features[0], base, base)
        self._attended = _stage_of(attention, base)
        self.shared = ClassEmbedding(classes, embedding, generator=generator)
        self.linear = _normalised(nn.Linear(self._chunks[0], math.prod(self._first), generator=generator), generator)
        self.blocks = nn.ModuleList(
            GeneratorBlock(before, after, embedding + chunk, generator=generator)
            for (before, after), chunk in zip(pairwise(features), self._chunks[1:], strict=True)
        )
        if attention:
            self.attention = SelfAttention(features[self._attended], generator=generator)
        self.norm = nn.BatchNorm2d(features[-1], negative_slope=0.0)
        self.output = _normalised(nn.Conv2d(features[-1], channels, 3, padding=1, generator=generator), generator)
        nn.init.orthogonal_(self.shared.weight, generator=generator)

    def forward(self, z: Any, labels: Any) -> Tensor:
        z = as_tensor(z)
        shared = self.shared(labels)
        _check_pair("Generator", "z", z, (self.latent,), shared)
        first, *chunks = _split(z, self._chunks)
        x = self.linear(first).reshape(len(z), *self._first)
        for stage, (block, chunk) in enumerate(zip(self.blocks, chunks, strict=True), 1):
            x = block(x, ops.concatenate([shared, chunk], 1))
            if stage == self._attended:
                x = self.attention(x)
        return ops.tanh(self.output(self.norm(x)))


class Discriminator(nn.Module):
    """Images (N,channels,size,size) and labels (N,) or (N,classes) -> logits (N,1): how real, as one of its class.

    The first block has ``width`` channels and each next one twice as many, up to 8 * width; a block that keeps the size
    is the last. ``attention`` as in `Generator`.
    """

    def __init__(
        self,
        size: int,
        channels: int,
        classes: int,
        width: int = 32,
        attention: int = 0,
        *,
        generator: np.random.Generator,
    ):
        base, k = doublings(size)
        _check_attention("Discriminator", attention, base, k)
        self.size, self.channels, self.classes = size, channels, classes
        features = [channels, *(width * min(2**i, 8) for i in range(k))]
        self._attended = k - _stage_of(attention, base) if attention else 0
        blocks = [
            DiscriminatorBlock(before, after, first=i == 0, generator=generator)
            for i, (before, after) in enumerate(pairwise(features))
        ]
        last = features[-1]
        blocks.append(DiscriminatorBlock(last, last, halve=False, generator=generator))
        self.blocks = nn.ModuleList(blocks)
        if attention:
            self.attention = SelfAttention(features[self._attended], generator=generator)
        self.linear = _normalised(nn.Linear(last, 1, generator=generator), generator)
        self.projection = _normalised(ClassEmbedding(classes, last, generator=generator), generator)

    def forward(self, x: Any, labels: Any) -> Tensor:
        x = as_tensor(x)
        asked = self.projection(labels)
        _check_pair("Discriminator", "x", x, (self.channels, self.size, self.size), asked)
        for stage, block in enumerate(self.blocks, 1):
            x = block(x)
            if stage == self._attended:
                x = self.attention(x)
        h = ops.sum(ops.relu(x), (2, 3))
        return self.linear(h) + ops.sum(asked * h, 1, keepdims=True)


def truncated_normal(rng: np.random.Generator, shape: tuple[int, ...], threshold: float = math.inf) -> np.ndarray:
    """Draw float32 from N(0, 1), and draw again whatever lies farther from 0 than ``threshold``.

    The truncation trick of BigGAN (section 3.1): the nearer the threshold to 0, the more typical and the less varied
    the samples. ValueError for a threshold below 0.01, where more than 99 in 100 would be drawn again.
    """
    if not threshold >= 0.01:
        raise ValueError(f"truncated_normal: threshold must be at least 0.01, got {threshold}")
    z = rng.standard_normal(shape, np.float32)
    while (outside := np.abs(z) > threshold).any():
        z[outside] = rng.standard_normal(np.count_nonzero(outside), np.float32)
    return z


def standing_statistics(generator: nn.Module, inputs: Iterable[tuple[Any, ...]]) -> None:
    """Replace the running statistics of all batch normalisations by their means over many batches.

    ``inputs``: the arguments of each batch's call, (z, labels). The weights of an averaged generator are those of no
    step, so the statistics of the last steps do not fit them (appendix B of BigGAN: 100 batches or more). They are
    replaced by the plain mean over ``inputs`` of the batches' means and variances. Only the normalisations train
    meanwhile: spectral norms stay as they are. The modes are as before afterwards. ValueError without a batch.
    """
    norms = [module for module in generator.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    modes = [(module, module.training) for module in generator.modules()]
    momenta = [norm.momentum for norm in norms]
    generator.eval()
    batches = 0
    try:
        for norm in norms:
            norm.training = True
        with no_grad():
            for batch in inputs:
                batches += 1
                for norm in norms:
                    norm.momentum = 1 / batches  # so the running value is the mean of all so far
                generator(*batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode
    if not batches:
        raise ValueError("standing_statistics: there must be at least one batch")


def _normalised(layer: LayerType, generator: np.random.Generator) -> LayerType:
    """Make a layer's weight orthogonal, its bias 0, and put spectral normalisation on it."""
    nn.init.orthogonal_(layer.weight, generator=generator)
    if getattr(layer, "bias", None) is not None:
        nn.init.zeros_(layer.bias)
    return nn.spectral_norm(layer, generator=generator)


def _split(z: Tensor, sizes: list[int]) -> list[Tensor]:
    ends = np.cumsum(sizes).tolist()
    return [z[:, end - size : end] for size, end in zip(sizes, ends, strict=True)]


def _stage_of(attention: int, base: int) -> int:
    """Return how many doublings of ``base`` give this size; 0 for no attention."""
    return (attention // base).bit_length() - 1 if attention else 0


def _check_attention(who: str, attention: int, base: int, k: int) -> None:
    possible = [base * 2**i for i in range(1, k)]
    if attention and attention not in possible:
        sizes = ", ".join(map(str, possible)) or "none for so small an image"
        raise ValueError(f"{who}: attention must be 0 or a size between the blocks ({sizes}), got {attention}")


def _check_pair(who: str, name: str, x: Tensor, shape: tuple[int, ...], classes: Tensor) -> None:
    if x.ndim < 1 or x.shape[1:] != shape:
        raise ValueError(f"{who}: {name} must be (N,{','.join(map(str, shape))}), got {x.shape}")
    if len(classes) != len(x):
        raise ValueError(f"{who}: {name} is {x.shape}, so there must be {len(x)} labels, got {len(classes)}")
