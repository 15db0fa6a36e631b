"""Everything that needs a GPU, in one command: ``python -m benchmarks.gpu_session [--only PART ...]``.

For a bare machine with CuPy, this checkout and no network; PyTorch, if it is there, is the peer. In under ten
minutes, each part within its own limit, it

    tests      runs the tests marked gpu: every operator, a training step and checkpoints on the device
    table      times convolutions, what is bound by memory, and GAN steps, against PyTorch with cuDNN
    train      trains a GAN on the CPU and on the GPU, on Fashion-MNIST if its files are there, else on toyfaces
    sanitizer  runs the operators once more under compute-sanitizer, if it is installed

and writes benchmarks/results/gpu-DEVICE.json after every part. Kernels are timed with events on the GPU, each launch
after a write of 256 MiB that empties the L2 cache ("cold") and without it ("warm"); the figure is a median. A step of
a GAN is timed from the host, to its end on the GPU. TF32 stands in lines of its own, with TF32 on both sides.

``--dry-run`` goes through the same code at tiny sizes without a GPU, on the tests' emulator; its times mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_work import LAYERS, PASSES, Clock, Layer, Peer, convolution, peer_convolution, peer_step
from benchmarks.step.workloads import IMAGE, LATENT
from scratchgan import Tensor, grad, kernels, ops
from scratchgan.data.mnist import FASHION_MNIST, find_local
from scratchgan.device import require_cuda
from scratchgan.models.gan import Discriminator, Generator, gan28, gan64
from scratchgan.optim import Adam

ROOT = Path(__file__).parent.parent
LIMITS = {"tests": 150, "table": 200, "train": 180, "sanitizer": 60}  # seconds; all together under ten minutes


def convolution_table(cupy: Any, clock: Clock, peer: Peer | None, layers: list[Layer], deadline: float) -> list[dict]:
    records = []
    for layer in layers:
        for part in PASSES:
            for precision in ("float32", "tf32"):
                if time.monotonic() > deadline:
                    print("  (out of time: the rest of the layers is left out)")
                    return records
                ours = convolution(layer, part, cupy, precision)
                record: dict[str, Any] = {"layer": layer.name, "kind": layer.kind, "pass": part, "precision": precision}
                record["seconds"] = {how: clock.median(ours, how == "cold") for how in ("cold", "warm")}
                if peer is not None:
                    peer.precision(precision == "tf32")
                    theirs = [peer.on_stream(peer_convolution(layer, part, peer, last)) for last in (False, True)]
                    record["pytorch"] = {
                        how: min(clock.median(work, how == "cold") for work in theirs) for how in ("cold", "warm")
                    }
                    record["ratio"] = {how: record["pytorch"][how] / record["seconds"][how] for how in ("cold", "warm")}
                records.append(record)
                rate = layer.flops() / record["seconds"]["cold"] / 1e12
                ratio = f"  ratio {record['ratio']['cold']:.2f}" if peer else ""
                print(f"  {layer.name:8} {part:12} {precision:8} {record['seconds']['cold'] * 1e6:9.1f} us "
                      f"{rate:6.2f} TFLOP/s{ratio}", flush=True)  # fmt: skip
    for kind, precision in [("layers", "float32"), ("layers", "tf32"), ("upsample", "float32"), ("upsample", "tf32")]:
        chosen = [
            r["ratio"]["cold"]
            for r in records
            if "ratio" in r and (r["kind"] == "upsample") == (kind == "upsample") and r["precision"] == precision
        ]
        if chosen:
            mean = math.exp(statistics.fmean(map(math.log, chosen)))
            print(f"  {kind} {precision}: geometric mean of PyTorch's time / ours {mean:.2f}")
    return records


def memory_table(cupy: Any, clock: Clock, shape: tuple[int, ...]) -> list[dict]:
    """What is bound by memory, as a share of the rate at which the device copies an array."""
    x = cupy.asarray(np.random.default_rng(0).standard_normal(shape, np.float32))
    source, target = cupy.ones(x.size * 4, np.float32), cupy.empty(x.size * 4, np.float32)

    def copy() -> None:
        target[...] = source

    rate = 2 * source.nbytes / clock.median(copy, True)
    print(f"  copy: {rate / 1e9:.0f} GB/s")
    weight, bias = cupy.ones(shape[1], np.float32), cupy.zeros(shape[1], np.float32)
    y, mean, invstd = kernels.batch_norm(x, weight, bias, 1e-5, 0.2)
    large = kernels.upsample_nearest2d(x, 2)
    state = [cupy.zeros(source.size, np.float32) for _ in range(3)]

    def adam() -> None:
        kernels.adam_step(state[0], source, *state[1:], step=1, lr=1e-3, beta1=0.5, beta2=0.999, eps=1e-8, out=state[0])

    work: dict[str, tuple[Callable[[], Any], int]] = {  # and the bytes that it must read and write
        "upsample_nearest2d": (lambda: kernels.upsample_nearest2d(x, 2), x.nbytes * 5),
        "upsample_nearest2d_grad": (lambda: kernels.upsample_nearest2d_grad(large, 2), x.nbytes * 5),
        "upsample_bilinear2d": (lambda: kernels.upsample_bilinear2d(x, 2), x.nbytes * 5),
        "upsample_bilinear2d_grad": (lambda: kernels.upsample_bilinear2d_grad(large, 2), x.nbytes * 5),
        "batch_norm + leaky_relu": (lambda: kernels.batch_norm(x, weight, bias, 1e-5, 0.2), x.nbytes * 3),
        "batch_norm_grad": (lambda: kernels.batch_norm_grad(y, x, weight, bias, mean, invstd, 0.2), x.nbytes * 5),
        "leaky_relu": (lambda: kernels.leaky_relu(x, 0.2), x.nbytes * 2),
        "adam_step": (adam, source.nbytes * 7),
    }
    records = []
    for name, (function, size) in work.items():
        seconds = clock.median(function, True)
        share = size / seconds / rate
        records.append({"kernel": name, "seconds": seconds, "bytes": size, "share_of_copy": share})
        print(f"  {name:26} {seconds * 1e6:9.1f} us  {size / seconds / 1e9:6.0f} GB/s  {share:.0%} of the copy")
    return records


def gan_steps(cupy: Any, clock: Clock, peer: Peer | None, networks: list[str], batch: int) -> list[dict]:
    """Update D and G once, as `python -m benchmarks step` does, on the device."""
    records = []
    for name in networks:
        make, latent, shape = (gan28 if name == "G28" else gan64), LATENT[name], IMAGE[name]
        rng = np.random.default_rng(0)
        g, d = (net.to("cuda") for net in make(generator=rng))
        adam_g, adam_d = (Adam(net.parameters(), 2e-4, betas=(0.5, 0.999)) for net in (g, d))
        real = Tensor(cupy.asarray(rng.uniform(-1, 1, (batch, *shape)).astype(np.float32)))

        def step(g=g, d=d, adam_g=adam_g, adam_d=adam_d, real=real, rng=rng, latent=latent) -> None:
            bce = ops.binary_cross_entropy_with_logits
            fake = g(Tensor(cupy.asarray(rng.standard_normal((batch, latent), np.float32))))
            loss = bce(d(real), 1.0) + bce(d(fake.detach()), 0.0)
            adam_d.step(grad(loss, d.parameters(), retain_graph=False))
            adam_g.step(grad(bce(d(fake), 1.0), g.parameters(), retain_graph=False))

        record: dict[str, Any] = {"network": name, "batch": batch, "seconds": clock.host_median(step)}
        if peer is not None:
            peer.precision(False)
            record["pytorch"] = clock.host_median(peer_step(peer, name, batch))
            record["ratio"] = record["pytorch"] / record["seconds"]
        records.append(record)
        ratio = f", PyTorch {record['pytorch'] * 1e3:.2f} ms, ratio {record['ratio']:.2f}" if peer else ""
        print(f"  {name}, batch {batch}, eager: {record['seconds'] * 1e3:.2f} ms{ratio}", flush=True)
    return records


def table(cupy: Any, dry: bool) -> dict[str, Any]:
    clock = Clock(cupy, rounds=15)
    peer = None
    with contextlib.suppress(ImportError):
        import torch

        if dry or torch.cuda.is_available():
            peer = Peer(torch, cupy)
    deadline = time.monotonic() + LIMITS["table"] * 0.6
    tiny = [Layer("tiny", 2, 3, 6, 4, 3, 1, 1), Layer("tiny.up", 1, 2, 4, 3, 3, 1, 1, "upsample"),
            Layer("tiny.t", 2, 4, 3, 2, 4, 2, 1, "transpose")]  # fmt: skip
    return {
        "memory": memory_table(cupy, clock, (1, 4, 8, 8) if dry else (256, 64, 32, 32)),
        "gan_step": [] if dry else gan_steps(cupy, clock, peer, list(LATENT), 64),
        "convolution": convolution_table(cupy, clock, peer, tiny if dry else LAYERS, deadline),
        "pytorch": peer.torch.__version__ if peer else None,
    }


def train(cupy: Any, dry: bool) -> dict[str, Any]:
    """The same run on both devices: how long each takes for as many steps, and how good its pictures are."""
    data = "fashion-mnist" if find_local(FASHION_MNIST, "train") else "toyfaces"
    if dry:
        net_g, net_d = (net.to("cuda") for net in tiny_networks())
        fake = net_g(Tensor(cupy.asarray(np.zeros((2, 4), np.float32))))
        gradients = grad(ops.mean(net_d(fake)), net_g.parameters())
        Adam(net_g.parameters(), 1e-3).step(gradients)
        return {"dry": [list(g.shape) for g in gradients]}
    record: dict[str, Any] = {"data": data}
    out = ROOT / "runs"
    for device, steps, limit in (("cuda", 3000, LIMITS["train"] * 0.4), ("cpu", 300, LIMITS["train"] * 0.5)):
        run = out / f"gpu-session-{device}-{int(time.time())}"
        command = [sys.executable, "-m", "scratchgan", "train", "--data", data, "--device", device, "--out", str(run)]
        start = time.perf_counter()
        outcome, _ = finished([*command, "--steps", str(steps), "--set", f"sample_every={steps}"], limit)
        seconds = time.perf_counter() - start
        log = run / "log.jsonl"
        done = [json.loads(line)["step"] for line in log.read_text().splitlines()] if log.is_file() else [0]
        record[device] = {"outcome": outcome, "steps": done[-1] if done else 0, "seconds": seconds, "run": str(run)}
        print(f"  {device}: {record[device]['steps']} steps in {seconds:.0f} s ({outcome})", flush=True)
    fast, slow = record["cuda"], record["cpu"]
    if fast["steps"] and slow["steps"]:
        record["steps_per_second"] = {d: record[d]["steps"] / record[d]["seconds"] for d in ("cuda", "cpu")}
        # Equal seeds give runs that are equal but for rounding, so the same quality is the same number of steps.
        record["speedup"] = record["steps_per_second"]["cuda"] / record["steps_per_second"]["cpu"]
        print(f"  the GPU gets to the same step {record['speedup']:.1f} times as fast")
    return record


def tiny_networks() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return Generator(8, 1, 4, 4, generator=rng), Discriminator(8, 1, 4, generator=rng)


def finished(command: list[str], limit: float) -> tuple[str, str]:
    """Run a command for at most ``limit`` seconds; return how it ended, and its output."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired as error:
        return f"stopped after {limit:.0f} s", str(error.stdout or "")
    if done.returncode:
        return f"exit {done.returncode}: {done.stderr.strip()[-500:]}", done.stdout
    return "finished", done.stdout


def tests(cupy: Any, dry: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/gpu"]
    outcome, output = finished(command + (["--collect-only"] if dry else []), LIMITS["tests"])
    print("\n".join(f"  {line}" for line in output.strip().splitlines()[-12:]))
    return {"outcome": outcome, "output": output[-4000:]}


def sanitizer(cupy: Any, dry: bool) -> dict[str, Any]:
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        print("  compute-sanitizer is not installed")
        return {"outcome": "compute-sanitizer is not installed"}
    record = {}
    for check in ("memcheck", "racecheck", "initcheck"):
        command = [tool, f"--tool={check}", "--error-exitcode=9", sys.executable, "-m", "pytest", "-q", "-m", "gpu"]
        command += ["tests/gpu", "-k", "operator and (conv2d or batch_norm or max_pool2d)"]
        outcome, output = ("dry run", "") if dry else finished(command, LIMITS["sanitizer"] / 3)
        record[check] = {"outcome": outcome, "output": output[-2000:]}
        print(f"  {check}: {outcome}")
    return record


PARTS: dict[str, Callable[[Any, bool], dict[str, Any]]] = {
    "tests": tests, "table": table, "train": train, "sanitizer": sanitizer,
}  # fmt: skip


@contextlib.contextmanager
def device(dry: bool) -> Iterator[Any]:
    """Give CuPy, or the tests' stand-in for it."""
    if not dry:
        yield require_cuda()
        return
    sys.path.insert(0, str(ROOT / "tests"))
    with import_module("emulator.stand_in").stand_in() as runner:
        yield runner.module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="these parts")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes, without a GPU; writes no result")
    parser.add_argument(
        "--out", type=Path, help="the file of the results (default: benchmarks/results/gpu-DEVICE.json)"
    )
    options = parser.parse_args()
    started = time.monotonic()
    with device(options.dry_run) as cupy:
        runtime = cupy.cuda.runtime
        name = runtime.getDeviceProperties(0)["name"].decode()
        report: dict[str, Any] = {
            "device": name,
            "versions": {
                "python": platform.python_version(),
                "cupy": cupy.__version__,
                "cuda": runtime.runtimeGetVersion(),
                "driver": runtime.driverGetVersion(),
                "nvrtc": ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
            },
            "commit": finished(["git", "rev-parse", "--short", "HEAD"], 10)[1].strip(),
        }
        out = options.out or ROOT / "benchmarks" / "results" / f"gpu-{re.sub(r'[^a-z0-9]+', '-', name.lower())}.json"
        print(f"{name}, {report['versions']}")
        for part in options.only:
            print(f"{part}:", flush=True)
            begun = time.monotonic()
            try:
                report[part] = PARTS[part](cupy, options.dry_run)
            except Exception as error:  # the other parts are worth having without this one
                if options.dry_run:
                    raise
                report[part] = {"outcome": f"{type(error).__name__}: {error}"}
                print(f"  failed: {report[part]['outcome']}")
            report[part]["wall_seconds"] = time.monotonic() - begun
            if not options.dry_run:
                out.write_text(json.dumps(report, indent=1))
    print(f"{time.monotonic() - started:.0f} s in all" + ("" if options.dry_run else f"; {out}"))


if __name__ == "__main__":
    main()
