"""Where does the NaN come from? The loss is finite and the gradient is not: sqrt has an infinite slope at 0."""

import numpy as np

from scratchgan import Tensor, grad, ops

x = Tensor(np.array([[3.0, 4.0], [0.0, 0.0], [1.0, 2.0]]), requires_grad=True)

squares = (x * x).sum(axis=1)
lengths = ops.sqrt(squares)  # 0 in the second row
loss = ((lengths - 1.0) ** 2).mean()

with np.errstate(divide="ignore", invalid="ignore"):
    (gradient,) = grad(loss, x)
print(f"loss: {loss.item():.4f}")
print("gradient:\n", gradient.numpy())
