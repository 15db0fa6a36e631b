"""Leaky ReLU and its gradient, for arrays of any shape.

Source: A. Maas, A. Hannun and A. Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.
"""

from __future__ import annotations

import numpy as np

from ..arguments import arrays, number, output, run


def leaky_relu(x: np.ndarray, slope: float, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``x`` where it is positive and ``slope * x`` elsewhere; ``slope`` 0 is the ReLU.

    x is float32 or float64 of any shape, and so is the result. NaN stays NaN. The ReLU of -inf is 0.

    Raises TypeError for an array that is not float32 or float64, ValueError for a slope that is not finite or an
    ``out`` that does not fit.
    """
    slope = number("leaky_relu", "slope", slope)
    (x,) = arrays("leaky_relu", x=x)
    y = output("leaky_relu", out, x.shape, (x,))
    if y.size:
        run(__package__, "leaky_relu", y.size, x.reshape(-1), x.dtype.type(slope), y.reshape(-1))
    return y


def leaky_relu_grad(gy: np.ndarray, x: np.ndarray, slope: float, *, out: np.ndarray | None = None) -> np.ndarray:
    """Return the gradient of ``leaky_relu`` at ``x``: ``gy`` where x is positive, ``slope * gy`` elsewhere.

    At x == 0 the slope counts, which is PyTorch's choice among the subgradients. With ``slope`` 0 an infinite gy
    is still 0 wherever x <= 0.

    gy and x have one shape and dtype; ValueError or TypeError otherwise.
    """
    slope = number("leaky_relu_grad", "slope", slope)
    gy, x = arrays("leaky_relu_grad", gy=gy, x=x)
    if gy.shape != x.shape:
        raise ValueError(f"leaky_relu_grad: gy.shape={gy.shape} but x.shape={x.shape}; they must be equal")
    gx = output("leaky_relu_grad", out, x.shape, (gy, x))
    if gx.size:
        run(__package__, "leaky_relu_grad", gx.size, gy.reshape(-1), x.reshape(-1), x.dtype.type(slope), gx.reshape(-1))
    return gx
