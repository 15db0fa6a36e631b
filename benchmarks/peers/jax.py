"""JAX: each pass compiled by XLA; gradients are those of its own autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..descriptor import Problem
from ..problem import Arrays, shapes
from . import Implementation, Unimplemented


class Jax(Implementation):
    name = "jax"
    requires = "jax>=0.4.30"
    exact = False
    tolerance = 8.0

    def build(self, problem: Problem, arrays: Arrays) -> Callable[[], Any]:
        import jax

        if problem.dtype == "float64":
            raise Unimplemented("JAX is in its 32-bit mode")
        if problem.op not in ("conv", "upconv", "ip", "deconv"):
            raise Unimplemented(f"{problem.op} is not written down for JAX")
        a = {name: jax.device_put(array) for name, array in arrays.items()}
        forward = _forward(jax, problem)
        if problem.direction.startswith("FWD"):
            compiled = jax.jit(lambda x, w, b: forward(x, w) + (0 if b is None else b))
            bias = a.get("bias")
            if bias is not None and problem.op != "ip":
                bias = bias[:, None, None]
            return lambda: compiled(a["x"], a["w"], bias).block_until_ready()
        sizes = shapes(problem)
        if problem.direction == "BWD_D":
            other = jax.ShapeDtypeStruct(sizes["x"], "float32")
            compiled = jax.jit(lambda gy, w: jax.linear_transpose(lambda x: forward(x, w), other)(gy)[0])
            return lambda: compiled(a["gy"], a["w"]).block_until_ready()
        other = jax.ShapeDtypeStruct(sizes["w"], "float32")
        compiled = jax.jit(lambda gy, x: jax.linear_transpose(lambda w: forward(x, w), other)(gy)[0])
        return lambda: compiled(a["gy"], a["x"]).block_until_ready()


def _forward(jax: Any, p: Problem) -> Callable[[Any, Any], Any]:
    if p.op == "ip":
        return lambda x, w: x @ w.T
    layout = ("NCHW", "OIHW", "NCHW")
    if p.op == "deconv":
        if p.groups > 1:
            raise Unimplemented("no groups in its transposed convolution")
        reach = [d * (k - 1) for k, d in zip(p.kernel, p.dilation, strict=True)]
        padding = [(r - pad, r - pad) for r, pad in zip(reach, p.padding, strict=True)]

        def transposed(x: Any, w: Any) -> Any:
            mirrored = w.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
            return jax.lax.conv_general_dilated(
                x, mirrored, (1, 1), padding, lhs_dilation=p.stride, rhs_dilation=p.dilation, dimension_numbers=layout
            )

        return transposed

    def convolution(x: Any, w: Any) -> Any:
        if p.op == "upconv":
            x = x.repeat(p.scale[0], axis=2).repeat(p.scale[1], axis=3)
        return jax.lax.conv_general_dilated(
            x, w, p.stride, [(pad, pad) for pad in p.padding], rhs_dilation=p.dilation, dimension_numbers=layout,
            feature_group_count=p.groups,
        )  # fmt: skip

    return convolution


IMPLEMENTATIONS = [Jax()]
