"""Operators in plain NumPy, right and wrong, for testing the checker on something that is not ours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchgan.gradcheck import Kinks, Op

Array = NDArray[Any]


def windows(x: Array, kernel: tuple[int, ...], stride: Any, padding: Any, dilation: Any) -> Array:
    """(N, C, H, W) -> a copy (N, C, outH, outW, kH, kW) of the elements that each output sees."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = kernel, stride, padding, dilation
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    view = np.lib.stride_tricks.sliding_window_view(x, ((kh - 1) * dh + 1, (kw - 1) * dw + 1), (2, 3))
    return view[:, :, ::sh, ::sw, ::dh, ::dw]


def conv_forward(x: Array, w: Array, *, stride: Any, padding: Any, dilation: Any, groups: int = 1) -> Array:
    n, g = x.shape[0], groups
    seen = windows(x, w.shape[2:], stride, padding, dilation)
    seen = seen.reshape(n, g, -1, *seen.shape[2:])
    y = np.einsum("ngcijkl,gockl->ngoij", seen, w.reshape(g, -1, *w.shape[1:]))
    return np.ascontiguousarray(y.reshape(n, -1, *y.shape[3:]))


def conv_vjp(
    gy: Array, x: Array, w: Array, *, stride: Any, padding: Any, dilation: Any, groups: int = 1
) -> tuple[Array, Array]:
    (n, c, h, width), g = x.shape, groups
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    wg = w.reshape(g, -1, *w.shape[1:])
    gyg = gy.reshape(n, g, -1, *gy.shape[2:])
    seen = windows(x, w.shape[2:], stride, padding, dilation)
    gw = np.einsum("ngcijkl,ngoij->gockl", seen.reshape(n, g, -1, *seen.shape[2:]), gyg).reshape(w.shape)
    padded = np.zeros((n, c, h + 2 * ph, width + 2 * pw), x.dtype)
    oh, ow = gy.shape[2:]
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            share = np.einsum("ngoij,goc->ngcij", gyg, wg[..., i, j]).reshape(n, c, oh, ow)
            top, left = i * dh, j * dw
            padded[:, :, top : top + sh * oh : sh, left : left + sw * ow : sw][:, :, :oh, :ow] += share
    return padded[:, :, ph : ph + h, pw : pw + width].copy(), np.ascontiguousarray(gw)


def conv_loops(x: Array, w: Array, *, stride: Any, padding: Any, dilation: Any, groups: int = 1) -> Array:
    """The definition, in loops."""
    (n, _, h, width), (o, cg, kh, kw) = x.shape, w.shape
    out_h = (h + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    out_w = (width + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, o, out_h, out_w), np.result_type(x, w))
    for place in np.ndindex(n, o, out_h, out_w, cg, kh, kw):
        b, f, i, j, ch, a, e = place
        row = i * stride[0] - padding[0] + a * dilation[0]
        col = j * stride[1] - padding[1] + e * dilation[1]
        if 0 <= row < h and 0 <= col < width:
            y[b, f, i, j] += x[b, f // (o // groups) * cg + ch, row, col] * w[f, ch, a, e]
    return y


conv = Op(conv_forward, conv_vjp, linear_in=("x", "w"), reference=conv_loops, name="conv")
matmul = Op(
    lambda x, w: x @ w,
    lambda gy, x, w: (gy @ w.T, x.T @ gy),
    linear_in=("x", "w"),
    reference=lambda x, w: np.einsum("ij,jk->ik", x, w),
    name="matmul",
)
tanh = Op(lambda x: np.tanh(x), lambda gy, x: gy * (1 - np.tanh(x) ** 2), name="tanh")
relu = Op(
    lambda x: np.maximum(x, 0),
    lambda gy, x: gy * (x > 0),
    kinks=Kinks(at=(0.0,), rule="left"),
    name="relu",
)


def sum_to(g: Array, shape: tuple[int, ...]) -> Array:
    lead = g.ndim - len(shape)
    g = g.sum(tuple(range(lead)))
    return g.sum(tuple(k for k, n in enumerate(shape) if n == 1), keepdims=True)


multiply = Op(
    lambda a, b: a * b,
    lambda gy, a, b: (sum_to(gy * b, a.shape), sum_to(gy * a, b.shape)),
    linear_in=("a", "b"),
    name="multiply",
)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_vjp(gy: Array, x: Array) -> Array:
    y = softmax(x)
    return y * (gy - (gy * y).sum(-1, keepdims=True))


softmax_op = Op(softmax, softmax_vjp, name="softmax")
