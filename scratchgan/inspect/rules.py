"""The rule of each Function three times over: as a formula, as its Python, and as the kernels that compute it."""

from __future__ import annotations

import importlib
import inspect as python
import re
from pathlib import Path
from typing import Any

from .. import kernels

#: name -> (the forward, one vjp for each input). gy, gx, ga, gw: gradients of the loss by y, x, a, w.
FORMULAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Add": ("y = a + b", ("ga = gy, summed over what was broadcast", "gb = gy, summed over what was broadcast")),
    "Subtract": ("y = a - b", ("ga = gy", "gb = -gy")),
    "Multiply": ("y = a · b", ("ga = gy · b", "gb = gy · a")),
    "Divide": ("y = a / b", ("ga = gy / b", "gb = -gy · a / b²")),
    "Negative": ("y = -x", ("gx = -gy",)),
    "Power": ("y = xⁿ", ("gx = gy · n · xⁿ⁻¹",)),
    "PowerTensor": ("y = aᵇ", ("ga = gy · b · aᵇ⁻¹", "gb = gy · y · log a")),
    "Exp": ("y = exp x", ("gx = gy · y",)),
    "Log": ("y = log x", ("gx = gy / x",)),
    "Sqrt": ("y = √x", ("gx = gy / (2 y)",)),
    "Abs": ("y = |x|", ("gx = gy · sign x",)),
    "Clip": ("y = min(max(x, low), high)", ("gx = gy where low ≤ x ≤ high, else 0",)),
    "Where": ("y = a where c, else b", ("ga = gy where c, else 0", "gb = 0 where c, else gy")),
    "Maximum": ("y = max(a, b)", ("ga = gy where a > b; half of it where a = b", "gb = gy where b > a; half where =")),
    "Tanh": ("y = tanh x", ("gx = gy · (1 - y²)",)),
    "TanhGrad": ("z = gy · (1 - y²)", ("g(gy) = gz · (1 - y²)", "g(y) = -2 gz · gy · y")),
    "Sigmoid": ("y = 1 / (1 + exp(-x))", ("gx = gy · y · (1 - y)",)),
    "Softplus": ("y = log(1 + exp x)", ("gx = gy · sigmoid x",)),
    "LeakyRelu": ("y = x where x > 0, else s · x", ("gx = gy where y > 0, else s · gy",)),
    "LeakyReluGrad": ("z = gy where y > 0, else s · gy", ("g(gy) = gz where y > 0, else s · gz", "0")),
    "Matmul": ("y = a b", ("ga = gy bᵀ", "gb = aᵀ gy")),
    "Linear": ("y = x wᵀ + b", ("gx = gy w", "gw = gyᵀ x", "gb = Σₙ gy")),
    "Sum": ("y = Σ x", ("gx = gy, repeated along what was summed",)),
    "SumTo": ("y = x, summed to a smaller shape", ("gx = gy, repeated",)),
    "BroadcastTo": ("y = x, repeated", ("gx = gy, summed over the copies",)),
    "Max": ("y = max x", ("gx = gy at the largest element, shared between equal ones",)),
    "LogSumExp": ("y = log Σ exp x", ("gx = gy · exp(x - y), which is gy · softmax x",)),
    "Reshape": ("y = x in another shape", ("gx = gy in x's shape",)),
    "Transpose": ("y = x, axes in another order", ("gx = gy, axes in the order before",)),
    "GetItem": ("y = x[index]", ("gx = 0, with gy added in at index",)),
    "PutItem": ("y = 0, with x added in at index", ("gx = gy[index]",)),
    "Concatenate": ("y = the xs one after the other", ("each gx = its piece of gy",)),
    "Pad": ("y = x with a border", ("gx = gy without the border",)),
    "Flip": ("y = x reversed", ("gx = gy reversed",)),
    "AsType": ("y = x in another dtype", ("gx = gy in x's dtype",)),
    "Convolve": (
        "y[n,o,i,j] = Σ c,u,v  w[o,c,u,v] · x[n,c, s·i+d·u-p, s·j+d·v-p]  (+ bias, then a leaky ReLU if there is one)",
        (
            "gx[n,c,h,k] = Σ o,i,j  gy[n,o,i,j] · w[o,c,u,v]  with s·i+d·u-p = h: gy convolved with w turned by 180°",
            "gw[o,c,u,v] = Σ n,i,j  gy[n,o,i,j] · x[n,c, s·i+d·u-p, s·j+d·v-p]: x convolved with gy",
            "gbias[o] = Σ n,i,j  gy[n,o,i,j]",
        ),
    ),
    "ConvolveInputGrad": (
        "z = gy convolved with w turned by 180°",
        ("g(gy) = gz convolved with w: the convolution itself", "gw = gz convolved with gy"),
    ),
    "ConvolveWeightGrad": (
        "z = x convolved with gy",
        ("gx = gy convolved with gz turned by 180°", "g(gy) = x convolved with gz"),
    ),
    "ConvTranspose2d": (
        "y = x convolved with w turned by 180° (the gradient of a convolution, used forwards)",
        ("gx = gy convolved with w", "gw = gy convolved with x", "gbias[o] = Σ n,i,j  gy[n,o,i,j]"),
    ),
    "BatchNorm": (
        "x̂ = (x - mean) / √(var + ε),  y = weight · x̂ + bias",
        (
            "gx = weight / √(var + ε) · (gy - mean(gy) - x̂ · mean(gy · x̂))",
            "gweight = Σ gy · x̂",
            "gbias = Σ gy",
        ),
    ),
    "BinaryCrossEntropy": ("y = mean(log(1 + exp z) - t · z)", ("gz = gy · (sigmoid z - t) / N",)),
    "UpsampleNearest2d": ("y = x, each pixel repeated", ("gx = gy, summed over the copies",)),
    "UpsampleNearest2dGrad": ("z = gy, summed over the copies", ("g(gy) = gz, each pixel repeated",)),
    "UpsampleBilinear2d": ("y = A x, A interpolates", ("gx = Aᵀ gy",)),
    "UpsampleBilinear2dGrad": ("z = Aᵀ gy", ("g(gy) = A gz",)),
    "MaxPool2d": ("y = the largest pixel of each window", ("gx = gy at each window's winner, else 0",)),
    "MaxPool2dGrad": ("z = gy at each window's winner", ("g(gy) = gz, taken at the winners",)),
    "MaxPool2dGather": ("y = x, taken at the winners", ("gx = gy at the winners",)),
    "AvgPool2d": ("y = the mean of each window", ("gx = gy / window, spread over each window",)),
    "AvgPool2dGrad": ("z = gy / window, spread over each window", ("g(gy) = the mean of each window of gz",)),
}  # fmt: skip

#: name -> [(family, name in reference.py, in a Numba module "file:function", CUDA kernel)].
_CONV = [
    ("conv", "conv2d", "gemm:convolve", "convolve"),
    ("conv", "conv2d_input_grad", "gemm:multiply_into", "convolve"),
    ("conv", "conv2d_weight_grad", "weight_gemm:correlate", "reduce"),
]
_BY_UPSAMPLING = [
    ("upsample_conv", "upsample_conv2d", "cpu:upsample_conv2d", "fold"),
    ("upsample_conv", "upsample_conv2d_input_grad", "cpu:upsample_conv2d_input_grad", "fold"),
    ("upsample_conv", "upsample_conv2d_weight_grad", "cpu:upsample_conv2d_weight_grad", "unfold"),
]
_KERNELS: dict[str, list[tuple[str, str, str, str]]] = {
    "LeakyRelu": [
        ("activation", "leaky_relu", "cpu:leaky_relu", "leaky_relu"),
        ("activation", "leaky_relu_grad", "cpu:leaky_relu_grad", "leaky_relu_grad"),
    ],
    "LeakyReluGrad": [("activation", "leaky_relu_grad", "cpu:leaky_relu_grad", "leaky_relu_grad")],
    "Convolve": _CONV,
    "ConvolveInputGrad": _CONV,
    "ConvolveWeightGrad": _CONV,
    "ConvTranspose2d": _CONV,
    "Convolve upsampled": _BY_UPSAMPLING,
    "ConvolveInputGrad upsampled": _BY_UPSAMPLING,
    "ConvolveWeightGrad upsampled": _BY_UPSAMPLING,
    "BatchNorm": [
        ("norm", "batch_norm", "cpu:batch_norm", "batch_norm_apply"),
        ("norm", "batch_norm_grad", "cpu:batch_norm_grad", "batch_norm_grad_apply"),
    ],
    "BinaryCrossEntropy": [("loss", "bce_with_logits", "cpu:bce_with_logits", "bce")],
    "MaxPool2d": [
        ("pool", "max_pool2d", "cpu:max_pool", "max_pool"),
        ("pool", "max_pool2d_grad", "cpu:max_pool_grad", "max_pool_grad"),
    ],
    "AvgPool2d": [
        ("pool", "avg_pool2d", "cpu:avg_pool", "avg_pool"),
        ("pool", "avg_pool2d_grad", "cpu:avg_pool_grad", "avg_pool_grad"),
    ],
    "UpsampleNearest2d": [
        ("upsample", "upsample_nearest2d", "cpu:nearest", "nearest"),
        ("upsample", "upsample_nearest2d_grad", "cpu:nearest_grad", "nearest_grad"),
    ],
    "UpsampleBilinear2d": [
        ("upsample", "upsample_bilinear2d", "cpu:bilinear", "bilinear"),
        ("upsample", "upsample_bilinear2d_grad", "cpu:bilinear_grad", "bilinear_grad"),
    ],
}
_FOLDER = Path(kernels.__file__).parent


def key_of(function: Any) -> str:
    """Return under which key the rule of a Function is: its name, and which kind of convolution it is."""
    name = type(function).__name__
    upsampled = type(getattr(function, "geometry", None)).__name__ == "UpsampledGeometry"
    return f"{name} upsampled" if upsampled else name


def rule(function: Any) -> dict[str, Any]:
    """Return the rule of a Function as JSON: formula and vjps (none of one that is not the project's), sources."""
    kind = type(function)
    ours = kind.__module__.startswith(f"{__package__.split('.')[0]}.ops")
    forward, vjps = FORMULAS.get(kind.__name__, ("", ())) if ours else ("", ())
    return {
        "formula": forward,
        "vjps": list(vjps),
        "doc": python.getdoc(kind) or "",
        "python": _source(kind),
        "kernels": _kernels(key_of(function)) if ours else [],
    }


def _source(thing: Any) -> str:
    try:
        return python.getsource(thing)
    except (OSError, TypeError):
        return ""


def _kernels(key: str) -> list[dict[str, str]]:
    """Return the sources of the kernels behind a Function: the plain one, Numba's and CUDA's, forward and backward."""
    found = []
    for family, plain, compiled, cuda in _KERNELS.get(key, []):
        reference = importlib.import_module(f"{kernels.__name__}.{family}.reference")
        file, name = compiled.split(":")
        module = importlib.import_module(f"{kernels.__name__}.{family}.{file}")
        function = getattr(module, name)
        found += [
            {"what": f"{plain}: NumPy loops, the oracle", "file": f"kernels/{family}/reference.py",
             "text": _source(getattr(reference, plain))},
            {"what": f"{plain}: Numba", "file": f"kernels/{family}/{file}.py",
             "text": _source(getattr(function, "py_func", function))},
            {"what": f"{plain}: CUDA", "file": f"kernels/{family}/gpu.cu", "text": cuda_source(family, cuda)},
        ]  # fmt: skip
    return found


def cuda_source(family: str, kernel: str) -> str:
    """Return the text of one CUDA kernel, without the helpers that it calls."""
    text = (_FOLDER / family / "gpu.cu").read_text("utf-8")
    match = re.search(rf'^extern "C" __global__ [^\n]*?\b{kernel}\(.*?^}}', text, re.M | re.S)
    return match[0] if match else ""
