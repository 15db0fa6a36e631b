"""A deep chain of sigmoids: each multiplies the gradient by a quarter at most, and by the first layer it is gone."""

import numpy as np

from scratchgan import Tensor, grad, nn

rng = np.random.default_rng(0)
layers: list[nn.Module] = []
for _ in range(20):
    layers += [nn.Linear(12, 12, generator=rng), nn.Sigmoid()]
network = nn.Sequential(*layers)

loss = network(Tensor(rng.normal(size=(8, 12)).astype(np.float32))).mean()
gradients = grad(loss, network.parameters())
for i in (38, 20, 2, 0):
    print(f"layer {i // 2 + 1:>2}: gradient of the weights has norm {np.linalg.norm(gradients[i].numpy()):.2e}")
