"""Convolution kernels against PyTorch, layer by layer: ``python -m benchmarks.conv_layers [--json FILE]``.

Each operation is forward, input gradient or weight gradient of one layer of the reference networks. PyTorch runs in
its default memory layout and in channels_last; its better median counts. All candidates take turns within each
round, so that a change of the machine's speed meets all of them alike, and the figure is a ratio of medians.

Without PyTorch the times of the kernels alone are printed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import add_options, prepare, sample
from scratchgan import kernels


class Layer(NamedTuple):
    """A layer: batch, channels in, size (before any upsampling), channels out, kernel, stride and padding."""

    name: str
    n: int
    c: int
    size: int
    o: int
    k: int
    s: int
    p: int
    kind: str = "conv"

    def output_size(self) -> int:
        if self.kind == "upsample":
            return 2 * self.size + 2 * self.p - self.k + 1
        if self.kind == "transpose":
            return (self.size - 1) * self.s - 2 * self.p + self.k
        return (self.size + 2 * self.p - self.k) // self.s + 1

    def flops(self) -> int:
        """Multiplications and additions of the operation as it is defined, whatever an algorithm saves."""
        positions = self.size if self.kind == "transpose" else self.output_size()
        return 2 * self.n * positions**2 * self.c * self.o * self.k**2


LAYERS = [
    Layer("D28.1", 64, 1, 28, 64, 4, 2, 1),
    Layer("D28.2", 64, 64, 14, 128, 4, 2, 1),
    Layer("D64.1", 64, 3, 64, 64, 4, 2, 1),
    Layer("D64.2", 64, 64, 32, 128, 4, 2, 1),
    Layer("D64.3", 64, 128, 16, 256, 4, 2, 1),
    Layer("D64.4", 64, 256, 8, 512, 4, 2, 1),
    Layer("G64.2", 64, 128, 16, 64, 3, 1, 1),
    Layer("G64.3", 64, 64, 32, 64, 3, 1, 1),
    Layer("G64.out", 64, 64, 64, 3, 3, 1, 1),
    Layer("R3", 16, 256, 32, 256, 3, 1, 1),
    Layer("R1", 16, 256, 32, 256, 1, 1, 0),
    Layer("U28.1", 64, 128, 7, 128, 3, 1, 1, "upsample"),
    Layer("U28.2", 64, 128, 14, 64, 3, 1, 1, "upsample"),
    Layer("U64.1", 64, 512, 4, 256, 3, 1, 1, "upsample"),
    Layer("U64.2", 64, 256, 8, 128, 3, 1, 1, "upsample"),
    Layer("U64.3", 64, 128, 16, 64, 3, 1, 1, "upsample"),
    Layer("U64.4", 64, 64, 32, 64, 3, 1, 1, "upsample"),
    Layer("T.1", 64, 512, 4, 256, 4, 2, 1, "transpose"),
    Layer("T.2", 64, 256, 8, 128, 4, 2, 1, "transpose"),
    Layer("T.3", 64, 128, 16, 64, 4, 2, 1, "transpose"),
    Layer("T.out", 64, 64, 32, 3, 4, 2, 1, "transpose"),
]
THIN = {"D28.1", "D64.1", "G64.out"}
PASSES = ("forward", "input_grad", "weight_grad")


def inputs(layer: Layer) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x, w, bias and gy, normally distributed."""
    rng = np.random.default_rng(0)
    w_shape = (layer.c, layer.o) if layer.kind == "transpose" else (layer.o, layer.c)
    shapes = [
        (layer.n, layer.c, layer.size, layer.size),
        (*w_shape, layer.k, layer.k),
        (layer.o,),
        (layer.n, layer.o, layer.output_size(), layer.output_size()),
    ]
    x, w, bias, gy = (rng.standard_normal(shape, np.float32) for shape in shapes)
    return x, w, bias, gy


def ours(layer: Layer) -> dict[str, Callable[[], np.ndarray]]:
    """Return the three passes as the kernels of this project compute them."""
    x, w, bias, gy = inputs(layer)
    k = (layer.k, layer.k)
    if layer.kind == "upsample":
        return {
            "forward": lambda: kernels.upsample_conv2d(x, w, bias),
            "input_grad": lambda: kernels.upsample_conv2d_input_grad(gy, w),
            "weight_grad": lambda: kernels.upsample_conv2d_weight_grad(x, gy, k),
        }
    options: dict[str, Any] = {"stride": layer.s, "padding": layer.p}
    if layer.kind == "transpose":
        return {
            "forward": lambda: kernels.conv_transpose2d(x, w, bias, **options),
            "input_grad": lambda: kernels.conv2d(gy, w, **options),
            "weight_grad": lambda: kernels.conv2d_weight_grad(gy, x, k, **options),
        }
    return {
        "forward": lambda: kernels.conv2d(x, w, bias, **options),
        "input_grad": lambda: kernels.conv2d_input_grad(gy, w, x.shape[2:], **options),
        "weight_grad": lambda: kernels.conv2d_weight_grad(x, gy, k, **options),
    }


def pytorch(torch: Any, layer: Layer, channels_last: bool) -> dict[str, Callable[[], Any]]:
    """Return the three passes in PyTorch. The upsampled image is kept for the weight gradient, as its autograd does."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x, w, bias, gy = (torch.from_numpy(a) for a in inputs(layer))
    x, w, gy = (a.contiguous(memory_format=layout) for a in (x, w, gy))
    functional = torch.nn.functional

    def backward(image: Any, mask: list[bool]) -> Any:
        # gradient, input, weight, bias sizes, stride, padding, dilation, transposed, output padding, groups, which
        return torch.ops.aten.convolution_backward(
            gy, image, w, [layer.o], [layer.s] * 2, [layer.p] * 2, [1, 1], layer.kind == "transpose", [0, 0], 1, mask
        )  # fmt: skip

    if layer.kind == "upsample":
        size = [2 * layer.size] * 2
        large = functional.interpolate(x, scale_factor=2, mode="nearest")
        return {
            "forward": lambda: functional.conv2d(
                functional.interpolate(x, scale_factor=2, mode="nearest"), w, bias, padding=layer.p
            ),
            "input_grad": lambda: torch.ops.aten.upsample_nearest2d_backward(
                backward(large, [True, False, False])[0], size, list(x.shape)
            ),
            "weight_grad": lambda: backward(large, [False, True, False])[1],
        }
    forward = functional.conv_transpose2d if layer.kind == "transpose" else functional.conv2d
    return {
        "forward": lambda: forward(x, w, bias, stride=layer.s, padding=layer.p),
        "input_grad": lambda: backward(x, [True, False, False])[0],
        "weight_grad": lambda: backward(x, [False, True, False])[1],
    }


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser, rounds=11)
    parser.add_argument("--layers", nargs="*", help="names of layers, such as D64.1; all if not given")
    parser.add_argument("--passes", nargs="*", choices=PASSES, default=PASSES)
    options = parser.parse_args()
    torch = prepare(options)

    records, ratios = [], {}
    print(f"{'layer':8} {'pass':12} {'ms':>8} {'GFLOP/s':>8}   PyTorch: {'NCHW ms':>8} {'NHWC ms':>8} {'ratio':>6}")
    for layer in LAYERS:
        if options.layers and layer.name not in options.layers:
            continue
        all_passes = {"scratchgan": ours(layer)}
        if torch:
            all_passes["nchw"] = pytorch(torch, layer, False)
            all_passes["nhwc"] = pytorch(torch, layer, True)
        for name in options.passes:
            times = sample({who: passes[name] for who, passes in all_passes.items()}, options.rounds)
            medians = {who: statistics.median(values) for who, values in times.items()}
            own = medians.pop("scratchgan")
            text = f"{layer.name:8} {name:12} {own * 1e3:8.2f} {layer.flops() / own / 1e9:8.1f}"
            if medians:
                ratios[layer.name, name] = min(medians.values()) / own
                text += f"   {'':8} {medians['nchw'] * 1e3:9.2f} {medians['nhwc'] * 1e3:8.2f}"
                text += f" {ratios[layer.name, name]:6.2f}"
            print(text, flush=True)
            records.append({"layer": layer._asdict(), "pass": name, "seconds": times})
    families = {
        "convolution": lambda layer: layer.kind == "conv",
        "thin convolution": lambda layer: layer.name in THIN,
        "upsample + convolution": lambda layer: layer.kind == "upsample",
        "transposed convolution": lambda layer: layer.kind == "transpose",
    }
    for title, belongs in families.items():
        chosen = [ratios[key] for layer in LAYERS if belongs(layer) for key in ratios if key[0] == layer.name]
        if chosen:
            print(f"{title}: geometric mean {geometric_mean(chosen):.2f}, least {min(chosen):.2f}")
    if options.json:
        versions = {"numpy": np.__version__, "torch": torch.__version__ if torch else None}
        report = {"threads": options.threads, "versions": versions, "records": records}
        options.json.write_text(json.dumps(report))


if __name__ == "__main__":
    main()
