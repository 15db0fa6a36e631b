"""The kernels of this project: as they choose for themselves, and every path by its name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..descriptor import Problem
from ..problem import Arrays, shapes
from ..reference import EPSILON, FIR, fir_padding
from . import Implementation, Unimplemented

_CONVOLUTIONS = ("conv", "deconv", "upconv")


def _dispatched(p: Problem, a: Arrays) -> tuple[str, tuple[Any, ...], tuple[int, ...], tuple[Any, ...]]:
    """Return (operator, operands, shape of the result, options): how a pass reaches the table of paths."""
    # A transposed convolution is an input gradient, and its gradients are the other two.
    passed = {"FWD": "", "BWD_D": "_input_grad", "BWD_W": "_weight_grad"}
    turned = {"FWD": "_input_grad", "BWD_D": "", "BWD_W": "_weight_grad"}
    direction = p.direction if p.direction.startswith("BWD") else "FWD"
    suffix = (turned if p.op == "deconv" else passed)[direction]
    operator = ("upsample_conv2d" if p.op == "upconv" else "conv2d") + suffix
    operands: tuple[Any, ...]
    if direction == "BWD_W":
        operands = (a["gy"], a["x"]) if p.op == "deconv" else (a["x"], a["gy"])
    else:
        operands = (a["gy" if direction == "BWD_D" else "x"], a["w"])
        if operator != "upsample_conv2d_input_grad":
            operands += (a.get("bias", np.empty(0, p.dtype)),)
        if operator in ("conv2d", "upsample_conv2d"):
            operands += (np.dtype(p.dtype).type(1),)  # the slope: no activation
    shape = shapes(p)[{"FWD": "gy", "BWD_D": "x", "BWD_W": "w"}[direction]]
    options = (p.scale, p.padding) if p.op == "upconv" else (p.stride, p.padding, p.dilation, p.groups)
    return operator, operands, shape, options


class Ours(Implementation):
    """The public functions, which choose a path by the shapes."""

    name = "ours"
    tolerance = 8.0  # whichever path is chosen, it must be within the widest bound

    def is_exact(self, problem: Problem) -> bool:
        from scratchgan.kernels.conv.paths import chosen

        if problem.op not in ("conv", "deconv"):
            return True  # the tiles of upsampling convolutions add and multiply by 1 and -1 only
        arrays = {name: np.empty(shape, problem.dtype) for name, shape in shapes(problem).items()}
        operator, operands, shape, options = _dispatched(problem, arrays)
        return chosen(operator, *operands, np.empty(shape, problem.dtype), *options) == "gemm"

    def set_threads(self, threads: int) -> None:
        from scratchgan import kernels

        kernels.set_num_threads(threads)

    def build(self, problem: Problem, arrays: Arrays) -> Callable[[], Any]:
        from scratchgan import kernels

        p, a, forward = problem, arrays, problem.direction.startswith("FWD")
        builder = getattr(self, f"_{p.op}", None)
        if builder is None:
            raise Unimplemented(f"matrix products are NumPy's here: see im2col ({p.op})")
        if p.op in _CONVOLUTIONS:
            return builder(kernels, p, a)
        return builder(kernels, p, a, forward)

    def _conv(self, kernels: Any, p: Problem, a: Arrays) -> Callable[[], Any]:
        options = {"stride": p.stride, "padding": p.padding, "dilation": p.dilation, "groups": p.groups}
        if p.direction == "BWD_D":
            return lambda: kernels.conv2d_input_grad(a["gy"], a["w"], p.image, **options)
        if p.direction == "BWD_W":
            return lambda: kernels.conv2d_weight_grad(a["x"], a["gy"], p.kernel, **options)
        return lambda: kernels.conv2d(a["x"], a["w"], a.get("bias"), **options)

    def _deconv(self, kernels: Any, p: Problem, a: Arrays) -> Callable[[], Any]:
        options = {"stride": p.stride, "padding": p.padding, "dilation": p.dilation, "groups": p.groups}
        if p.direction == "BWD_D":
            return lambda: kernels.conv2d(a["gy"], a["w"], **options)
        if p.direction == "BWD_W":
            return lambda: kernels.conv2d_weight_grad(a["gy"], a["x"], p.kernel, **options)
        return lambda: kernels.conv_transpose2d(a["x"], a["w"], a.get("bias"), **options)

    def _upconv(self, kernels: Any, p: Problem, a: Arrays) -> Callable[[], Any]:
        options = {"scale": p.scale, "padding": p.padding}
        if p.direction == "BWD_D":
            return lambda: kernels.upsample_conv2d_input_grad(a["gy"], a["w"], **options)
        if p.direction == "BWD_W":
            return lambda: kernels.upsample_conv2d_weight_grad(a["x"], a["gy"], p.kernel, **options)
        return lambda: kernels.upsample_conv2d(a["x"], a["w"], a.get("bias"), **options)

    def _resampling(self, kernels: Any, p: Problem, a: Arrays, forward: bool) -> Callable[[], Any]:
        if p.algorithm == "fir":
            padding = (fir_padding(p.scale[0]), fir_padding(p.scale[1]))
            taps = np.array(FIR) * math.sqrt(math.prod(p.scale))  # along both axes
            if forward:
                return lambda: kernels.upfirdn2d(a["x"], taps, p.scale, 1, padding)
            return lambda: kernels.upfirdn2d_grad(a["gy"], taps, p.image, p.scale, 1, padding)
        name = "upsample_bilinear2d" if p.algorithm == "linear" else "upsample_nearest2d"
        function = getattr(kernels, name if forward else f"{name}_grad")
        array = a["x" if forward else "gy"]
        return lambda: function(array, p.scale)

    def _pool(self, kernels: Any, p: Problem, a: Arrays, forward: bool) -> Callable[[], Any]:
        options: dict[str, Any] = {"stride": p.stride, "padding": p.padding}
        if p.algorithm == "max":
            if forward:
                return lambda: kernels.max_pool2d(a["x"], p.kernel, **options)[0]
            index = kernels.max_pool2d(a["x"], p.kernel, **options)[1]
            return lambda: kernels.max_pool2d_grad(a["gy"], index, p.image)
        options["count_include_pad"] = p.algorithm == "avg_p"
        if forward:
            return lambda: kernels.avg_pool2d(a["x"], p.kernel, **options)
        return lambda: kernels.avg_pool2d_grad(a["gy"], p.image, p.kernel, **options)

    def _bnorm(self, kernels: Any, p: Problem, a: Arrays, forward: bool) -> Callable[[], Any]:
        if forward:
            return lambda: kernels.batch_norm(a["x"], a["weight"], a["beta"], EPSILON)[0]
        _, mean, invstd = kernels.batch_norm(a["x"], a["weight"], a["beta"], EPSILON)
        return lambda: kernels.batch_norm_grad(a["gy"], a["x"], a["weight"], a["beta"], mean, invstd)


class OursByPath(Ours):
    """One path of the convolutions' dispatch table, called by its name: it computes, or it is not measured."""

    #: With every path the quick profile would compile twice as much as it uses.
    slow = True

    def __init__(self, path: str):
        self.name, self.path = f"ours:{path}", path

    def is_exact(self, problem: Problem) -> bool:
        return self.path == "gemm"

    def build(self, problem: Problem, arrays: Arrays) -> Callable[[], Any]:
        from scratchgan.kernels.conv.paths import PATHS
        from scratchgan.kernels.memory import empty

        if problem.op not in _CONVOLUTIONS:
            raise Unimplemented("only convolutions have several paths")
        operator, operands, shape, options = _dispatched(problem, arrays)
        table = PATHS[operator]
        if self.path not in table or not self._fits(problem):
            raise Unimplemented(f"{operator} has no path {self.path} for these sizes")

        def run() -> np.ndarray:
            # As the public functions do: fresh pages would cost more than the kernel.
            result = empty(shape, problem.dtype)
            if table[self.path](*operands, result, *options) is False:
                raise RuntimeError(f"the path {self.path} of {operator} gave up")
            return result

        return run

    def _fits(self, p: Problem) -> bool:
        if self.path != "tiles":
            return True
        from scratchgan.kernels.conv import fast

        if p.op == "upconv":
            return fast.upsample_conv2d_fits(p.kernel, p.scale)
        return fast.conv2d_fits(p.kernel, p.stride, p.dilation, p.groups)


class OursOnCuda(Ours):
    """The CUDA kernels: the same functions, given CuPy's arrays."""

    name = "ours-cuda"
    device = "cuda"

    def is_exact(self, problem: Problem) -> bool:
        return True

    def unavailable(self) -> str:
        from ..gpu import no_device

        return no_device()

    def set_threads(self, threads: int) -> None:
        pass

    def build(self, problem: Problem, arrays: Arrays) -> Callable[[], Any]:
        import cupy

        run = super().build(problem, {name: cupy.asarray(array) for name, array in arrays.items()})
        try:
            run()
        except (NotImplementedError, TypeError) as error:
            raise Unimplemented(f"no CUDA kernel: {error}") from None
        return run

    def fetch(self, result: Any) -> tuple[Any, ...]:
        return tuple(array.get() for array in (result if isinstance(result, tuple) else (result,)))


def paths() -> list[Implementation]:
    """An implementation for each path of the dispatch table, which is all that the CPU convolutions can choose from."""
    try:
        from scratchgan.kernels.conv.paths import PATHS
    except ModuleNotFoundError:  # another version of the kernels (compare runs this harness on it), without the table
        return []
    return [OursByPath(name) for name in dict.fromkeys(name for table in PATHS.values() for name in table)]


IMPLEMENTATIONS: list[Implementation] = [Ours(), *paths(), OursOnCuda()]
