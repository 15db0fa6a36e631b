"""The definition as loops, compiled by Numba, the images of the batch on all threads: what a first attempt gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..descriptor import Problem
from ..problem import Arrays
from . import Implementation, Unimplemented


def _compiled() -> tuple[Any, Any, Any]:
    """Compile the three loops: they are one sum, taken over different axes."""
    import numba

    jit = numba.njit(parallel=True, fastmath={"contract", "reassoc"}, error_model="numpy")

    @jit
    def forward(x: Any, w: Any, y: Any, geometry: Any) -> None:
        sh, sw, ph, pw, dh, dw, groups = geometry
        per_group, filters = w.shape[1], w.shape[0] // groups
        for n in numba.prange(y.shape[0]):
            for o in range(y.shape[1]):
                first = o // filters * per_group
                for i in range(y.shape[2]):
                    for j in range(y.shape[3]):
                        total = y.dtype.type(0)
                        for c in range(per_group):
                            for u in range(w.shape[2]):
                                row = i * sh + u * dh - ph
                                if 0 <= row < x.shape[2]:
                                    for v in range(w.shape[3]):
                                        column = j * sw + v * dw - pw
                                        if 0 <= column < x.shape[3]:
                                            total += x[n, first + c, row, column] * w[o, c, u, v]
                        y[n, o, i, j] = total

    @jit
    def input_grad(gy: Any, w: Any, gx: Any, geometry: Any) -> None:
        sh, sw, ph, pw, dh, dw, groups = geometry
        per_group, filters = w.shape[1], w.shape[0] // groups
        for n in numba.prange(gx.shape[0]):
            gx[n] = 0
            for o in range(gy.shape[1]):
                first = o // filters * per_group
                for i in range(gy.shape[2]):
                    for j in range(gy.shape[3]):
                        g = gy[n, o, i, j]
                        for c in range(per_group):
                            for u in range(w.shape[2]):
                                row = i * sh + u * dh - ph
                                if 0 <= row < gx.shape[2]:
                                    for v in range(w.shape[3]):
                                        column = j * sw + v * dw - pw
                                        if 0 <= column < gx.shape[3]:
                                            gx[n, first + c, row, column] += g * w[o, c, u, v]

    @jit
    def weight_grad(x: Any, gy: Any, gw: Any, geometry: Any) -> None:
        sh, sw, ph, pw, dh, dw, groups = geometry
        per_group, filters = gw.shape[1], gw.shape[0] // groups
        for o in numba.prange(gw.shape[0]):
            first = o // filters * per_group
            for c in range(per_group):
                for u in range(gw.shape[2]):
                    for v in range(gw.shape[3]):
                        total = gw.dtype.type(0)
                        for n in range(x.shape[0]):
                            for i in range(gy.shape[2]):
                                row = i * sh + u * dh - ph
                                if 0 <= row < x.shape[2]:
                                    for j in range(gy.shape[3]):
                                        column = j * sw + v * dw - pw
                                        if 0 <= column < x.shape[3]:
                                            total += x[n, first + c, row, column] * gy[n, o, i, j]
                        gw[o, c, u, v] = total

    return forward, input_grad, weight_grad


_loops: tuple[Any, Any, Any] | None = None


class Naive(Implementation):
    name = "naive"
    slow = True
    most_flops = 2e9  # a second

    def set_threads(self, threads: int) -> None:
        from scratchgan import kernels

        kernels.set_num_threads(threads)  # Numba's threads are the same ones

    def build(self, problem: Problem, arrays: Arrays) -> Callable[[], Any]:
        if problem.op not in ("conv", "deconv"):
            raise Unimplemented("loops for conv and deconv only")
        global _loops
        _loops = _loops or _compiled()
        forward, input_grad, weight_grad = _loops
        p = problem
        geometry = (*p.stride, *p.padding, *p.dilation, p.groups)
        direction, a = p.direction, arrays
        swapped = p.op == "deconv"
        if direction == "BWD_W":
            shape = (p.ic, p.oc // p.groups, *p.kernel) if swapped else (p.oc, p.ic // p.groups, *p.kernel)
            image, windows = (a["gy"], a["x"]) if swapped else (a["x"], a["gy"])
            return _into(shape, image, lambda out: weight_grad(image, windows, out, geometry))
        source = a["gy"] if direction == "BWD_D" else a["x"]
        shape = (p.mb, p.ic, *p.image) if direction == "BWD_D" else (p.mb, p.oc, *p.output)
        loop = input_grad if (direction == "BWD_D") != swapped else forward

        def fill(out: np.ndarray) -> None:
            loop(source, a["w"], out, geometry)
            if "bias" in a:
                out += a["bias"][:, None, None]

        return _into(shape, source, fill)


def _into(shape: tuple[int, ...], like: np.ndarray, fill: Callable[[np.ndarray], None]) -> Callable[[], np.ndarray]:
    def run() -> np.ndarray:
        out = np.empty(shape, like.dtype)
        fill(out)
        return out

    return run


IMPLEMENTATIONS = [Naive()]
