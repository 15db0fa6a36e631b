"""``python -m benchmarks step``: whole GAN steps, side by side; each operator's part of ours; memory.

Peak memory is that of a process of its own, which imports one side, runs a few steps and exits: the whole process, with
its libraries, beside what the process had before its first step.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_BOTH = ("ours", "pytorch:nchw", "pytorch:nhwc", "pytorch:compiled", "pytorch:compiled:nhwc")
#: The sides that each network's step is written down for. S32's own: a styled convolution as one that is grouped by
#: picture, with weights for each.
SIDES = {
    "G28": (*_BOTH, "jax"),
    "G64": (*_BOTH, "jax"),
    "S32": ("ours", "pytorch:nchw", "pytorch:nhwc", "pytorch:grouped"),
    "B28": _BOTH,
}
NETWORKS = tuple(SIDES)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    from .cli import default_threads

    parser.add_argument("networks", nargs="*", metavar="|".join(NETWORKS), help="which steps; all if not given")
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--rounds", type=int, default=9, help="samples of each side (default: 9)")
    parser.add_argument("--impl", action="append", default=[], help="ours, pytorch, jax, ...; all if not given")
    parser.add_argument(
        "--compile", action="store_true", help="also PyTorch under torch.compile, which needs a C++ compiler"
    )
    parser.add_argument("--profile", action="store_true", help="what each operator and gradient of ours takes")
    parser.add_argument("--memory", action="store_true", help="the peak memory of each side, each in its own process")
    parser.add_argument("--json", type=Path, help="write every sample")


def build(side: str, network: str) -> Callable[[], tuple[float, float]]:
    """Return one side's step."""
    from .step import biggan, jax, ours, pytorch, stylegan_ours, stylegan_pytorch

    if network == "B28":
        return biggan.ours() if side == "ours" else biggan.pytorch("nhwc" in side, "compiled" in side)
    if network == "S32":
        return stylegan_ours.build() if side == "ours" else stylegan_pytorch.build("nhwc" in side, "grouped" in side)
    if side == "ours":
        return ours.build(network)
    if side == "jax":
        return jax.build(network)
    return pytorch.build(network, "nhwc" in side, "compiled" in side)


def chosen_sides(wanted: list[str], compiled: bool, network: str = "G28") -> list[str]:
    """Return the sides of a network's step that can run; a line is printed for each that cannot.

    ValueError for one that does not exist.
    """
    from .peers import matches

    every = dict.fromkeys(side for sides in SIDES.values() for side in sides)
    for name in wanted:
        if not any(matches(side, name) for side in every):
            raise ValueError(f"no side {name!r}; there are {', '.join(every)}")
    sides = [side for side in SIDES[network] if any(matches(side, name) for name in wanted) or not wanted]
    if not compiled:
        sides = [side for side in sides if "compiled" not in side or side in wanted]
    for package, family in (("torch", "pytorch"), ("jax", "jax")):
        if importlib.util.find_spec(package) is None and any(matches(side, family) for side in sides):
            print(f"{family} is skipped: {package} is not installed")
            sides = [side for side in sides if not matches(side, family)]
    return sides


def measure(network: str, sides: list[str], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each side's step, taken in turns."""
    from .sampling import Settings, sample
    from .step.workloads import CYCLE

    steps = {side: build(side, network) for side in sides}
    measured = sample(steps, Settings(seconds=1e9, relative_error=0, least_rounds=rounds, most_rounds=rounds))
    return {side: [seconds / CYCLE[network] for seconds in m.samples] for side, m in measured.items()}


def peak_memory(network: str, side: str, threads: int) -> dict[str, float]:
    """Return MiB of one side in a process of its own: at its peak, and before the first step."""
    command = [sys.executable, "-m", "benchmarks.steps", network, side, str(threads)]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{side} failed in a process of its own:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _memory_process(network: str, side: str, threads: int) -> None:
    """Run three steps and print this process's memory: what `peak_memory` reads."""
    from .machine import pin

    pin(threads)
    if side.startswith("pytorch"):
        import torch

        torch.set_num_threads(threads)
    elif side == "ours":
        from scratchgan import kernels

        kernels.set_num_threads(threads)
    step = build(side, network)
    before = _resident_mib()
    for _ in range(3):
        step()
    print(json.dumps({"peak_mib": _peak_mib(), "before_mib": before}))


def _peak_mib() -> float:
    """Return the most memory that this process had at one time.

    Linux's ru_maxrss is also that of the process that started this one, which has just run the steps of all sides.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def _resident_mib() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def command(options: argparse.Namespace) -> int:
    """Run the command."""
    from . import cli, machine, statistics
    from .results import write_text
    from .step.workloads import BATCHES, CYCLE

    for network in options.networks:
        if network not in NETWORKS:
            raise ValueError(f"no step {network!r}; there are {', '.join(NETWORKS)}")
    cli.prepare(options.threads)
    chosen = {network: chosen_sides(options.impl, options.compile, network) for network in options.networks or NETWORKS}
    if any(side.startswith("pytorch") for sides in chosen.values() for side in sides):
        import torch

        torch.set_num_threads(options.threads)
    document: dict[str, Any] = {"provenance": machine.describe(options.threads), "steps": {}, "memory": {}}
    for network, sides in chosen.items():
        times = measure(network, sides, options.rounds)
        document["steps"][network] = times
        mean = f", mean of {CYCLE[network]}" if CYCLE[network] > 1 else ""
        print(f"{network} step, batch {BATCHES[network]}{mean}, {options.threads} threads")
        for side, seconds in times.items():
            s = statistics.summarise(seconds)
            warning = statistics.instability(seconds)
            print(
                f"  {side:22} {s.median * 1e3:8.1f} ms  ({s.lower * 1e3:.1f} to {s.upper * 1e3:.1f}, least "
                f"{s.least * 1e3:.1f}, n={s.n}){'  unstable: ' + warning if warning else ''}"
            )
        for family in ("pytorch", "jax"):
            line = ratio_line(times, family)
            if line:
                print(f"  {line}")
        if options.profile and "ours" in times:
            from .step import ours

            print(f"{network}: what a step of ours is made of")
            steps = 3 if CYCLE[network] == 1 else 1
            print("\n".join(ours.profile(build("ours", network), steps, CYCLE[network]).lines()))
        if options.memory:
            for side in sides:
                document["memory"][f"{network} {side}"] = found = peak_memory(network, side, options.threads)
                print(f"  {side:22} peak {found['peak_mib']:6.0f} MiB, {found['before_mib']:.0f} before the first step")
        sys.stdout.flush()
        time.sleep(0.01)
    if options.json:
        write_text(options.json, json.dumps(document) + "\n")
    return 0


def ratio_line(times: dict[str, list[float]], family: str) -> str:
    """The ratio to the fastest side of a family, with its interval; empty if either is missing."""
    from . import statistics
    from .peers import matches

    rivals = [side for side in times if matches(side, family)]
    if not rivals or "ours" not in times:
        return ""
    best = min(rivals, key=lambda side: statistics.summarise(times[side]).median)
    ratio, low, high = statistics.paired_ratio([times[best]], [times["ours"]])
    return f"{best} / ours = {ratio:.2f} (99 %: {low:.2f} to {high:.2f})"


if __name__ == "__main__":
    _memory_process(sys.argv[1], sys.argv[2], int(sys.argv[3]))
