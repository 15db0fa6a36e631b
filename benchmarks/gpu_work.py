"""What `benchmarks.gpu_session` times, ours and PyTorch's, and the clock that it uses."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.gpu import EventClock
from benchmarks.step.pytorch import networks
from benchmarks.step.workloads import IMAGE, LATENT
from scratchgan import kernels
from scratchgan.kernels.cuda_compile import CuPyRunner
from scratchgan.kernels.cuda_source import Program
from scratchgan.kernels.launch import KERNELS


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
PASSES = ("forward", "input_grad", "weight_grad")


class Clock:
    """Times work on the current stream: kernels with events, steps by the host's clock."""

    def __init__(self, cupy: Any, rounds: int):
        self.cupy, self.rounds = cupy, rounds
        self.events = EventClock(cupy)

    def median(self, work: Callable[[], Any], cold: bool) -> float:
        """Return the median time of ``work``, in seconds; ``cold``: with none of its data in the L2 cache."""
        return self.events.median(work, cold, self.rounds)

    def host_median(self, step: Callable[[], Any], steps: int = 10) -> float:
        """Return the median time of a step by the host's clock, ``steps`` of them between two waits for the GPU."""
        for _ in range(3):  # compiles, captures, launches
            step()
        self.wait()
        times = []
        for _ in range(self.rounds):
            start = time.perf_counter()
            for _ in range(steps):
                step()
            self.wait()
            times.append((time.perf_counter() - start) / steps)
        return statistics.median(times)

    def wait(self) -> None:
        self.cupy.cuda.Device().synchronize()


class Peer:
    """PyTorch on the same device: its work is put on CuPy's current stream, so that the same events time it.

    That stream must be a created one (`own_stream`): PyTorch 2.11 does not take the address 0 of the default stream
    for CuPy's default stream, and its work would run beside the events.
    """

    def __init__(self, torch: Any, cupy: Any):
        self.torch = torch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"  # the latter in a dry run
        self.stream = contextlib.nullcontext
        if self.device == "cuda":
            torch.backends.cudnn.benchmark = True  # cuDNN measures its algorithms, and the fastest counts
            pointer = cupy.cuda.get_current_stream().ptr
            if pointer == 0:
                raise RuntimeError("PyTorch is timed on a stream of CuPy's own: `with own_stream(cupy):` around it")
            self.stream = lambda: torch.cuda.stream(torch.cuda.ExternalStream(pointer))

    def precision(self, tf32: bool) -> None:
        self.torch.backends.cudnn.allow_tf32 = self.torch.backends.cuda.matmul.allow_tf32 = tf32

    def on_stream(self, work: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> None:
            with self.stream():
                work()

        return run


def own_stream(cupy: Any) -> Any:
    """Return a new stream, to be used in a ``with`` statement: CuPy's and PyTorch's work share it."""
    return cupy.cuda.Stream(non_blocking=True)


def seen_by(clock: Clock, peer: Peer) -> float:
    """Return how long PyTorch's copy of 256 MiB takes by ``clock``, as a multiple of CuPy's.

    About 1; a clock that does not see the peer's stream says about 0.
    """
    count = 2**26
    source, target = clock.cupy.ones(count, "float32"), clock.cupy.empty(count, "float32")
    theirs = [peer.torch.ones(count, device=peer.device) for _ in range(2)]

    def copy() -> None:
        target[...] = source

    return clock.median(peer.on_stream(lambda: theirs[0].copy_(theirs[1])), True) / clock.median(copy, True)


def programs() -> list[Program]:
    """Return every program that the kernels are compiled as: each source in each configuration and type."""
    folder = Path(kernels.__file__).parent
    for path in sorted(folder.glob("*/gpu.py")):
        import_module(f"scratchgan.kernels.{path.parent.name}.gpu")
    shipped = [kernel for kernel in KERNELS if folder in kernel.path.parents]
    return list(dict.fromkeys(kernel.program(dtype) for kernel in shipped for dtype in kernel.types))


def compile_program(index: int) -> float:
    """Compile one of `programs` for the GPU at hand, and return the seconds; for a process of its own."""
    start = time.perf_counter()
    program = programs()[index]
    CuPyRunner().compiled(program, program.where)
    return time.perf_counter() - start


def convolution(layer: Layer, part: str, cupy: Any, precision: str) -> Callable[[], Any]:
    """Return one pass of a layer as its kernels run, without the wrappers' checks."""
    rng = np.random.default_rng(0)

    def array(*shape: int) -> Any:
        return cupy.asarray(rng.standard_normal(shape, np.float32))

    out, k = layer.output_size(), layer.k
    x, gy = array(layer.n, layer.c, layer.size, layer.size), array(layer.n, layer.o, out, out)
    w = array(layer.c, layer.o, k, k) if layer.kind == "transpose" else array(layer.o, layer.c, k, k)
    bias = cupy.empty(0, np.float32)
    stride, padding = (layer.s, layer.s), (layer.p, layer.p)
    if layer.kind == "upsample":
        gpu = import_module("scratchgan.kernels.upsample_conv.gpu")
        rest = ((2, 2), padding)
        calls = {
            "forward": lambda: gpu.upsample_conv2d(x, w, bias, 1.0, gy, *rest, precision=precision),
            "input_grad": lambda: gpu.upsample_conv2d_input_grad(gy, w, x, *rest, precision=precision),
            "weight_grad": lambda: gpu.upsample_conv2d_weight_grad(x, gy, w, *rest, precision=precision),
        }
        return calls[part]
    gpu = import_module("scratchgan.kernels.conv.gpu")
    rest = (stride, padding, (1, 1), 1)
    small, large = (gy, x) if layer.kind == "conv" else (x, gy)  # a transposed convolution swaps the two
    calls = {
        "small": lambda: gpu.conv2d(large, w, bias, 1.0, small, *rest, precision=precision),
        "large": lambda: gpu.conv2d_input_grad(small, w, bias, large, *rest, precision=precision),
        "weight_grad": lambda: gpu.conv2d_weight_grad(large, small, w, *rest, precision=precision),
    }
    names = (
        {"forward": "small", "input_grad": "large"}
        if layer.kind == "conv"
        else {"forward": "large", "input_grad": "small"}
    )
    return calls[names.get(part, part)]


def peer_convolution(layer: Layer, part: str, peer: Peer, channels_last: bool) -> Callable[[], Any]:
    torch = peer.torch
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.randn(layer.n, layer.c, layer.size, layer.size, device=peer.device).contiguous(memory_format=layout)
    if layer.kind == "upsample":
        large = torch.nn.functional.interpolate(x, scale_factor=2)
    shape = (layer.c, layer.o, layer.k, layer.k) if layer.kind == "transpose" else (layer.o, layer.c, layer.k, layer.k)
    w = torch.randn(shape, device=peer.device).contiguous(memory_format=layout)
    out = layer.output_size()
    gy = torch.randn(layer.n, layer.o, out, out, device=peer.device).contiguous(memory_format=layout)
    transposed = layer.kind == "transpose"
    if part == "forward":
        operator = torch.nn.functional.conv_transpose2d if transposed else torch.nn.functional.conv2d
        if layer.kind == "upsample":
            return lambda: operator(torch.nn.functional.interpolate(x, scale_factor=2), w, None, layer.s, layer.p)
        return lambda: operator(x, w, None, layer.s, layer.p)
    mask = [part == "input_grad", part == "weight_grad", False]
    source = large if layer.kind == "upsample" else x

    def backward() -> Any:
        gx, gw, _ = torch.ops.aten.convolution_backward(
            gy, source, w, None, [layer.s] * 2, [layer.p] * 2, [1, 1], transposed, [0, 0], 1, mask
        )
        if layer.kind == "upsample" and part == "input_grad":
            n, c, h, v = gx.shape
            return torch.ops.aten.upsample_nearest2d_backward(gx, [h, v], [n, c, h // 2, v // 2], 2.0, 2.0)
        return gx if part == "input_grad" else gw

    return backward


def peer_step(peer: Peer, name: str, batch: int) -> Callable[[], Any]:
    torch = peer.torch
    latent, shape = LATENT[name], IMAGE[name]
    g, d = (net.to(peer.device) for net in networks(torch, name))
    adam_g, adam_d = (torch.optim.Adam(net.parameters(), 2e-4, betas=(0.5, 0.999)) for net in (g, d))
    real = torch.rand(batch, *shape, device=peer.device) * 2 - 1
    one, zero = torch.ones(batch, 1, device=peer.device), torch.zeros(batch, 1, device=peer.device)
    bce = torch.nn.functional.binary_cross_entropy_with_logits

    def step() -> None:
        fake = g(torch.randn(batch, latent, device=peer.device))
        adam_d.zero_grad()
        (bce(d(real), one) + bce(d(fake.detach()), zero)).backward()
        adam_d.step()
        adam_g.zero_grad()
        bce(d(fake), one).backward()
        adam_g.step()

    return peer.on_stream(step)
