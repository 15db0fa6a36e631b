"""StyleGAN's discriminator: residual blocks that halve the picture through a filter, and how much a batch differs.

    image -> 1x1 convolution -> [residual block: half the size] * k -> 3x3 convolution -> linear -> logit

Sources: T. Karras et al., "Analyzing and improving the image quality of StyleGAN", 2020, section 4.1 and appendix B;
T. Karras et al., "Training generative adversarial networks with limited data", 2020, appendix (labels).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from .. import nn, ops
from ..tensor import Tensor, as_tensor
from .gan import doublings
from .stylegan import SLOPE, TINY, embedded_labels, features_by_size

_FILTER = np.array([1, 3, 3, 1]) / 8  # along each axis


class ResidualBlock(nn.Module):
    """Half the size: x (N,in,H,W) -> (N,out,H/2,W/2), two 3x3 convolutions beside a 1x1 convolution.

    The sum of the two ways is divided by sqrt(2), which is in their gains.
    """

    def __init__(self, in_channels: int, out_channels: int, *, generator: np.random.Generator):
        half = math.sqrt(0.5)
        self.first = nn.EqualizedConv2d(
            in_channels, in_channels, 3, padding=1, negative_slope=SLOPE, generator=generator
        )
        self.second = nn.EqualizedConv2d(
            in_channels, out_channels, 3, 2, gain=half, negative_slope=SLOPE, generator=generator
        )
        self.skip = nn.EqualizedConv2d(in_channels, out_channels, 1, bias=False, gain=half, generator=generator)

    def forward(self, x: Any) -> Tensor:
        y = self.second(ops.upfirdn2d(self.first(x), _FILTER, padding=2))
        return y + self.skip(ops.downsample_fir2d(x))


class MinibatchDeviation(nn.Module):
    """Adds a channel that says how much the pictures of a group differ: (N,C,H,W) -> (N,C+1,H,W).

    The standard deviation over a group of ``group`` pictures, averaged over channels and pixels: one number, the same
    for the whole group, by which D notices a G that draws the same picture again and again (T. Karras et al.,
    "Progressive growing of GANs", 2018, section 3). Picture i is in group i mod (N / group). N must be a multiple of
    ``group``, or at most as large: then the batch is one group.
    """

    def __init__(self, group: int = 4):
        if group < 1:
            raise ValueError(f"MinibatchDeviation: group must be at least 1, got {group}")
        self.group = group

    def forward(self, x: Any) -> Tensor:
        n, c, height, width = x.shape
        group = min(self.group, n)
        if n % group:
            raise ValueError(
                f"MinibatchDeviation: a batch of {n} can't be divided into groups of {group}; use a batch that is a "
                f"multiple of {group}, or another group"
            )
        grouped = ops.reshape(x, (group, n // group, c, height, width))
        deviation = ops.sqrt(ops.var(grouped, 0) + TINY)
        mean = ops.reshape(ops.mean(deviation, (1, 2, 3)), (1, n // group, 1, 1, 1))
        channel = ops.reshape(ops.broadcast_to(mean, (group, n // group, 1, height, width)), (n, 1, height, width))
        return ops.concatenate([x, channel], 1)

    def extra_repr(self) -> str:
        return f"group={self.group}"


class StyleDiscriminator(nn.Module):
    """Images (N,channels,size,size), and labels (N,) if there are ``classes`` -> logits (N,1).

    ``width`` channels at the full size, twice as many at half of it, and so on, but at most ``widest``. ``group`` is
    that of `MinibatchDeviation`. With classes, the logit is the product of what D saw with a vector of the label
    (T. Miyato and M. Koyama, "cGANs with projection discriminator", 2018).
    """

    def __init__(
        self,
        size: int,
        channels: int,
        *,
        width: int = 32,
        widest: int = 128,
        group: int = 4,
        classes: int = 0,
        generator: np.random.Generator,
    ):
        base, k = doublings(size)
        features = features_by_size(width, widest, k)
        last = features[-1]
        self.channels, self.size, self.classes = channels, size, classes
        self.from_image = nn.EqualizedConv2d(channels, features[0], 1, negative_slope=SLOPE, generator=generator)
        self.blocks = nn.Sequential(
            *[ResidualBlock(before, after, generator=generator) for before, after in pairwise(features)]
        )
        self.end = nn.Sequential(
            MinibatchDeviation(group),
            nn.EqualizedConv2d(last + 1, last, 3, padding=1, negative_slope=SLOPE, generator=generator),
            nn.Flatten(),
            nn.EqualizedLinear(last * base * base, last, negative_slope=SLOPE, generator=generator),
            nn.EqualizedLinear(last, last if classes else 1, generator=generator),
        )
        if classes:
            self.labels = nn.EqualizedLinear(classes, last, generator=generator)

    def forward(self, x: Any, labels: Any = None) -> Tensor:
        x = as_tensor(x)
        if x.ndim != 4 or x.shape[1:] != (self.channels, self.size, self.size):
            raise ValueError(
                f"StyleDiscriminator: images must be (N,{self.channels},{self.size},{self.size}), got {x.shape}"
            )
        of_labels = embedded_labels(self, labels, x)
        y = self.end(self.blocks(self.from_image(x)))
        return y if of_labels is None else ops.sum(y * of_labels, 1, keepdims=True) * (1 / math.sqrt(y.shape[1]))
