"""A convolution and its three gradients. Click a number of the gradient of x: its window holds the turned filter."""

import numpy as np

from scratchgan import Tensor, grad, ops

rng = np.random.default_rng(0)
x = Tensor(rng.normal(size=(1, 1, 6, 6)).round(1), requires_grad=True)
w = Tensor(np.arange(1.0, 10.0).reshape(1, 1, 3, 3), requires_grad=True)
bias = Tensor(np.array([0.5]), requires_grad=True)
target = Tensor(rng.normal(size=(1, 1, 6, 6)).round(1))

y = ops.conv2d(x, w, bias, padding=1)
loss = ops.mse_loss(y, target)
gx, gw, gb = grad(loss, [x, w, bias])
print("gradient of the filter:\n", gw.numpy()[0, 0].round(3))
