"""The step in JAX: one compiled function for D's update and G's, parameters in lists, Adam written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import workloads as w


def _parameters(rng: np.random.Generator, name: str) -> tuple[list[Any], list[Any]]:
    """Return G's and D's parameters, layer by layer; a layer's are (weight, bias)."""

    def layer(*shape: int) -> tuple[np.ndarray, np.ndarray]:
        return 0.02 * rng.standard_normal(shape, np.float32), np.zeros(shape[0], np.float32)

    def norm(channels: int) -> tuple[np.ndarray, np.ndarray]:
        return np.ones(channels, np.float32), np.zeros(channels, np.float32)

    channels, size = w.G_FIRST[name]
    g = [layer(channels * size**2, w.LATENT[name]), norm(channels)]
    for after in w.G_CHANNELS[name]:
        g += [layer(after, channels, 3, 3), norm(after)]
        channels = after
    g.append(layer(w.IMAGE[name][0], channels, 3, 3))
    d = []
    before = w.IMAGE[name][0]
    for after in w.D_CHANNELS[name]:
        d.append(layer(after, before, 4, 4))
        if w.D_NORM[name] and len(d) > 1:
            d.append(norm(after))
        before = after
    d.append(layer(1, before * size**2))
    return g, d


def build(name: str) -> Callable[[], tuple[float, float]]:
    """Return a function that runs one step and returns both losses."""
    import jax
    import jax.numpy as jnp

    def conv(x: Any, p: Any, stride: int, pad: int = 1) -> Any:
        layout = ("NCHW", "OIHW", "NCHW")
        y = jax.lax.conv_general_dilated(x, p[0], (stride, stride), [(pad, pad)] * 2, dimension_numbers=layout)
        return y + p[1][:, None, None]

    def normalise(x: Any, p: Any) -> Any:
        mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
        return (x - mean) * jax.lax.rsqrt(var + 1e-5) * p[0][:, None, None] + p[1][:, None, None]

    def leaky(x: Any, slope: float) -> Any:
        return jnp.where(x > 0, x, slope * x)

    def generator(p: Any, z: Any) -> Any:
        channels, size = w.G_FIRST[name]
        x = normalise((z @ p[0][0].T + p[0][1]).reshape(-1, channels, size, size), p[1])
        x = x if w.G_SLOPE[name] else leaky(x, 0.0)
        for index in range(len(w.G_CHANNELS[name])):
            x = conv(x.repeat(2, axis=2).repeat(2, axis=3), p[2 + 2 * index], 1)
            x = leaky(normalise(x, p[3 + 2 * index]), w.G_SLOPE[name])
        return jnp.tanh(conv(x, p[-1], 1))

    def discriminator(p: Any, x: Any) -> Any:
        at = 0
        for index in range(len(w.D_CHANNELS[name])):
            x = conv(x, p[at], 2)
            at += 1
            if w.D_NORM[name] and index:
                x = normalise(x, p[at])
                at += 1
            x = leaky(x, 0.2)
        return x.reshape(len(x), -1) @ p[at][0].T + p[at][1]

    def adam(p: Any, gradient: Any, state: Any, t: Any) -> tuple[Any, Any]:
        tree = jax.tree_util.tree_map
        m = tree(lambda m, g: 0.5 * m + 0.5 * g, state[0], gradient)
        v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, state[1], gradient)
        new = tree(lambda p, m, v: p - 2e-4 * (m / (1 - 0.5**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), p, m, v)
        return new, (m, v)

    def real_or_fake(d: Any, real: Any, fake: Any) -> Any:
        return jax.nn.softplus(-discriminator(d, real)).mean() + jax.nn.softplus(discriminator(d, fake)).mean()

    @jax.jit
    def update(g: Any, d: Any, g_state: Any, d_state: Any, real: Any, key: Any, t: Any) -> Any:
        z = jax.random.normal(key, (w.BATCH, w.LATENT[name]))
        # G runs once: its pullback waits until D has been updated.
        fake, pullback = jax.vjp(lambda g: generator(g, z), g)
        d_loss, gradient = jax.value_and_grad(real_or_fake)(d, real, fake)
        d, d_state = adam(d, gradient, d_state, t)
        g_loss, by_fake = jax.value_and_grad(lambda x: jax.nn.softplus(-discriminator(d, x)).mean())(fake)
        g, g_state = adam(g, pullback(by_fake)[0], g_state, t)
        return g, d, g_state, d_state, d_loss, g_loss

    rng = np.random.default_rng(0)
    g, d = jax.tree_util.tree_map(jnp.asarray, _parameters(rng, name))
    zeros = [jax.tree_util.tree_map(jnp.zeros_like, p) for p in (g, g, d, d)]
    state = [g, d, (zeros[0], zeros[1]), (zeros[2], zeros[3])]
    real = jnp.asarray(rng.uniform(-1, 1, (w.BATCH, *w.IMAGE[name])).astype(np.float32))
    count = [0]

    def step() -> tuple[float, float]:
        count[0] += 1
        *state[:], d_loss, g_loss = update(*state, real, jax.random.key(count[0]), float(count[0]))
        return float(d_loss), float(g_loss)

    return step
