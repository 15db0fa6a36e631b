"""One neuron: two inputs, two weights, a bias and a tanh, and the gradient of its output by each of them."""

import numpy as np

from scratchgan import Tensor, grad


def number(value: float) -> Tensor:
    return Tensor(np.array(value), requires_grad=True)


x1, x2 = number(2.0), number(0.0)
w1, w2 = number(-3.0), number(1.0)
b = number(6.8)

total = x1 * w1 + x2 * w2 + b
out = total.tanh()

for name, g in zip(("x1", "x2", "w1", "w2", "b"), grad(out, [x1, x2, w1, w2, b]), strict=True):
    print(f"d out / d {name} = {g.item():.4f}")
