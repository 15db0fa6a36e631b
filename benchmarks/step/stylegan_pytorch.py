"""StyleGAN's networks and step in PyTorch: the same function as `scratchgan.models.stylegan`, under the same names.

A styled convolution scales activations, as ours does; or, with ``grouped``, has weights of its own for each picture, as
the authors' code does on GPUs. Where it doubles, PyTorch is fastest with a transposed convolution of 3x3 and [1,3,3,1]
after it. That is the function of ours but for the outermost pixels; with ``exact_border`` it is that too, at the price
of one more pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from . import workloads as w

SLOPE, ROOT2 = 0.2, math.sqrt(2)


def networks(torch: Any, shape: tuple[int, int, int], settings: dict[str, Any], **options: bool) -> tuple[Any, Any]:
    """Return G and D as PyTorch modules, with the state-dict names of ours.

    ``shape``: (channels, size, size). ``settings``: latent, w, depth, width, widest, group. ``options``: grouped,
    exact_border.
    """
    nn, F = torch.nn, torch.nn.functional
    grouped, exact_border = options.get("grouped", False), options.get("exact_border", False)
    channels, size, _ = shape

    def parameter(*shape: int) -> Any:
        return nn.Parameter(torch.randn(*shape))

    def fir(x: Any, taps: list[int], stride: int = 1, padding: int = 0) -> Any:
        kernel = torch.tensor(taps, dtype=x.dtype)
        kernel = (kernel[:, None] * kernel / kernel.sum() ** 2).expand(x.shape[1], 1, -1, -1)
        return F.conv2d(x, kernel, stride=stride, padding=padding, groups=x.shape[1])

    class Linear(nn.Module):
        def __init__(self, before: int, after: int, multiplier: float = 1.0, bias: float = 0.0, slope: float = 1.0):
            super().__init__()
            self.multiplier, self.slope = multiplier, slope
            self.weight = nn.Parameter(torch.randn(after, before) / multiplier)
            self.bias = nn.Parameter(torch.full((after,), bias / multiplier))

        def forward(self, x: Any) -> Any:
            gain = self.multiplier * (1 if self.slope == 1 else ROOT2)
            y = F.linear(x, self.weight * (gain / math.sqrt(self.weight.shape[1])), self.bias * gain)
            return y if self.slope == 1 else F.leaky_relu(y, self.slope)

    class Conv(nn.Module):
        def __init__(
            self, before: int, after: int, side: int, stride: int = 1, padding: int = 0, bias: bool = True,
            gain: float = 1.0, slope: float = 1.0,
        ):  # fmt: skip
            super().__init__()
            self.stride, self.padding, self.slope = stride, padding, slope
            self.gain = gain * (1 if slope == 1 else ROOT2)
            self.weight = parameter(after, before, side, side)
            self.bias = nn.Parameter(torch.zeros(after)) if bias else None

        def forward(self, x: Any) -> Any:
            weight = self.weight * (self.gain / math.sqrt(self.weight[0].numel()))
            bias = None if self.bias is None else self.bias * self.gain
            y = F.conv2d(x, weight, bias, self.stride, self.padding)
            return y if self.slope == 1 else F.leaky_relu(y, self.slope)

    class Styled(nn.Module):
        def __init__(self, before: int, after: int, w: int, up: bool):
            super().__init__()
            self.up = up
            self.weight, self.bias = parameter(after, before, 3, 3), nn.Parameter(torch.zeros(after))
            self.noise_strength = nn.Parameter(torch.zeros(1))
            self.style = Linear(w, before, bias=1.0)

        def convolved(self, x: Any, weight: Any, groups: int = 1) -> Any:
            """Weights are (groups*out,in,3,3)."""
            if not self.up:
                return F.conv2d(x, weight, padding=1, groups=groups)
            out = weight.shape[0] // groups
            turned = weight.reshape(groups, out, -1, 3, 3).transpose(1, 2).reshape(-1, out, 3, 3).flip(2, 3)
            y = F.conv_transpose2d(x, turned, stride=2, groups=groups)
            if exact_border:
                return fir(fir(y, [1, 1]), [1, 2, 1], padding=1) * 4
            return fir(y, [1, 3, 3, 1], padding=1) * 4

        def forward(self, x: Any, w: Any, noise: Any) -> Any:
            s = self.style(w)
            if grouped:
                n = len(x)
                weight = self.weight * s[:, None, :, None, None]
                weight = weight * ((weight**2).sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt() * ROOT2
                y = self.convolved(x.reshape(1, -1, *x.shape[2:]), weight.flatten(0, 1), n)
                y = y.reshape(n, -1, *y.shape[2:])
            else:
                d = F.linear(s * s, (self.weight**2).sum((2, 3))).add(1e-8).rsqrt() * ROOT2
                y = self.convolved(x * s[:, :, None, None], self.weight) * d[:, :, None, None]
            shift = noise * (self.noise_strength * ROOT2) + (self.bias * ROOT2)[:, None, None]
            return F.leaky_relu(y + shift, SLOPE)

    class ToImage(nn.Module):
        def __init__(self, before: int, w: int):
            super().__init__()
            self.weight, self.bias = parameter(channels, before, 1, 1), nn.Parameter(torch.zeros(channels))
            self.style = Linear(w, before, bias=1.0)

        def forward(self, x: Any, w: Any) -> Any:
            s = self.style(w) / math.sqrt(x.shape[1])
            return F.conv2d(x * s[:, :, None, None], self.weight, self.bias)

    def normalized(x: Any) -> Any:
        return x * ((x * x).mean(1, keepdim=True) + 1e-8).rsqrt()

    k = 1
    while size % 2 ** (k + 1) == 0 and size // 2 ** (k + 1) >= 4:
        k += 1
    base = size // 2**k
    features = [min(settings["width"] * 2**i, settings["widest"]) for i in range(k + 1)]

    class Mapping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = [settings["latent"], *[settings["w"]] * settings["depth"]]
            self.layers = nn.Sequential(*[Linear(a, b, 0.01, slope=SLOPE) for a, b in pairwise(sizes)])

        def forward(self, z: Any) -> Any:
            return self.layers(normalized(z))

    class Synthesis(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            wide, width = features[::-1], settings["w"]
            self.constant = parameter(wide[0], base, base)
            self.convolutions = nn.ModuleList([Styled(wide[0], wide[0], width, False)])
            self.to_image = nn.ModuleList([ToImage(wide[0], width)])
            for before, after in pairwise(wide):
                self.convolutions += [Styled(before, after, width, True), Styled(after, after, width, False)]
                self.to_image.append(ToImage(after, width))
            sides = [base, *[base * 2**i for i in range(1, k + 1) for _ in range(2)]]
            self.sides, self.noise_size = sides, sum(n * n for n in sides)

        def forward(self, ws: Any, noise: Any) -> Any:
            n, first, image = len(ws), 0, None
            x = self.constant.expand(n, -1, -1, -1)
            for layer, (convolution, side) in enumerate(zip(self.convolutions, self.sides, strict=True)):
                x = convolution(x, ws[:, layer], noise[:, first : first + side * side].reshape(n, 1, side, side))
                first += side * side
                if layer % 2 == 0:
                    read = self.to_image[layer // 2](x, ws[:, layer + 1])
                    image = read if image is None else self.doubled(image) + read
            return image

        @staticmethod
        def doubled(image: Any) -> Any:
            taps = torch.tensor([1.0, 3, 3, 1], dtype=image.dtype) / 4
            kernel = (taps[:, None] * taps).expand(image.shape[1], 1, -1, -1)
            return F.conv_transpose2d(image, kernel, stride=2, padding=1, groups=image.shape[1])

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mapping, self.synthesis, self.layers = Mapping(), Synthesis(), 2 * k + 2
            self.register_buffer("w_average", torch.zeros(settings["w"]))

    class Block(nn.Module):
        def __init__(self, before: int, after: int):
            super().__init__()
            self.first = Conv(before, before, 3, padding=1, slope=SLOPE)
            self.second = Conv(before, after, 3, 2, gain=math.sqrt(0.5), slope=SLOPE)
            self.skip = Conv(before, after, 1, bias=False, gain=math.sqrt(0.5))

        def forward(self, x: Any) -> Any:
            y = self.second(fir(self.first(x), [1, 3, 3, 1], padding=2))
            return y + self.skip(fir(x, [1, 3, 3, 1], stride=2, padding=1))

    class Deviation(nn.Module):
        def forward(self, x: Any) -> Any:
            n, c, height, width = x.shape
            group = min(settings["group"], n)
            grouped = x.reshape(group, n // group, c, height, width)
            mean = grouped.var(0, unbiased=False).add(1e-8).sqrt().mean((1, 2, 3))
            return torch.cat([x, mean.repeat(group).reshape(n, 1, 1, 1).expand(n, 1, height, width)], 1)

    class Discriminator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            last = features[-1]
            self.from_image = Conv(channels, features[0], 1, slope=SLOPE)
            self.blocks = nn.Sequential(*[Block(a, b) for a, b in pairwise(features)])
            self.end = nn.Sequential(
                Deviation(),
                Conv(last + 1, last, 3, padding=1, slope=SLOPE),
                nn.Flatten(),
                Linear(last * base * base, last, slope=SLOPE),
                Linear(last, 1),
            )

        def forward(self, x: Any) -> Any:
            return self.end(self.blocks(self.from_image(x)))

    return Generator(), Discriminator()


def build(channels_last: bool, grouped: bool = False) -> Callable[[], tuple[float, float]]:
    """Return a function that runs `workloads.CYCLE` steps and returns both losses of the last."""
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    torch.manual_seed(0)
    s = w.STYLEGAN
    g, d = (net.to(memory_format=layout) for net in networks(torch, s["shape"], s["networks"], grouped=grouped))
    g_adam, d_adam = (torch.optim.Adam(net.parameters(), s["lr"], betas=s["betas"]) for net in (g, d))
    real = torch.rand(s["batch"], *s["shape"]).mul(2).sub(1).contiguous(memory_format=layout)
    softplus, length_mean = torch.nn.functional.softplus, torch.zeros(())

    def styles(n: int) -> Any:
        a, b = (g.mapping(torch.randn(n, s["networks"]["latent"]))[:, None].expand(-1, g.layers, -1) for _ in range(2))
        first = torch.where(torch.rand(n) < s["mixing"], torch.randint(1, g.layers, (n,)), g.layers)
        return torch.where((torch.arange(g.layers) >= first[:, None])[:, :, None], b, a)

    def pictures(ws: Any) -> Any:
        return g.synthesis(ws, torch.randn(len(ws), g.synthesis.noise_size))

    def step(i: int) -> tuple[float, float]:
        nonlocal length_mean
        fake = pictures(styles(s["batch"]))
        x = real.detach().requires_grad_(i % s["r1_every"] == 0)
        logits = d(x)
        d_loss = softplus(-logits).mean() + softplus(d(fake.detach())).mean()
        total = d_loss
        if i % s["r1_every"] == 0:
            (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
            total = d_loss + gradient.square().sum((1, 2, 3)).mean() * (s["r1"] / 2 * s["r1_every"])
        d_adam.zero_grad()
        total.backward()
        d_adam.step()
        d.requires_grad_(False)  # the gradient goes through D, and D's weights get none
        g_loss = softplus(-d(fake)).mean()
        total = g_loss
        if i % s["path_every"] == 0:
            ws = styles(s["batch"] // 2)
            images = pictures(ws)
            y = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
            (gradient,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
            lengths = gradient.square().sum(2).mean(1).add(1e-12).sqrt()
            length_mean = length_mean.lerp(lengths.detach().mean(), 0.01)
            total = g_loss + (lengths - length_mean).square().mean() * (s["path"] * s["path_every"])
        g_adam.zero_grad()
        total.backward()
        g_adam.step()
        d.requires_grad_(True)
        return d_loss.item(), g_loss.item()

    def cycle() -> tuple[float, float]:
        for i in range(w.CYCLE["S32"]):
            losses = step(i)
        return losses

    return cycle
