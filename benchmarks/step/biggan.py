"""The step B28: class-conditional BigGAN for 28x28x1 and 10 classes, batch 64, in ours and in PyTorch.

One update of D, then one of G, both with the hinge loss and Adam(2e-4, 0, 0.999). D sees real and generated images in
one pass of 128, so that its power iterations run once an update; G runs once. `scratchgan.models.biggan` has the
layers, and the networks here have its state-dict names. Self-attention stands at 14 pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from .workloads import BATCHES

SIZE, CHANNELS, CLASSES, BATCH = 28, 1, 10, BATCHES["B28"]
LATENT, WIDTH, EMBEDDING, ATTENTION = 120, 32, 64, 14


def ours() -> Callable[[], tuple[float, float]]:
    """Return a function that runs one step of ours and returns both losses."""
    from scratchgan import Tensor, grad, ops
    from scratchgan.models.biggan import Discriminator, Generator
    from scratchgan.optim import Adam
    from scratchgan.train.losses import hinge_discriminator, hinge_generator

    rng = np.random.default_rng(0)
    g = Generator(SIZE, CHANNELS, CLASSES, LATENT, WIDTH, EMBEDDING, ATTENTION, generator=rng)
    d = Discriminator(SIZE, CHANNELS, CLASSES, WIDTH, ATTENTION, generator=rng)
    g_parameters, d_parameters = g.parameters(), d.parameters()
    g_adam, d_adam = (Adam(p, 2e-4, betas=(0.0, 0.999)) for p in (g_parameters, d_parameters))
    real = Tensor(rng.uniform(-1, 1, (BATCH, CHANNELS, SIZE, SIZE)).astype(np.float32))
    real_labels = rng.integers(0, CLASSES, BATCH)

    def step() -> tuple[float, float]:
        labels = rng.integers(0, CLASSES, BATCH)
        fake = g(Tensor(rng.standard_normal((BATCH, LATENT), np.float32)), labels)
        both = ops.concatenate([real, fake.detach()])
        logits = d(both, np.concatenate([real_labels, labels]))
        d_loss = hinge_discriminator(logits[:BATCH], logits[BATCH:])
        d_adam.step(grad(d_loss, d_parameters, retain_graph=False))
        g_loss = hinge_generator(d(fake, labels))
        g_adam.step(grad(g_loss, g_parameters, retain_graph=False))
        return d_loss.item(), g_loss.item()

    return step


def pytorch(channels_last: bool, compiled: bool = False) -> Callable[[], tuple[float, float]]:
    """Return a function that runs one step in PyTorch and returns both losses."""
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    torch.manual_seed(0)
    g, d = (
        net.to(memory_format=layout)
        for net in networks(torch, SIZE, CHANNELS, CLASSES, LATENT, WIDTH, EMBEDDING, ATTENTION)
    )
    if compiled:
        g, d = torch.compile(g), torch.compile(d)
    g_adam, d_adam = (torch.optim.Adam(net.parameters(), 2e-4, betas=(0.0, 0.999)) for net in (g, d))
    real = torch.rand(BATCH, CHANNELS, SIZE, SIZE).mul(2).sub(1).contiguous(memory_format=layout)
    real_labels = torch.randint(CLASSES, (BATCH,))

    def step() -> tuple[float, float]:
        labels = torch.randint(CLASSES, (BATCH,))
        fake = g(torch.randn(BATCH, LATENT), labels)
        d_adam.zero_grad()
        logits = d(torch.cat([real, fake.detach()]), torch.cat([real_labels, labels]))
        d_loss = torch.relu(1 - logits[:BATCH]).mean() + torch.relu(1 + logits[BATCH:]).mean()
        d_loss.backward()
        d_adam.step()
        g_adam.zero_grad()
        d.requires_grad_(False)  # as its users write it: the gradients of D's weights are not wanted here
        g_loss = -d(fake, labels).mean()
        g_loss.backward()
        g_adam.step()
        d.requires_grad_(True)
        return d_loss.item(), g_loss.item()

    return step


def networks(
    torch: Any, size: int, channels: int, classes: int, latent: int, width: int, embedding: int, attention: int
) -> tuple[Any, Any]:
    """Return G and D as PyTorch modules, with the state-dict names of `scratchgan.models.biggan`."""
    from scratchgan.models.gan import doublings

    nn, functional = torch.nn, torch.nn.functional
    spectral = torch.nn.utils.parametrizations.spectral_norm
    base, k = doublings(size)

    def normalised(layer: Any) -> Any:
        nn.init.orthogonal_(layer.weight)
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)
        return spectral(layer)

    class ConditionalBatchNorm2d(nn.Module):
        def __init__(self, features: int, condition: int):
            super().__init__()
            self.norm = nn.BatchNorm2d(features, affine=False)
            self.gain = normalised(nn.Linear(condition, features, bias=False))
            self.bias = normalised(nn.Linear(condition, features, bias=False))

        def forward(self, x: Any, c: Any) -> Any:
            gain, bias = 1 + self.gain(c), self.bias(c)
            return torch.relu(self.norm(x) * gain[:, :, None, None] + bias[:, :, None, None])

    class SelfAttention(nn.Module):
        def __init__(self, c: int):
            super().__init__()
            self.query = normalised(nn.Conv2d(c, c // 8, 1, bias=False))
            self.key = normalised(nn.Conv2d(c, c // 8, 1, bias=False))
            self.value = normalised(nn.Conv2d(c, c // 2, 1, bias=False))
            self.output = normalised(nn.Conv2d(c // 2, c, 1, bias=False))
            self.gamma = nn.Parameter(torch.zeros(1))

        def forward(self, x: Any) -> Any:
            query = self.query(x).flatten(2)
            key, value = (functional.max_pool2d(f(x), 2).flatten(2) for f in (self.key, self.value))
            weights = torch.softmax(query.transpose(1, 2) @ key, -1)
            seen = (value @ weights.transpose(1, 2)).reshape(len(x), -1, *x.shape[2:])
            return x + self.gamma * self.output(seen)

    class GeneratorBlock(nn.Module):
        def __init__(self, before: int, after: int, condition: int):
            super().__init__()
            self.norm1 = ConditionalBatchNorm2d(before, condition)
            self.conv1 = normalised(nn.Conv2d(before, after, 3, padding=1))
            self.norm2 = ConditionalBatchNorm2d(after, condition)
            self.conv2 = normalised(nn.Conv2d(after, after, 3, padding=1))
            self.skip = normalised(nn.Conv2d(before, after, 1))

        def forward(self, x: Any, c: Any) -> Any:
            y = self.conv1(functional.interpolate(self.norm1(x, c), scale_factor=2))
            # The skip before its upsampling: the cheaper order of the two, as in ours.
            return self.conv2(self.norm2(y, c)) + functional.interpolate(self.skip(x), scale_factor=2)

    class DiscriminatorBlock(nn.Module):
        def __init__(self, before: int, after: int, halve: bool, first: bool):
            super().__init__()
            self.halve, self.first = halve, first
            self.conv1 = normalised(nn.Conv2d(before, after, 3, padding=1))
            self.conv2 = normalised(nn.Conv2d(after, after, 3, padding=1))
            self.skip = normalised(nn.Conv2d(before, after, 1)) if halve else nn.Identity()

        def forward(self, x: Any) -> Any:
            y = self.conv2(torch.relu(self.conv1(x if self.first else torch.relu(x))))
            if self.halve:
                y, x = functional.avg_pool2d(y, 2), functional.avg_pool2d(x, 2)
            return y + self.skip(x)

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.chunks = [len(part) for part in np.array_split(np.arange(latent), k + 1)]
            features = [width * min(2 ** (k - i), 8) for i in range(k + 1)]
            self.first = (features[0], base, base)
            self.shared = nn.Embedding(classes, embedding)
            self.linear = normalised(nn.Linear(self.chunks[0], features[0] * base * base))
            self.blocks = nn.ModuleList(
                GeneratorBlock(before, after, embedding + chunk)
                for (before, after), chunk in zip(pairwise(features), self.chunks[1:], strict=True)
            )
            self.attended = (attention // base).bit_length() - 1 if attention else 0
            if attention:
                self.attention = SelfAttention(features[self.attended])
            self.norm = nn.BatchNorm2d(features[-1])
            self.output = normalised(nn.Conv2d(features[-1], channels, 3, padding=1))
            nn.init.orthogonal_(self.shared.weight)

        def forward(self, z: Any, labels: Any) -> Any:
            shared = self.shared(labels)
            first, *rest = z.split(self.chunks, 1)
            x = self.linear(first).reshape(len(z), *self.first)
            for stage, (block, chunk) in enumerate(zip(self.blocks, rest, strict=True), 1):
                x = block(x, torch.cat([shared, chunk], 1))
                if stage == self.attended:
                    x = self.attention(x)
            return torch.tanh(self.output(torch.relu(self.norm(x))))

    class Discriminator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            features = [channels, *(width * min(2**i, 8) for i in range(k))]
            self.attended = k + 1 - (attention // base).bit_length() if attention else 0
            blocks = [DiscriminatorBlock(a, b, True, i == 0) for i, (a, b) in enumerate(pairwise(features))]
            self.blocks = nn.ModuleList([*blocks, DiscriminatorBlock(features[-1], features[-1], False, False)])
            if attention:
                self.attention = SelfAttention(features[self.attended])
            self.linear = normalised(nn.Linear(features[-1], 1))
            self.projection = normalised(nn.Embedding(classes, features[-1]))

        def forward(self, x: Any, labels: Any) -> Any:
            asked = self.projection(labels)
            for stage, block in enumerate(self.blocks, 1):
                x = block(x)
                if stage == self.attended:
                    x = self.attention(x)
            h = torch.relu(x).sum((2, 3))
            return self.linear(h) + (asked * h).sum(1, keepdim=True)

    return Generator(), Discriminator()
