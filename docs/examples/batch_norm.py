"""Batch normalisation in operators, beside the fused one: three ways lead back from y to x, and they add up."""

import numpy as np

from scratchgan import Tensor, grad, ops

rng = np.random.default_rng(0)
x = Tensor(rng.normal(2.0, 3.0, (6, 3)), requires_grad=True)
gy = Tensor(rng.normal(size=(6, 3)))

mean = x.mean(axis=0)
centred = x - mean
std = ops.sqrt((centred * centred).mean(axis=0) + 1e-5)
y = centred / std
(by_hand,) = grad(y, x, gy)

one, zero = Tensor(np.ones(3)), Tensor(np.zeros(3))
fused = ops.batch_norm(x, None, None, one, zero, training=True, eps=1e-5)
(by_kernel,) = grad(fused, x, gy)
print("largest difference:", np.abs(by_hand.numpy() - by_kernel.numpy()).max())
print("each column's gradient sums to", by_hand.numpy().sum(axis=0).round(12))
