"""The whole GAN step against PyTorch: ``python -m benchmarks.gan_step [G28 G64] [--json FILE]``.

One update of D and one of G (batch 64, non-saturating binary cross-entropy on logits, Adam) of the networks in
`scratchgan.models.gan`. PyTorch runs the same step in its default memory layout and in channels_last, and with
--compile under torch.compile too; its best median counts. All take turns in every round, so that a change of the
machine's speed meets them alike, and the figure is the ratio of medians: how many times faster the step is here.

Without PyTorch the step is timed alone.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measure import add_options, prepare, sample
from scratchgan import Tensor, grad, ops
from scratchgan.models.gan import gan28, gan64
from scratchgan.optim import Adam

BATCH = 64
NETWORKS: dict[str, tuple[Callable[..., Any], int, tuple[int, int, int]]] = {
    "G28": (gan28, 64, (1, 28, 28)),
    "G64": (gan64, 128, (3, 64, 64)),
}


def ours(name: str) -> Callable[[], tuple[float, float]]:
    """Return a function that runs one step and returns both losses."""
    make, latent, shape = NETWORKS[name]
    rng = np.random.default_rng(0)
    g, d = make(generator=rng)
    g_parameters, d_parameters = g.parameters(), d.parameters()
    g_adam, d_adam = (Adam(p, 2e-4, betas=(0.5, 0.999)) for p in (g_parameters, d_parameters))
    real = Tensor(rng.uniform(-1, 1, (BATCH, *shape)).astype(np.float32))
    bce = ops.binary_cross_entropy_with_logits

    def step() -> tuple[float, float]:
        fake = g(Tensor(rng.standard_normal((BATCH, latent), np.float32)))
        d_loss = bce(d(real), 1.0) + bce(d(fake.detach()), 0.0)
        d_adam.step(grad(d_loss, d_parameters, retain_graph=False))
        g_loss = bce(d(fake), 1.0)
        g_adam.step(grad(g_loss, g_parameters, retain_graph=False))
        return d_loss.item(), g_loss.item()

    return step


def pytorch(torch: Any, name: str, channels_last: bool, compiled: bool = False) -> Callable[[], tuple[float, float]]:
    """Return the same step in PyTorch, from the same networks written as its modules."""
    _, latent, shape = NETWORKS[name]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    torch.manual_seed(0)
    g, d = (net.to(memory_format=layout) for net in pytorch_networks(torch, name))
    if compiled:
        g, d = torch.compile(g), torch.compile(d)
    g_adam, d_adam = (torch.optim.Adam(net.parameters(), 2e-4, betas=(0.5, 0.999)) for net in (g, d))
    real = torch.rand(BATCH, *shape).mul(2).sub(1).contiguous(memory_format=layout)
    one, zero = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)
    bce = torch.nn.functional.binary_cross_entropy_with_logits

    def step() -> tuple[float, float]:
        fake = g(torch.randn(BATCH, latent))
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


def pytorch_networks(torch: Any, name: str) -> tuple[Any, Any]:
    """Return G and D of the reference networks as PyTorch modules, with the state-dict names of ours."""
    nn = torch.nn

    def stage(before: int, after: int, activation: Any) -> list[Any]:
        return [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), activation]

    if name == "G28":
        g = [nn.Linear(64, 128 * 49), nn.Unflatten(1, (128, 7, 7)), nn.BatchNorm2d(128)]
        g += [*stage(128, 128, nn.LeakyReLU(0.2)), *stage(128, 64, nn.LeakyReLU(0.2))]
        g += [nn.Conv2d(64, 1, 3, padding=1), nn.Tanh()]
        d = [nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1), nn.LeakyReLU(0.2)]
        d += [nn.Flatten(), nn.Linear(128 * 49, 1)]
        return nn.Sequential(*g), nn.Sequential(*d)
    g = [nn.Linear(128, 512 * 16), nn.Unflatten(1, (512, 4, 4)), nn.BatchNorm2d(512), nn.ReLU()]
    for before, after in ((512, 256), (256, 128), (128, 64), (64, 64)):
        g += stage(before, after, nn.ReLU())
    g += [nn.Conv2d(64, 3, 3, padding=1), nn.Tanh()]
    d = [nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2)]
    for before, after in ((64, 128), (128, 256), (256, 512)):
        d += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    d += [nn.Flatten(), nn.Linear(512 * 16, 1)]
    return nn.Sequential(*g), nn.Sequential(*d)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("networks", nargs="*", choices=[*NETWORKS, []], help="which networks; both if not given")
    add_options(parser, rounds=9)
    parser.add_argument("--compile", action="store_true", help="also time PyTorch under torch.compile")
    options = parser.parse_args()
    torch = prepare(options)

    records = []
    for name in options.networks or NETWORKS:
        steps = {"scratchgan": ours(name)}
        if torch:
            steps["PyTorch NCHW"] = pytorch(torch, name, False)
            steps["PyTorch NHWC"] = pytorch(torch, name, True)
            if options.compile:
                steps["PyTorch compiled"] = pytorch(torch, name, False, compiled=True)
                steps["PyTorch compiled NHWC"] = pytorch(torch, name, True, compiled=True)
        times = sample(steps, options.rounds)
        medians = {who: statistics.median(values) for who, values in times.items()}
        print(f"{name} step, batch {BATCH}, {options.threads} threads")
        for who, seconds in medians.items():
            low, high = min(times[who]), max(times[who])
            print(f"  {who:24} {seconds * 1e3:8.1f} ms  ({low * 1e3:.1f} to {high * 1e3:.1f}, n={len(times[who])})")
        if len(medians) > 1:
            best = min(seconds for who, seconds in medians.items() if who != "scratchgan")
            print(f"  ratio: PyTorch's best / scratchgan = {best / medians['scratchgan']:.2f}")
        records.append({"network": name, "batch": BATCH, "threads": options.threads, "seconds": times})
    if options.json:
        versions = {"python": platform.python_version(), "numpy": np.__version__}
        versions["torch"] = torch.__version__ if torch else "none"
        report = {"versions": versions, "machine": platform.processor(), "records": records}
        options.json.write_text(json.dumps(report))
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
