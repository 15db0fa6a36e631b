"""Ninja mode: a vjp is hidden, the reader types NumPy, and the page compares with what the engine computed.

Each exercise is a small program. It is run here, on fixed numbers in float64, and what the reader sees are the arrays
that went in, those that the forward made, the gradient that arrived, and not the gradient that the engine then
returned. The page interprets a small part of NumPy (``page/numpy.js``) and compares element by element. A solution is
given for the one who asks, and the tests solve every exercise with it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import ops
from ..autograd import grad
from ..tensor import Tensor


@dataclass(frozen=True)
class Exercise:
    """``shapes``: of the inputs, which are drawn. ``program``: from Tensors to y. ``by``: whose gradient is asked for.

    ``shown``: what of (inputs, y, gy) may be used beside the inputs. ``solution``: in the page's NumPy."""

    title: str
    text: str
    shapes: dict[str, tuple[int, ...]]
    program: Callable[..., Tensor]
    by: str
    solution: str
    hint: str
    positive: bool = False


def _r1(x: Tensor, w: Tensor) -> Tensor:
    score = (ops.tanh(x) * w).sum()
    (slope,) = grad(score, x, create_graph=True)
    return (slope * slope).sum() * 0.5


def _batch_norm(x: Tensor, weight: Tensor) -> Tensor:
    return ops.batch_norm(x, None, None, weight, Tensor(np.zeros(weight.shape)), training=True, eps=0.0)


COURSE = (
    Exercise("Multiply", "y = a * b. What reaches a?", {"a": (2, 3), "b": (2, 3)}, lambda a, b: a * b, "a", "gy * b",
             "Hold b: how much does y move when a moves by one?"),
    Exercise("Divide", "y = a / b. What reaches b?", {"a": (2, 3), "b": (2, 3)}, lambda a, b: a / b, "b",
             "-gy * a / b**2", "d(1/b)/db = -1/b²", True),
    Exercise("Tanh, from its output", "y = tanh(x). Use y and not x.", {"x": (3, 3)}, ops.tanh, "x",
             "gy * (1 - y**2)", "1 - tanh² is its slope"),
    Exercise("Leaky ReLU", "y = x where x > 0, and 0.2 * x elsewhere.", {"x": (3, 4)},
             lambda x: ops.leaky_relu(x, 0.2), "x", "np.where(x > 0, gy, 0.2 * gy)", "The slope depends on the sign"),
    Exercise("Broadcasting", "y = x + b: one b for each column. What reaches b?", {"x": (4, 3), "b": (3,)},
             lambda x, b: x + b, "b", "gy.sum(axis=0)", "b was used four times; what it gets back adds up"),
    Exercise("Mean", "y = x.mean(axis=1). What reaches x?", {"x": (3, 4)}, lambda x: x.mean(axis=1), "x",
             "gy.reshape(3, 1) * np.ones_like(x) / 4", "Each element has a quarter of the say"),
    Exercise("Matrix product, left", "y = a @ b. What reaches a?", {"a": (2, 3), "b": (3, 4)}, lambda a, b: a @ b,
             "a", "gy @ b.T", "The shapes leave one way to multiply gy with b"),
    Exercise("A linear layer's weight", "y = x @ w.T. What reaches w?", {"x": (4, 3), "w": (2, 3)},
             lambda x, w: x @ w.T, "w", "gy.T @ x", "w's shape is (2, 3): sum over the batch"),
    Exercise("Log-sum-exp", "y = log(sum(exp(x), axis=1)). What reaches x?", {"x": (3, 4)},
             lambda x: ops.logsumexp(x, 1), "x", "gy.reshape(3, 1) * np.exp(x - y.reshape(3, 1))",
             "Its gradient has a name: softmax"),
    Exercise("Softmax", "y = softmax(x) along axis 1. Use y.", {"x": (2, 4)}, lambda x: ops.softmax(x, 1), "x",
             "y * (gy - (gy * y).sum(axis=1, keepdims=True))", "Every output depends on every input of its row"),
    Exercise("Batch norm", "y = weight * (x - mean) / std for each column (eps = 0). What reaches x?",
             {"x": (5, 3), "weight": (3,)}, _batch_norm, "x",
             "xc = x - x.mean(axis=0)\nstd = np.sqrt((xc**2).mean(axis=0))\nxh = xc / std\n"
             "weight / std * (gy - gy.mean(axis=0) - xh * (gy * xh).mean(axis=0))",
             "Through mean and std gy loses its mean, and its part along x_hat"),
    Exercise("A convolution's weight", "y = conv2d(x, w), no padding. What reaches w? conv2d(x, w) is there.",
             {"x": (1, 1, 4, 4), "w": (1, 1, 2, 2)}, lambda x, w: ops.conv2d(x, w), "w", "conv2d(x, gy)",
             "Each weight met a window of x as large as gy"),
    Exercise("A convolution's input", "y = conv2d(x, w), no padding. What reaches x? np.flip(w, (2, 3)) turns w.",
             {"x": (1, 1, 4, 4), "w": (1, 1, 2, 2)}, lambda x, w: ops.conv2d(x, w), "x",
             "conv2d(gy, np.flip(w, (2, 3)), padding=1)",
             "gy[i, j] came from x[i + u, j + v] by w[u, v]; read from x's side, u and v run backwards"),
    Exercise("R1's second derivative", "s = (tanh(x) * w).sum();  g = ds/dx;  y = (g * g).sum() / 2.  What reaches w?",
             {"x": (3, 3), "w": (3, 3)}, _r1, "w", "gy * w * (1 - np.tanh(x)**2)**2",
             "g = w (1 - tanh²): y is an ordinary function of w"),
    Exercise("R1's second derivative, by x", "The same y. What reaches x?", {"x": (3, 3), "w": (3, 3)}, _r1, "x",
             "t = np.tanh(x)\ngy * w**2 * (1 - t**2) * -2 * t * (1 - t**2)",
             "d(1 - tanh²)/dx = -2 tanh (1 - tanh²)"),
)  # fmt: skip


@functools.cache
def _course() -> tuple[dict[str, Any], ...]:
    return tuple(_made(exercise, seed) for seed, exercise in enumerate(COURSE))


def course() -> list[dict[str, Any]]:
    """Return the exercises as JSON, with the arrays that the engine computed."""
    return list(_course())


def _made(exercise: Exercise, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    inputs = {}
    for name, shape in exercise.shapes.items():
        values = rng.uniform(0.5, 2, shape) if exercise.positive else rng.normal(size=shape)
        inputs[name] = Tensor(np.round(values, 2), requires_grad=True)
    y = exercise.program(**inputs)
    gy = Tensor(np.round(rng.normal(size=y.shape), 2))
    (answer,) = grad(y, inputs[exercise.by], gy)
    arrays = {**{name: t.data for name, t in inputs.items()}, "y": y.data, "gy": gy.data}
    return {
        "title": exercise.title, "text": exercise.text, "by": exercise.by, "hint": exercise.hint,
        "solution": exercise.solution, "arrays": {name: _listed(a) for name, a in arrays.items()},
        "answer": _listed(answer.data),
    }  # fmt: skip


def _listed(array: np.ndarray) -> dict[str, Any]:
    return {"sh": list(array.shape), "a": [float(v) for v in np.asarray(array, np.float64).ravel()]}
