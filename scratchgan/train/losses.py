"""What the generator G and the discriminator D minimise.

Every loss is a function of D's raw outputs (logits) for real images, D(x), and for generated ones, D(G(z)), each
(B, 1) or (B,), and returns the mean over the batch as a Tensor of one number. s is the sigmoid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import ops
from ..autograd import grad
from ..cuda_graph import from_host
from ..device import device_of
from ..tensor import Tensor


def bce_discriminator(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """-log s(D(x)) - log(1 - s(D(G(z)))): binary cross-entropy (Goodfellow et al., 2014, equation 1).

    ``smoothing`` makes the target of the real images 1 - smoothing, and leaves that of the generated ones at 0
    (one-sided label smoothing; Salimans et al., 2016, section 3.4).
    """
    real_loss = ops.binary_cross_entropy_with_logits(real, 1.0 - smoothing)
    return real_loss + ops.binary_cross_entropy_with_logits(fake, 0.0)


def bce_generator(fake: Tensor) -> Tensor:
    """-log s(D(G(z))): the non-saturating loss (Goodfellow et al., 2014, section 3).

    It has the same fixed point as the zero-sum game, and a gradient that does not vanish while D is winning.
    """
    return ops.binary_cross_entropy_with_logits(fake, 1.0)


def bce_saturating_generator(fake: Tensor) -> Tensor:
    """log(1 - s(D(G(z)))): G's side of the zero-sum game itself (Goodfellow et al., 2014, equation 1).

    Where D is sure that an image is generated its gradient is nearly 0: G learns least when it has most to learn.
    """
    return -ops.binary_cross_entropy_with_logits(fake, 0.0)


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))) (Lim & Ye, 2017; Miyato et al., 2018, equation 16)."""
    return ops.mean(ops.relu(1.0 - real)) + ops.mean(ops.relu(1.0 + fake))


def hinge_generator(fake: Tensor) -> Tensor:
    """-D(G(z)) (Miyato et al., 2018, equation 17)."""
    return -ops.mean(fake)


def least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """(D(x) - 1)^2 / 2 + D(G(z))^2 / 2 (Mao et al., 2017, equation 9)."""
    return (ops.mean((real - 1.0) ** 2) + ops.mean(fake**2)) * 0.5


def least_squares_generator(fake: Tensor) -> Tensor:
    """(D(G(z)) - 1)^2 / 2 (Mao et al., 2017, equation 9)."""
    return ops.mean((fake - 1.0) ** 2) * 0.5


def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """D(G(z)) - D(x): minus the estimate of the Wasserstein distance (Arjovsky et al., 2017, equation 2)."""
    return ops.mean(fake) - ops.mean(real)


def wasserstein_generator(fake: Tensor) -> Tensor:
    """-D(G(z)) (Arjovsky et al., 2017, equation 3)."""
    return -ops.mean(fake)


@dataclass(frozen=True)
class Loss:
    """A pair of losses, and what D's output means under them."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    probability: bool = False  # whether s(D(x)) is the probability that x is real


LOSSES = {
    "bce": Loss(bce_discriminator, bce_generator, probability=True),
    "bce-saturating": Loss(bce_discriminator, bce_saturating_generator, probability=True),
    "hinge": Loss(hinge_discriminator, hinge_generator),
    "lsgan": Loss(least_squares_discriminator, least_squares_generator),
    "wgan-gp": Loss(wasserstein_discriminator, wasserstein_generator),
}


# Penalties on the gradient of D with respect to its input. Training differentiates them once more, by D's weights.


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor], real: np.ndarray, fake: np.ndarray, rng: np.random.Generator
) -> Tensor:
    """E[(|grad D(x')| - 1)^2] with x' at a random place between a real and a generated image.

    Gulrajani et al., 2017, equation 3 and algorithm 1: x' = e*x + (1-e)*G(z) with one e from U(0, 1) for each image.
    ``real`` and ``fake`` are (B,C,H,W) arrays. D must not mix the images of a batch (no batch normalisation).
    """
    shape = (len(real), *[1] * (real.ndim - 1))
    between = from_host(lambda: rng.random(shape).astype(real.dtype), device_of(real))
    x = Tensor(between * real + (1 - between) * fake, requires_grad=True)
    squared = _squared_gradient_norm(discriminator(x), x)
    # The norm's own gradient is infinite at 0; 1e-12 is far below the 1 that the norm is drawn to.
    return ops.mean((ops.sqrt(squared + 1e-12) - 1.0) ** 2)


def r1_penalty(logits: Tensor, real: Tensor) -> Tensor:
    """E[|grad D(x)|^2] / 2 at real images (Mescheder et al., 2018, equation 9), to be multiplied by gamma.

    ``real`` (B,C,H,W) must require a gradient and ``logits`` be D(real), so that the loss and the penalty share one
    pass through D.
    """
    return ops.mean(_squared_gradient_norm(logits, real)) * 0.5


def _squared_gradient_norm(logits: Tensor, x: Tensor) -> Tensor:
    """Return |grad of each image's logit with respect to that image|^2, shape (B,), as part of the graph."""
    (gx,) = grad(ops.sum(logits), x, create_graph=True)
    return ops.sum(gx * gx, axis=tuple(range(1, gx.ndim)))
