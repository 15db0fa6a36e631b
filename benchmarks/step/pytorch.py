"""The step in PyTorch, as its users write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import workloads as w


def networks(torch: Any, name: str) -> tuple[Any, Any]:
    """Return G and D as PyTorch modules, with the state-dict names of ours."""
    nn = torch.nn
    channels, size = w.G_FIRST[name]

    def activation() -> Any:
        return nn.LeakyReLU(w.G_SLOPE[name]) if w.G_SLOPE[name] else nn.ReLU()

    g = [nn.Linear(w.LATENT[name], channels * size**2), nn.Unflatten(1, (channels, size, size))]
    g += [nn.BatchNorm2d(channels)] + ([] if w.G_SLOPE[name] else [activation()])  # G28 has none there
    for after in w.G_CHANNELS[name]:
        g += [
            nn.Upsample(scale_factor=2),
            nn.Conv2d(channels, after, 3, padding=1),
            nn.BatchNorm2d(after),
            activation(),
        ]
        channels = after
    g += [nn.Conv2d(channels, w.IMAGE[name][0], 3, padding=1), nn.Tanh()]
    d: list[Any] = []
    before = w.IMAGE[name][0]
    for after in w.D_CHANNELS[name]:
        d.append(nn.Conv2d(before, after, 4, 2, 1))
        if w.D_NORM[name] and len(d) > 1:
            d.append(nn.BatchNorm2d(after))
        d.append(nn.LeakyReLU(0.2))
        before = after
    d += [nn.Flatten(), nn.Linear(before * size**2, 1)]
    return nn.Sequential(*g), nn.Sequential(*d)


def build(name: str, channels_last: bool, compiled: bool = False) -> Callable[[], tuple[float, float]]:
    """Return a function that runs one step and returns both losses."""
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    torch.manual_seed(0)
    g, d = (net.to(memory_format=layout) for net in networks(torch, name))
    if compiled:
        g, d = torch.compile(g), torch.compile(d)
    g_adam, d_adam = (torch.optim.Adam(net.parameters(), 2e-4, betas=(0.5, 0.999)) for net in (g, d))
    real = torch.rand(w.BATCH, *w.IMAGE[name]).mul(2).sub(1).contiguous(memory_format=layout)
    one, zero = torch.ones(w.BATCH, 1), torch.zeros(w.BATCH, 1)
    bce = torch.nn.functional.binary_cross_entropy_with_logits

    def step() -> tuple[float, float]:
        fake = g(torch.randn(w.BATCH, w.LATENT[name]))
        d_adam.zero_grad()
        d_loss = bce(d(real), one) + bce(d(fake.detach()), zero)
        d_loss.backward()
        d_adam.step()
        g_adam.zero_grad()
        g_loss = bce(d(fake), one)
        g_loss.backward()
        g_adam.step()
        return d_loss.item(), g_loss.item()

    return step
