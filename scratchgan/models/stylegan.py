"""StyleGAN's generator, whose every layer takes a style. Its discriminator is in `stylegan_discriminator`.

    z (N,latent) -> mapping -> w (N,w)                 w: what a picture shall be like, in a space that is learned
    w, one for each layer: ws (N,layers,w)             two pictures' ws can be mixed, layer by layer
    constant -> synthesis, guided by ws and noise -> image

Synthesis starts from a learned constant, b x b pixels (`doublings`), and doubles it k times. A layer of it is

        x ──► · s ──► 3x3 convolution, W ──► · d ──► + noise * strength + bias ──► leaky ReLU
              ▲                              ▲
      w ──► affine ──────────────────────────┘        d = 1 / sqrt(sum of (W s)^2)

s (N,in) scales the input's channels (modulation), d (N,out) gives the output's channels unit size again
(demodulation), under the assumption that the input has it. Multiplying W by s and d, as the paper writes it, would
need weights of its own for each picture; scaling the activations is the same function, and one convolution serves all.
As d undoes any constant factor of W, W needs no equalised learning rate (`nn.EqualizedLinear`).

After each size the picture so far is read out (1x1 convolution, modulated alone), doubled and added to the next size's.
Everything that changes size goes through the filter [1,3,3,1] (`upfirdn2d`), so that no pattern of the grid is left.
Where a layer doubles, that filter is split: [1,3,3,1] = [1,1] * [1,2,1], and to fill every other pixel with zeros and
apply [1,1] is to repeat pixels, for which `upsample_conv2d` is made; [1,2,1] follows the convolution, for filters and
convolutions can change places.

The noise of a picture, one number a pixel and layer, is an input like ws: the picture is a function of both.

Sources: T. Karras et al., "A style-based generator architecture for generative adversarial networks", 2019 (mapping,
mixing, noise, truncation); T. Karras et al., "Analyzing and improving the image quality of StyleGAN", 2020 (the layers,
the skip generator); T. Karras et al., "Training generative adversarial networks with limited data",
2020, appendix (labels).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from .. import nn, ops
from ..device import Array, to_device
from ..tensor import Tensor, as_tensor
from .gan import doublings

SLOPE = 0.2
TINY = 1e-8

_REST_OF_FILTER = np.array([1, 2, 1]) / 4  # of [1, 3, 3, 1] / 8, where pixels are repeated first

_GAIN = math.sqrt(2)  # after a leaky ReLU


def normalized(x: Tensor) -> Tensor:
    """Return the rows of x (N,C) scaled to a mean square of 1."""
    return x * (ops.mean(x * x, 1, keepdims=True) + TINY) ** -0.5


class MappingNetwork(nn.Module):
    """Latent vectors z (N,latent), and labels (N,) if there are ``classes``, to w (N,w).

    ``depth`` layers of w units, which learn at a hundredth of the learning rate: every layer of the synthesis depends
    on them.
    """

    def __init__(self, latent: int, w: int, depth: int, classes: int = 0, *, generator: np.random.Generator):
        if depth < 1:
            raise ValueError(f"MappingNetwork: depth must be at least 1, got {depth}")
        self.latent, self.classes = latent, classes
        inputs = latent
        if classes:
            self.labels = nn.EqualizedLinear(classes, latent, generator=generator)
            inputs += latent
        self.layers = nn.Sequential(
            *[
                nn.EqualizedLinear(n, w, lr_multiplier=0.01, negative_slope=SLOPE, generator=generator)
                for n in [inputs, *[w] * (depth - 1)]
            ]
        )

    def forward(self, z: Any, labels: Any = None) -> Tensor:
        z = as_tensor(z)
        if z.ndim != 2 or z.shape[1] != self.latent:
            raise ValueError(f"MappingNetwork: z must be (N,{self.latent}), got {z.shape}")
        x, of_labels = normalized(z), embedded_labels(self, labels, z)
        return self.layers(x if of_labels is None else ops.concatenate([x, of_labels], 1))


class StyledConv2d(nn.Conv2d):
    """A 3x3 convolution with style, noise and activation: x (N,in,H,W), w (N,w) -> (N,out,H,W), or with ``up`` twice H.

    ``weight`` (out,in,3,3) starts as N(0, 1), ``bias`` (out,) and ``noise_strength`` (1,) as 0; ``style`` is the affine
    map from w to the scales of the input's channels, which starts around 1.
    """

    def __init__(self, in_channels: int, out_channels: int, w: int, up: bool, *, generator: np.random.Generator):
        super().__init__(in_channels, out_channels, 3, padding=1, generator=generator)
        self.up = up
        nn.init.normal_(self.weight, generator=generator)
        nn.init.zeros_(self.bias)
        self.noise_strength = nn.Parameter(np.zeros(1, np.float32))
        self.style = nn.EqualizedLinear(w, in_channels, initial_bias=1.0, generator=generator)

    bias: nn.Parameter  # it has one always

    def forward(self, x: Any, w: Any, noise: Any = None) -> Tensor:  # type: ignore[override]  # it takes a style too
        """``noise`` is (N,1,H',W') of the output's size, or None."""
        s = self.style(w)
        squares = ops.sum(self.weight * self.weight, (2, 3))
        d = (ops.linear(s * s, squares) + TINY) ** -0.5
        y = x * _per_channel(s)
        if self.up:
            y = ops.upsample_conv2d(y, self.weight, None, 2, self.padding, self.precision)
            y = ops.upfirdn2d(y, _REST_OF_FILTER, padding=1)
        else:
            y = ops.conv2d(y, self.weight, None, 1, self.padding, precision=self.precision)
        # A factor that is positive goes through the activation, and these arrays are smaller than its output.
        shift = _per_channel(ops.reshape(self.bias * _GAIN, (1, -1)))
        if noise is not None:
            shift = noise * (self.noise_strength * _GAIN) + shift
        return ops.leaky_relu(y * _per_channel(d * _GAIN) + shift, SLOPE)


class ToImage(nn.Conv2d):
    """A modulated 1x1 convolution: x (N,in,H,W), w (N,w) -> picture (N,channels,H,W)."""

    def __init__(self, in_channels: int, channels: int, w: int, *, generator: np.random.Generator):
        super().__init__(in_channels, channels, 1, generator=generator)
        nn.init.normal_(self.weight, generator=generator)
        nn.init.zeros_(self.bias)
        self.style = nn.EqualizedLinear(w, in_channels, initial_bias=1.0, generator=generator)

    bias: nn.Parameter  # it has one always

    def forward(self, x: Any, w: Any) -> Tensor:  # type: ignore[override]  # it takes a style too
        s = self.style(w) * (1 / math.sqrt(self.in_channels))
        return ops.conv2d(x * _per_channel(s), self.weight, self.bias, precision=self.precision)


class SynthesisNetwork(nn.Module):
    """Styles (N,layers,w) and noise (N,noise_size) -> images (N,channels,size,size), around [-1, 1] but not held to it.

    The layers, for k doublings: one convolution at the first size, two at each further one, and the reading out of the
    last picture, 2k + 2 in all. The reading out of an earlier size shares its style with the convolution after it.
    ``width`` channels at the full size, twice as many at half of it, and so on, but at most ``widest``.
    """

    def __init__(self, size: int, channels: int, w: int, width: int, widest: int, *, generator: np.random.Generator):
        base, k = doublings(size)
        features = features_by_size(width, widest, k)[::-1]
        self.w, self.layers = w, 2 * k + 2
        self.constant = nn.Parameter(generator.standard_normal((features[0], base, base), np.float32))
        self.convolutions = nn.ModuleList([StyledConv2d(features[0], features[0], w, False, generator=generator)])
        self.to_image = nn.ModuleList([ToImage(features[0], channels, w, generator=generator)])
        for before, after in pairwise(features):
            self.convolutions.append(StyledConv2d(before, after, w, True, generator=generator))
            self.convolutions.append(StyledConv2d(after, after, w, False, generator=generator))
            self.to_image.append(ToImage(after, channels, w, generator=generator))
        sizes = [base, *[base * 2**i for i in range(1, k + 1) for _ in range(2)]]
        #: Of each convolution: where its noise lies in a picture's, and the side of its output.
        self.noise_places = tuple((sum(n * n for n in sizes[:i]), side) for i, side in enumerate(sizes))
        #: How many numbers the noise of a picture is.
        self.noise_size = sum(n * n for n in sizes)

    def forward(self, ws: Any, noise: Any = None) -> Tensor:
        """``noise`` None is none at all."""
        ws = as_tensor(ws)
        if ws.ndim != 3 or ws.shape[1:] != (self.layers, self.w):
            raise ValueError(
                f"SynthesisNetwork: ws must be (N,{self.layers},{self.w}), a style for each layer, got {ws.shape}; "
                "StyleGenerator.spread makes it of w (N,w)"
            )
        n = len(ws)
        if noise is not None:
            noise = as_tensor(noise)
            if noise.shape != (n, self.noise_size):
                raise ValueError(
                    f"SynthesisNetwork: noise must be ({n},{self.noise_size}), got {noise.shape}; draw_noise makes it"
                )
        x = ops.broadcast_to(self.constant, (n, *self.constant.shape))
        image: Any = None
        for layer, convolution in enumerate(self.convolutions):
            x = convolution(x, ws[:, layer], None if noise is None else self._noise_of(layer, noise))
            if layer % 2 == 0:  # the last convolution of its size
                read = self.to_image[layer // 2](x, ws[:, layer + 1])
                image = read if image is None else ops.upsample_fir2d(image) + read
        return image

    def _noise_of(self, layer: int, noise: Tensor) -> Tensor:
        first, side = self.noise_places[layer]
        return ops.reshape(noise[:, first : first + side * side], (len(noise), 1, side, side))

    def draw_noise(self, generator: np.random.Generator, n: int) -> np.ndarray:
        """Return noise (n,noise_size) for n pictures, float32."""
        return generator.standard_normal((n, self.noise_size), np.float32)


class StyleGenerator(nn.Module):
    """Mapping and synthesis: latent vectors (N,latent) -> images (N,channels,size,size).

    ``size`` is any that `doublings` reaches. ``w``: numbers in a style. ``classes``: 0, or how many labels there are.
    ``width`` and ``widest`` are of `SynthesisNetwork`. Initial values are drawn from ``generator``.

    ``w_average`` (w,) is the average of all w that `track` has seen: the style that truncation draws to.
    """

    w_average: Any

    def __init__(
        self,
        size: int,
        channels: int,
        latent: int = 64,
        w: int = 64,
        *,
        depth: int = 4,
        width: int = 32,
        widest: int = 128,
        classes: int = 0,
        generator: np.random.Generator,
    ):
        self.mapping = MappingNetwork(latent, w, depth, classes, generator=generator)
        self.synthesis = SynthesisNetwork(size, channels, w, width, widest, generator=generator)
        self.register_buffer("w_average", np.zeros(w, np.float32))

    @property
    def layers(self) -> int:
        """How many styles a picture has."""
        return self.synthesis.layers

    @property
    def ranges(self) -> dict[str, range]:
        """The layers by what they decide: "coarse" up to a quarter of the size, "middle" at half, "fine" at all of it.

        Coarse ones (pose, shape) are at least one, and fine ones decide colours.
        """
        middle, fine = max(self.layers - 5, 1), max(self.layers - 3, 2)
        return {"coarse": range(middle), "middle": range(middle, fine), "fine": range(fine, self.layers)}

    def spread(self, w: Any) -> Tensor:
        """Return w (N,w) as styles of all layers, (N,layers,w)."""
        w = as_tensor(w)
        return ops.broadcast_to(ops.reshape(w, (len(w), 1, -1)), (len(w), self.layers, w.shape[-1]))

    def track(self, w: Tensor, decay: float = 0.998) -> None:
        """Move ``w_average`` toward the mean of these w (N,w)."""
        self.w_average = decay * self.w_average + (1 - decay) * w.data.mean(0)

    def truncate(self, ws: Any, psi: float, layers: range | None = None) -> Tensor:
        """Return ws (N,layers,w) drawn to ``w_average``: average + psi * (ws - average), in some layers or in all.

        Karras et al., 2019, section 3.2. ``psi`` 1 changes nothing, 0 gives the average picture.
        """
        inside = np.zeros((self.layers, 1), np.float32)
        inside[:] = 1
        if layers is not None:
            inside[[i for i in range(self.layers) if i not in layers]] = 0
        ws = as_tensor(ws)
        toward = Tensor(to_device((psi - 1) * inside, ws.device).astype(ws.dtype))
        return ws + (ws - Tensor(self.w_average)) * toward

    def forward(self, z: Any, noise: Any = None, labels: Any = None, psi: float = 1.0) -> Tensor:
        ws = self.spread(self.mapping(z, labels))
        return self.synthesis(ws if psi == 1 else self.truncate(ws, psi), noise)


def mixing_mask(generator: np.random.Generator, n: int, layers: int, probability: float = 0.9) -> np.ndarray:
    """Return where n pictures take their second style in training, bool (n,layers,1), for `mix`.

    With ``probability`` a picture takes it from a random layer on, else nowhere (style mixing; Karras et al., 2019,
    section 3.1): neighbouring layers shall not rely on having the same style.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"mixing_mask: probability must be in [0, 1], got {probability}")
    first = generator.integers(1, layers, n)
    first[generator.random(n) >= probability] = layers
    return (np.arange(layers) >= first[:, None])[:, :, None]


def mix(mask: Array, a: Tensor, b: Tensor) -> Tensor:
    """Return styles (N,layers,w): those of b where ``mask``, bool (N or 1,layers,1), holds, else those of a."""
    return ops.where(mask, b, a)


def features_by_size(width: int, widest: int, k: int) -> list[int]:
    """Return the channels at the full size, at half of it, and so on."""
    if not 1 <= width <= widest:
        raise ValueError(f"StyleGAN: width must be from 1 to widest ({widest}), got {width}")
    return [min(width * 2**i, widest) for i in range(k + 1)]


def _per_channel(x: Tensor) -> Tensor:
    """(N,C) -> (N,C,1,1)."""
    return ops.reshape(x, (*x.shape, 1, 1))


def embedded_labels(network: Any, labels: Any, x: Tensor) -> Tensor | None:
    """Return a vector for each of the labels (N,), integers beside x, or None of a network without classes.

    The labels become rows with a single 1, and not indices: a captured step (`scratchgan.cuda_graph`) may take them.
    """
    kind, classes, n = type(network).__name__, network.classes, len(x)
    if not classes:
        if labels is not None:
            raise ValueError(f"{kind}: it has no classes, so it takes no labels; make it with classes=...")
        return None
    if labels is None:
        raise ValueError(f"{kind}: it has {classes} classes and needs labels, ({n},) integers from 0 to {classes - 1}")
    labels = labels.data if isinstance(labels, Tensor) else labels
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise ValueError(f"{kind}: labels must be ({n},) integers, got {labels.dtype} {labels.shape}")
    if isinstance(labels, np.ndarray) and n and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"{kind}: labels run from {labels.min()} to {labels.max()}, but there are {classes} classes")
    numbers = x.namespace.arange(classes)
    return normalized(network.labels(Tensor((to_device(labels, x.device)[:, None] == numbers).astype(x.dtype))))
