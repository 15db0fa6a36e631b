"""Softmax and cross-entropy by hand, from exp, sum and log: the gradient at the logits is softmax - one_hot."""

import numpy as np

from scratchgan import Tensor, grad

logits = Tensor(np.array([[2.0, 0.5, -1.0], [0.1, 0.2, 3.0]]), requires_grad=True)
one_hot = Tensor(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))

e = logits.exp()
softmax = e / e.sum(axis=1, keepdims=True)
likelihood = (softmax * one_hot).sum(axis=1)
loss = -likelihood.log().sum()

(gradient,) = grad(loss, logits)
print("from the tape:\n", gradient.numpy().round(4))
print("softmax - one_hot:\n", (softmax - one_hot).numpy().round(4))
