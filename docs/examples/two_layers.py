"""A network of two layers learns which of two moons a point lies on: one step, forward, backward, and the optimiser."""

import numpy as np

from scratchgan import Tensor, grad, nn, ops
from scratchgan.optim import SGD

rng = np.random.default_rng(0)
angle = rng.uniform(0, np.pi, 16)
upper = np.arange(16) % 2
points = np.stack([np.cos(angle) + upper * 0.9, np.sin(angle) * (1 - 2 * upper) + upper * 0.4], 1).astype(np.float32)
labels = upper.reshape(16, 1).astype(np.float32)

network = nn.Sequential(
    nn.Linear(2, 8, generator=rng),
    nn.Tanh(),
    nn.Linear(8, 1, generator=rng),
)
optimizer = SGD(network.named_parameters(), lr=0.5)

logits = network(Tensor(points))
loss = ops.binary_cross_entropy_with_logits(logits, labels)
optimizer.step(grad(loss, network.parameters()))
print(f"loss before the step: {loss.item():.4f}")
