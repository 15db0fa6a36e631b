"""PyTorch, in its default memory layout and in channels_last; on a GPU its convolutions are cuDNN's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..descriptor import Problem
from ..problem import Arrays
from ..reference import EPSILON, FIR
from . import Implementation, Unimplemented


class PyTorch(Implementation):
    requires = "torch>=2.1"
    # oneDNN picks Winograd for some shapes, which rounds integers and is less exact on the rest.
    exact = False
    tolerance = 8.0

    def __init__(self, name: str, channels_last: bool, device: str = "cpu", compiled: bool = False):
        self.name, self.channels_last, self.device, self.compiled = name, channels_last, device, compiled
        self.only_by_name = compiled

    def unavailable(self) -> str:
        reason = super().unavailable()
        if not reason and self.device == "cuda":
            import torch

            reason = "" if torch.cuda.is_available() else "torch sees no CUDA device"
        return reason

    def set_threads(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)

    def build(self, problem: Problem, arrays: Arrays) -> Callable[[], Any]:
        import torch

        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        tensors = {}
        for name, array in arrays.items():
            tensor = torch.from_numpy(array).to(self.device)
            tensors[name] = tensor.contiguous(memory_format=layout) if tensor.ndim == 4 else tensor
        if problem.op == "ip" and self.channels_last:
            raise Unimplemented("matrices have no layout of channels")
        run = _passes(torch, problem, tensors)
        if self.compiled:
            run = torch.compile(run, dynamic=False)
        return run

    def fetch(self, result: Any) -> tuple[np.ndarray, ...]:
        several = result if isinstance(result, (tuple, list)) else (result,)
        return tuple(tensor.contiguous().cpu().numpy() for tensor in several)


def _passes(torch: Any, p: Problem, t: dict[str, Any]) -> Callable[[], Any]:
    """The pass as PyTorch's autograd would run it: what its forward keeps is made here, and is not timed."""
    functional, aten = torch.nn.functional, torch.ops.aten
    forward, gy, x = p.direction.startswith("FWD"), t.get("gy"), t.get("x")
    if p.op == "ip":
        if forward:
            return lambda: functional.linear(x, t["w"], t.get("bias"))
        return (lambda: gy @ t["w"]) if p.direction == "BWD_D" else (lambda: gy.T @ x)
    if p.op == "bnorm":
        if forward:
            return lambda: functional.batch_norm(x, None, None, t["weight"], t["beta"], True, 0.1, EPSILON)
        _, mean, invstd = aten.native_batch_norm(x, t["weight"], t["weight"], None, None, True, 0.1, EPSILON)
        return lambda: aten.native_batch_norm_backward(
            gy, x, t["weight"], None, None, mean, invstd, True, EPSILON, [True, True, True]
        )
    if p.op == "pool":
        return _pool(functional, aten, p, gy, x)
    if p.op == "resampling" and p.algorithm == "fir":
        return _fir(torch, functional, p, gy, x)
    if p.op == "resampling":
        mode = "bilinear" if p.algorithm == "linear" else "nearest"
        if forward:
            more = {"align_corners": False} if mode == "bilinear" else {}
            return lambda: functional.interpolate(x, scale_factor=tuple(map(float, p.scale)), mode=mode, **more)
        size = [p.mb, p.ic, *p.image]
        if mode == "bilinear":
            return lambda: aten.upsample_bilinear2d_backward(gy, list(p.output), size, False)
        return lambda: aten.upsample_nearest2d_backward(gy, list(p.output), size)
    return _convolution(torch, functional, aten, p, t)


def _fir(torch: Any, functional: Any, p: Problem, gy: Any, x: Any) -> Callable[[], Any]:
    """As a depthwise transposed convolution."""
    taps = np.outer(FIR, FIR) * math.prod(p.scale)
    like = x if p.direction.startswith("FWD") else gy
    w = torch.from_numpy(taps).to(like.dtype).to(like.device).expand(p.ic, 1, 4, 4).contiguous()
    if p.scale != (2, 2):
        raise Unimplemented("a transposed convolution pads both sides alike: only factor 2 is the same")
    if p.direction.startswith("FWD"):
        return lambda: functional.conv_transpose2d(x, w, None, 2, 1, 0, p.ic)
    return lambda: functional.conv2d(gy, w, None, 2, 1, 1, p.ic)


def _pool(functional: Any, aten: Any, p: Problem, gy: Any, x: Any) -> Callable[[], Any]:
    forward = p.direction.startswith("FWD")
    window = (list(p.kernel), list(p.stride), list(p.padding))
    if p.algorithm == "max":
        if forward:
            return lambda: functional.max_pool2d(x, *window)
        index = aten.max_pool2d_with_indices(x, *window)[1]
        return lambda: aten.max_pool2d_with_indices_backward(gy, x, *window, [1, 1], False, index)
    include = p.algorithm == "avg_p"
    if forward:
        return lambda: functional.avg_pool2d(x, *window, False, include)
    return lambda: aten.avg_pool2d_backward(gy, x, *window, False, include, None)


def _convolution(torch: Any, functional: Any, aten: Any, p: Problem, t: dict[str, Any]) -> Callable[[], Any]:
    options = {"stride": p.stride, "padding": p.padding, "dilation": p.dilation, "groups": p.groups}
    scale = tuple(map(float, p.scale))
    enlarge = p.op == "upconv"

    def enlarged(image: Any) -> Any:
        return functional.interpolate(image, scale_factor=scale, mode="nearest")

    if p.direction.startswith("FWD"):
        x, w, bias = t["x"], t["w"], t.get("bias")
        if p.op == "deconv":
            return lambda: functional.conv_transpose2d(x, w, bias, p.stride, p.padding, 0, p.groups, p.dilation)
        if enlarge:
            return lambda: functional.conv2d(enlarged(x), w, bias, **options)
        return lambda: functional.conv2d(x, w, bias, **options)

    # The other operand gives only its shape and layout where its gradient is wanted.
    gy = t["gy"]
    large = [p.mb, p.ic, p.image[0] * p.scale[0], p.image[1] * p.scale[1]]
    layout = torch.channels_last if gy.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    if p.direction == "BWD_D":
        w, mask = t["w"], [True, False, False]
        x = torch.empty(large, dtype=gy.dtype, device=gy.device).contiguous(memory_format=layout)
    else:
        # The enlarged image is kept for the weight gradient, as PyTorch's autograd does.
        x, mask = enlarged(t["x"]) if enlarge else t["x"], [False, True, False]
        shape = [p.ic, p.oc // p.groups] if p.op == "deconv" else [p.oc, p.ic // p.groups]
        w = torch.empty([*shape, *p.kernel], dtype=gy.dtype, device=gy.device).contiguous(memory_format=layout)

    def backward() -> Any:
        # gradient, input, weight, bias sizes, stride, padding, dilation, transposed, output padding, groups, which
        return aten.convolution_backward(
            gy, x, w, [p.oc], list(p.stride), list(p.padding), list(p.dilation), p.op == "deconv", [0, 0], p.groups,
            mask,
        )[mask.index(True)]  # fmt: skip

    if enlarge and p.direction == "BWD_D":
        return lambda: aten.upsample_nearest2d_backward(backward(), large[2:], [p.mb, p.ic, *p.image])
    return backward


IMPLEMENTATIONS = [
    PyTorch("pytorch:nchw", channels_last=False),
    PyTorch("pytorch:nhwc", channels_last=True),
    PyTorch("pytorch-compiled:nchw", channels_last=False, compiled=True),  # needs a C++ compiler
    PyTorch("pytorch-compiled:nhwc", channels_last=True, compiled=True),
    PyTorch("pytorch-cudnn:nchw", channels_last=False, device="cuda"),
    PyTorch("pytorch-cudnn:nhwc", channels_last=True, device="cuda"),
]
