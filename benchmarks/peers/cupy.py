"""CuPy: columns and cuBLAS on a GPU. cuDNN's convolutions, which CuPy 14 no longer has, are under PyTorch's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..descriptor import Problem
from ..problem import Arrays
from . import Implementation, Unimplemented


class CuPy(Implementation):
    name = "cupy-im2col"
    device = "cuda"

    def unavailable(self) -> str:
        from ..gpu import no_device

        return no_device()

    def build(self, problem: Problem, arrays: Arrays) -> Callable[[], Any]:
        import cupy

        return build_with(cupy, problem, arrays)

    def fetch(self, result: Any) -> tuple[np.ndarray, ...]:
        return (result.get(),)


def build_with(xp: Any, problem: Problem, arrays: Arrays) -> Callable[[], Any]:
    """Build with the functions of ``xp``: CuPy's, or NumPy's where there is no GPU, which the tests use."""
    p = problem
    if p.op not in ("conv", "ip") or not p.direction.startswith("FWD") or p.groups > 1:
        raise Unimplemented("forward conv of one group, and ip")
    a = {name: xp.asarray(array) for name, array in arrays.items()}
    bias = a.get("bias", xp.zeros(p.oc, p.dtype))
    if p.op == "ip":
        return lambda: a["x"] @ a["w"].T + bias
    (ph, pw), (sh, sw), (dh, dw) = p.padding, p.stride, p.dilation
    (tall, wide), (kh, kw) = p.output, p.kernel

    def run() -> Any:
        padded = xp.pad(a["x"], ((0, 0), (0, 0), (ph, ph), (pw, pw)))
        columns = xp.empty((p.mb, p.ic, kh, kw, tall, wide), p.dtype)
        for u in range(kh):
            for v in range(kw):
                rows = slice(u * dh, u * dh + (tall - 1) * sh + 1, sh)
                columns[:, :, u, v] = padded[:, :, rows, v * dw : v * dw + (wide - 1) * sw + 1 : sw]
        y = a["w"].reshape(p.oc, -1) @ columns.reshape(p.mb, -1, tall * wide)
        return y.reshape(p.mb, p.oc, tall, wide) + bias[:, None, None]

    return run


IMPLEMENTATIONS = [CuPy()]
