"""R1 penalises the discriminator's gradient at real images, so training differentiates a gradient."""

import numpy as np

from scratchgan import Tensor, grad, nn, ops
from scratchgan.inspect import part

rng = np.random.default_rng(0)
discriminator = nn.Sequential(
    nn.Linear(4, 6, generator=rng),
    nn.Tanh(),
    nn.Linear(6, 1, generator=rng),
)
real = Tensor(rng.normal(size=(5, 4)).astype(np.float32), requires_grad=True)

with part("D on real"):
    logits = discriminator(real)
    loss = ops.binary_cross_entropy_with_logits(logits, 1.0)
with part("R1"):
    (slope,) = grad(logits.sum(), real, create_graph=True)
    penalty = (slope * slope).sum(axis=1).mean() * 0.5
    total = loss + penalty
gradients = grad(total, discriminator.parameters())
print(f"loss {loss.item():.4f}, R1 penalty {penalty.item():.4f}")
