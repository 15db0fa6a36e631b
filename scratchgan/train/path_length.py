"""Path length regularisation: a step in w shall change the picture by the same amount, wherever and whereto it goes.

For a picture g(w), J is the matrix of the pixels' derivatives by w, and J^T y, for pixels y of noise, is the gradient
of the one number <g(w), y>: one backward pass. Its length says how far the picture moves in the random direction y.
The penalty is on how much that length deviates from its running mean:

    E over w, y ~ N(0, 1) of (|J^T y| - a)^2        a: the running mean of |J^T y|

It is least where J is orthogonal up to a factor, the same everywhere. Training differentiates it once more, by G's
weights. It changes slowly, so it is computed in every ``n``-th step, on a part of a batch, and multiplied by n.

Source: T. Karras et al., "Analyzing and improving the image quality of StyleGAN", 2020, section 3.2, equation 4, and
appendix B.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..autograd import grad
from ..cuda_graph import from_host
from ..device import device_of
from ..nn import Module
from ..tensor import Tensor


class PathLength(Module):
    """The penalty with its running mean. It is a module for its state alone: ``mean``, an array (1,), is a buffer.

    ``decay``: how much of the mean a call keeps.
    """

    mean: Any

    def __init__(self, decay: float = 0.99):
        if not 0 <= decay < 1:
            raise ValueError(f"PathLength: decay must be in [0, 1), got {decay}")
        self.decay = decay
        self.register_buffer("mean", np.zeros(1, np.float32))

    def forward(self, images: Tensor, ws: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the penalty, one number, of images (N,C,H,W) made of ws (N,layers,w), and move the mean.

        The lengths are those by the styles of a layer, in the quadratic mean over layers. y is drawn from ``rng`` and
        divided by sqrt(H * W), which keeps the lengths alike at all sizes. The mean starts at 0 and is moved before it
        is used.
        """
        lengths = path_lengths(images, ws, rng)
        self.mean = self.decay * self.mean + (1 - self.decay) * lengths.data.mean()
        return ops.mean((lengths - Tensor(self.mean)) ** 2)


def path_lengths(images: Tensor, ws: Tensor, rng: np.random.Generator) -> Tensor:
    """Return |J^T y| of each picture, (N,), as part of the graph; see `PathLength.forward`."""
    if ws.ndim != 3 or len(ws) != len(images):
        raise ValueError(f"path_lengths: ws must be ({len(images)},layers,w), a row for each image, got {ws.shape}")
    scale, shape = 1 / math.sqrt(images.shape[2] * images.shape[3]), images.shape
    y = from_host(lambda: (rng.standard_normal(shape, np.float32) * scale).astype(images.dtype), device_of(images.data))
    (gradient,) = grad(ops.sum(images * Tensor(y)), ws, create_graph=True)
    # The length's own gradient is infinite at 0; 1e-12 is far below any length of a generator that draws something.
    return ops.sqrt(ops.mean(ops.sum(gradient * gradient, 2), 1) + 1e-12)
