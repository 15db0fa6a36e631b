"""Everything that needs a GPU, in one command: ``python -m benchmarks.gpu_session [--only PART ...]``.

For a bare machine with CuPy, this checkout and no network; PyTorch, if it is there, is the peer. In under ten
minutes, each part within its own limit, it

    compile    compiles every kernel, on all cores
    tests      runs the tests marked gpu: every operator, training steps plain and as a CUDA graph, checkpoints
    steps      times GAN steps, plain and as a CUDA graph, against PyTorch
    table      times what is bound by memory, and convolutions, against PyTorch with cuDNN
    train      trains a GAN on the GPU and on the CPU, on Fashion-MNIST if its files are there, else on toyfaces, and
               says how long each took to the same quality
    sanitizer  runs the operators once more under compute-sanitizer, if it is installed

and writes benchmarks/results/gpu-DEVICE.json and .md after every part; a part that fails, or for which no time is
left, says so there and the others go on. Kernels are timed with events on the GPU (`benchmarks.gpu`), after a write
that empties the L2 cache ("cold") and without it ("warm"); the figure is a median. A step of a GAN is timed from the
host, to its end on the GPU. TF32 stands in lines of its own, with TF32 on both sides.

``--dry-run`` goes through the same code at tiny sizes without a GPU, on the tests' emulator; its times mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import multiprocessing
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_report import markdown
from benchmarks.gpu_work import (
    LAYERS,
    PASSES,
    Clock,
    Layer,
    Peer,
    compile_program,
    convolution,
    own_stream,
    peer_convolution,
    peer_step,
    programs,
    seen_by,
)  # fmt: skip
from benchmarks.step.workloads import BATCH, IMAGE, LATENT
from scratchgan import Tensor, grad, kernels, ops
from scratchgan.cuda_graph import CapturedStep, from_host
from scratchgan.data.mnist import FASHION_MNIST, find_local
from scratchgan.device import require_cuda
from scratchgan.models.gan import Discriminator, Generator, gan28, gan64
from scratchgan.optim import Adam

ROOT = Path(__file__).parent.parent
LIMITS = {"compile": 60, "tests": 130, "steps": 60, "table": 140, "train": 170, "sanitizer": 40}  # seconds
BUDGET = 580.0  # seconds for all of them
LEAST = 15.0  # a part that has less left is skipped


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
        p, mean, square = state
        rule = {"step": 1, "lr": 1e-3, "beta1": 0.5, "beta2": 0.999, "eps": 1e-8}
        kernels.foreach_adam_step([p], [source], [mean], [square], **rule, out=[p])  # type: ignore[arg-type]

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


def gan_steps(cupy: Any, dry: bool, limit: float) -> dict[str, Any]:
    """Update D and G once, as `python -m benchmarks step` does, on the device: plain, and as a CUDA graph."""
    clock, peer = Clock(cupy, rounds=1 if dry else 7), open_peer(cupy)
    deadline, records = time.monotonic() + limit, []
    for name in LATENT:
        if time.monotonic() > deadline:
            print(f"  {name}: skipped, out of time")
            continue
        record: dict[str, Any] = {"network": name, "batch": 2 if dry else BATCH}
        for how in ("plain", "cuda graph"):
            step, networks = our_step(cupy, name, record["batch"], dry)
            if how == "cuda graph":
                step = CapturedStep(step, lambda networks=networks: [slot for net in networks for slot in net.slots()])
            record[how] = clock.host_median(step, 1 if dry else 10)
        if peer is not None:
            peer.precision(False)
            record["pytorch"] = clock.host_median(peer_step(peer, name, record["batch"]), 1 if dry else 10)
            record["ratio"] = {how: record["pytorch"] / record[how] for how in ("plain", "cuda graph")}
        records.append(record)
        print(f"  {name}, batch {record['batch']}: " + ", ".join(
            f"{how} {record[how] * 1e3:.2f} ms" for how in ("plain", "cuda graph", "pytorch") if how in record
        ), flush=True)  # fmt: skip
    return {"gan_step": records, "pytorch": peer.torch.__version__ if peer else None}


def our_step(cupy: Any, name: str, batch: int, dry: bool) -> tuple[Callable[[], Any], tuple[Any, Any]]:
    """Return a step that returns D's loss, and its networks."""
    rng = np.random.default_rng(0)
    make, latent, shape = (gan28 if name == "G28" else gan64), LATENT[name], IMAGE[name]
    if dry:
        made, latent, shape = tiny_networks(), 4, (1, 8, 8)
    else:
        made = make(generator=rng)
    g, d = (network.to("cuda") for network in made)
    adam_g, adam_d = (Adam(network.parameters(), 2e-4, betas=(0.5, 0.999)) for network in (g, d))
    real = Tensor(cupy.asarray(rng.uniform(-1, 1, (batch, *shape)).astype(np.float32)))
    bce = ops.binary_cross_entropy_with_logits

    def step() -> Any:
        fake = g(Tensor(from_host(lambda: rng.standard_normal((batch, latent), np.float32), "cuda")))
        loss = bce(d(real), 1.0) + bce(d(fake.detach()), 0.0)
        adam_d.step(grad(loss, d.parameters(), retain_graph=False))
        adam_g.step(grad(bce(d(fake), 1.0), g.parameters(), retain_graph=False))
        return loss.data

    return step, (g, d)


def open_peer(cupy: Any) -> Peer | None:
    """Return PyTorch on the same device, if it is installed."""
    try:
        import torch
    except ImportError:
        print("  PyTorch is not installed: no ratios")
        return None
    return Peer(torch, cupy)


def table(cupy: Any, dry: bool, limit: float) -> dict[str, Any]:
    clock, peer = Clock(cupy, rounds=1 if dry else 7), open_peer(cupy)
    deadline = time.monotonic() + limit
    if peer is not None and not dry:
        multiple = seen_by(clock, peer)
        print(f"  PyTorch's copy takes {multiple:.2f} times as long as CuPy's by this clock")
        if not 0.5 < multiple < 2:
            raise RuntimeError(f"the clock does not see PyTorch's work: its copy took {multiple:.3f} of CuPy's time")
    tiny = [Layer("tiny", 2, 3, 6, 4, 3, 1, 1), Layer("tiny.up", 1, 2, 4, 3, 3, 1, 1, "upsample"),
            Layer("tiny.t", 2, 4, 3, 2, 4, 2, 1, "transpose")]  # fmt: skip
    return {
        "memory": memory_table(cupy, clock, (1, 4, 8, 8) if dry else (256, 64, 32, 32)),
        "convolution": convolution_table(cupy, clock, peer, tiny if dry else LAYERS, deadline),
        "pytorch": peer.torch.__version__ if peer else None,
    }


def train(cupy: Any, dry: bool, limit: float) -> dict[str, Any]:
    """The same run on both devices: how long each takes to the quality that the slower one reaches."""
    record: dict[str, Any] = {"data": "fashion-mnist" if find_local(FASHION_MNIST, "train") else "toyfaces"}
    with tempfile.TemporaryDirectory() if dry else contextlib.nullcontext(ROOT / "runs") as folder:
        for device, share in (("cuda", 0.5), ("cpu", 0.5)):
            run = Path(folder) / f"gpu-session-{device}-{int(time.time())}"
            where = ["--device", device, *(["--cuda-graph"] if device == "cuda" else [])]
            size = ["--eval-every", "200", "--set", "eval_images=1000", "--steps", "3000"]
            if dry:  # no subprocess has the stand-in
                where, size = ["--device", "cpu"], ["--steps", "2", "--limit", "32", "--set", "width=4", "--size", "16"]
            command = [sys.executable, "-m", "scratchgan", "train", "--data", "toyfaces" if dry else record["data"]]
            command += [*where, *size, "--set", "sample_every=500", "--set", "checkpoint_every=500", "--out", str(run)]
            start = time.perf_counter()
            outcome, _ = finished(command, limit * share)
            log = run / "log.jsonl"
            lines = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
            record[device] = {
                "outcome": outcome, "steps": lines[-1]["step"] if lines else 0, "batch": 32,
                "wall_seconds": time.perf_counter() - start, "curve": quality_curve(lines, 32), "run": str(run),
            }  # fmt: skip
            print(f"  {device}: {record[device]['steps']} steps ({outcome})", flush=True)
    return record | same_quality(record["cuda"], record["cpu"])


def quality_curve(lines: list[dict[str, Any]], batch: int) -> list[dict[str, float]]:
    """Return seconds of training (evaluations are not counted), steps and FID, where a run was evaluated.

    Its last step is there in any case, if need be without an FID.
    """
    seconds, curve = 0.0, []
    for line in lines:
        seconds += batch / line["images_per_second"]
        if "fid" in line or line is lines[-1]:
            curve.append({"step": line["step"], "seconds": seconds, **({"fid": line["fid"]} if "fid" in line else {})})
    return curve


def same_quality(fast: dict[str, Any], slow: dict[str, Any]) -> dict[str, Any]:
    """Compare two runs: seconds to the best FID of ``slow``, and steps per second."""
    if not fast["curve"] or not slow["curve"]:
        return {"speedup": None}
    rates = [run["curve"][-1]["step"] / run["curve"][-1]["seconds"] for run in (fast, slow)]
    found: dict[str, Any] = {"steps_per_second": dict(zip(("cuda", "cpu"), rates, strict=True))}
    found["speedup"] = rates[0] / rates[1]
    print(f"  steps a second: cuda {rates[0]:.1f}, cpu {rates[1]:.1f}")
    judged = [point for point in slow["curve"] if "fid" in point]
    if judged:
        best = min(judged, key=lambda point: point["fid"])
        reached = next((point for point in fast["curve"] if point.get("fid", math.inf) <= best["fid"]), None)
        found["same_quality"] = {"fid": best["fid"], "cpu_seconds": best["seconds"],
                                 "cuda_seconds": reached["seconds"] if reached else None}  # fmt: skip
        print(f"  FID {best['fid']:.1f}: cpu {best['seconds']:.0f} s, cuda "
              + (f"{reached['seconds']:.1f} s" if reached else "not reached"))  # fmt: skip
    return found


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


def compile_all(cupy: Any, dry: bool, limit: float) -> dict[str, Any]:
    """Compile everything at once, so that no other part has to; one after the other it would take minutes."""
    count = len(programs())
    if dry:  # the emulator compiles what it runs
        return {"programs": count}
    workers = max(1, min(count, len(os.sched_getaffinity(0))))
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    tasks = [pool.submit(compile_program, index) for index in range(count)]
    done, late = wait(tasks, timeout=limit)
    pool.shutdown(wait=False, cancel_futures=True)
    errors = [str(task.exception()) for task in done if task.exception() is not None]
    print(f"  {len(done) - len(errors)} of {count} programs compiled, on {workers} cores")
    return {"programs": count, "late": len(late), "errors": errors}


def tests(cupy: Any, dry: bool, limit: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/gpu"]
    if importlib.util.find_spec("xdist") and not dry:  # pytest-benchmark warns beside it, and a warning is an error
        command += ["-n", str(max(1, min(12, len(os.sched_getaffinity(0)) - 2))), "-p", "no:benchmark"]
    outcome, output = finished(command + (["--collect-only"] if dry else []), limit)
    print("\n".join(f"  {line}" for line in output.strip().splitlines()[-12:]))
    return {"outcome": outcome, "output": output[-4000:]}


def sanitizer(cupy: Any, dry: bool, limit: float) -> dict[str, Any]:
    tool = shutil.which("compute-sanitizer")
    if tool is None and not dry:
        print("  compute-sanitizer is not installed")
        return {"outcome": "compute-sanitizer is not installed"}
    record = {}
    for check in ("memcheck", "racecheck", "initcheck"):
        command = [tool or "true", f"--tool={check}", "--error-exitcode=9", sys.executable, "-m", "pytest", "-q"]
        command += ["-m", "gpu", "tests/gpu", "-k", "operator and (conv2d or batch_norm or max_pool2d)"]
        outcome, output = ("dry run", " ".join(command)) if dry else finished(command, limit / 3)
        record[check] = {"outcome": outcome, "output": output[-2000:]}
        print(f"  {check}: {outcome}")
    return record


PARTS: dict[str, Callable[[Any, bool, float], dict[str, Any]]] = {
    "compile": compile_all, "tests": tests, "steps": gan_steps, "table": table, "train": train, "sanitizer": sanitizer,
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
    parser.add_argument(
        "--dry-run", action="store_true", help="tiny sizes, without a GPU; writes no result unless --out is given"
    )
    parser.add_argument(
        "--seconds", type=float, default=BUDGET, help="for all parts; each has its share (default: %(default)g)"
    )
    parser.add_argument(
        "--out", type=Path, help="the file of the results (default: benchmarks/results/gpu-DEVICE.json)"
    )
    options = parser.parse_args()
    started = time.monotonic()
    with device(options.dry_run) as cupy, own_stream(cupy):
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
            left = options.seconds - (time.monotonic() - started)
            share = LIMITS[part] * options.seconds / BUDGET
            report[part] = run_part(PARTS[part], cupy, options.dry_run, min(share, left))
            if not options.dry_run or options.out:
                out.write_text(json.dumps(report, indent=1))
                out.with_suffix(".md").write_text(markdown(report))
    print(f"{time.monotonic() - started:.0f} s in all" + ("" if options.dry_run and not options.out else f"; {out}"))


def run_part(part: Callable[[Any, bool, float], dict[str, Any]], cupy: Any, dry: bool, limit: float) -> dict[str, Any]:
    """Run a part within ``limit`` seconds, and return its record; one that fails or is skipped has an "outcome"."""
    begun, record = time.monotonic(), {}
    if limit < LEAST:
        record["outcome"] = "skipped: out of time"
    else:
        try:
            record = part(cupy, dry, limit)
        except Exception as error:  # the other parts are worth having without this one
            if dry:
                raise
            record["outcome"] = f"failed: {type(error).__name__}: {error}"
            record["traceback"] = traceback.format_exc()[-4000:]
    if record.get("outcome", "").startswith(("skipped", "failed")):
        print(f"  {record['outcome']}")
    record["wall_seconds"] = time.monotonic() - begun
    return record


if __name__ == "__main__":
    main()
