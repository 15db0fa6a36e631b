"""StyleGAN's step in this project's own networks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import workloads as w


def build() -> Callable[[], tuple[float, float]]:
    """Return a function that runs `workloads.CYCLE` steps and returns both losses of the last."""
    step, counter = build_step(), range(w.CYCLE["S32"])

    def cycle() -> tuple[float, float]:
        for i in counter:
            losses = step(i)
        return losses

    return cycle


def build_step() -> Callable[[int], tuple[float, float]]:
    """Return a function that runs step number i."""
    from scratchgan import Tensor, grad
    from scratchgan.models.stylegan import StyleGenerator, mix, mixing_mask
    from scratchgan.models.stylegan_discriminator import StyleDiscriminator
    from scratchgan.optim import Adam
    from scratchgan.train.losses import bce_discriminator, bce_generator, r1_penalty
    from scratchgan.train.path_length import PathLength

    s, rng = w.STYLEGAN, np.random.default_rng(0)
    channels, size, _ = s["shape"]
    settings = {key: value for key, value in s["networks"].items() if key != "group"}
    g = StyleGenerator(size, channels, **settings, generator=rng)
    widths = {key: settings[key] for key in ("width", "widest")}
    d = StyleDiscriminator(size, channels, **widths, group=s["networks"]["group"], generator=rng)
    g_parameters, d_parameters = g.parameters(), d.parameters()
    g_adam, d_adam = (Adam(p, s["lr"], betas=s["betas"]) for p in (g_parameters, d_parameters))
    path_length = PathLength()
    real = rng.uniform(-1, 1, (s["batch"], *s["shape"])).astype(np.float32)
    real.flags.writeable = False

    def styles(n: int) -> Tensor:
        a, b = (g.spread(g.mapping(rng.standard_normal((n, settings["latent"]), np.float32))) for _ in range(2))
        return mix(mixing_mask(rng, n, g.layers, s["mixing"]), a, b)

    def pictures(ws: Tensor) -> Tensor:
        return g.synthesis(ws, g.synthesis.draw_noise(rng, len(ws)))

    def step(i: int) -> tuple[float, float]:
        penalised = i % s["r1_every"] == 0
        fake = pictures(styles(s["batch"]))
        x = Tensor(real, requires_grad=penalised)
        logits = d(x)
        total = d_loss = bce_discriminator(logits, d(fake.detach()))
        if penalised:
            total = d_loss + r1_penalty(logits, x) * (s["r1"] * s["r1_every"])
        d_adam.step(grad(total, d_parameters, retain_graph=False))
        total = g_loss = bce_generator(d(fake))
        if i % s["path_every"] == 0:
            ws = styles(s["batch"] // 2)
            total = g_loss + path_length(pictures(ws), ws, rng) * (s["path"] * s["path_every"])
        g_adam.step(grad(total, g_parameters, retain_graph=False))
        return d_loss.item(), g_loss.item()

    return step
