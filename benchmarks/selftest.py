"""``python -m benchmarks selftest``: does the harness tell the truth on this machine?

    same        the same kernel twice, in turns, on arrays of its own: at most one of 20 may come out FASTER or SLOWER
    slowed      a kernel against itself with a planted slowdown of ten per cent, in turns: 10 of 10 must be SLOWER
    runs        the same two questions asked of whole runs, one after the other, a process and a result file each
    agreement   its GFLOP/s of NumPy's matrix product and PyTorch's convolution against timeit and torch.utils.benchmark

It needs an otherwise idle machine; a busy one makes comparisons AMBIGUOUS, and can make them wrong.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .descriptor import Problem
from .peers import Implementation
from .problem import Arrays

PARTS = ("same", "slowed", "runs", "agreement")
SLOWDOWN = 1.10
#: Turns of the two timers whose agreement is asked.
TURNS = 5
#: Visits to each pass in a run.
VISITS = 5
#: Twenty passes that take 0.1 to 20 ms.
LAYERS = ("D28.1", "D28.2", "D64.4", "G64.2", "U28.1", "T64.4", "D64.2.norm")
MATRIX = "ip --dir=FWD_D mb1152ic1152oc1152"
CONVOLUTION = "conv --dir=FWD_B mb64ic64ih32oc64kh3ph1"


class Slowed(Implementation):
    """Ours, after each call of which a tenth of its time is wasted."""

    name = "ours"

    def build(self, problem: Problem, arrays: Arrays) -> Callable[[], Any]:
        from .peers.ours import Ours

        run = Ours().build(problem, arrays)

        def slowed() -> Any:
            begin = time.perf_counter()
            result = run()
            end = begin + SLOWDOWN * (time.perf_counter() - begin)
            while time.perf_counter() < end:
                pass
            return result

        return slowed


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    from .cli import default_threads

    parser.add_argument("parts", nargs="*", metavar="|".join(PARTS), help="all if not given")
    parser.add_argument("--seconds", type=float, default=0.8, help="for all samples of one pass in `runs`")
    parser.add_argument("--most", type=float, default=20.0, help="seconds for one comparison in turns, if undecided")
    parser.add_argument(
        "--limit", type=float, default=math.inf, help="start no comparison in turns after these seconds"
    )
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument(
        "--json", type=Path, help="write what was found; what it has of `same` and `slowed` is not repeated"
    )


def problems() -> list[Problem]:
    """The twenty passes."""
    from .descriptor import read_shapes

    known = {p.name: p for name in ("workloads.txt", "dcgan.txt") for p in read_shapes(name)}
    return [known[name].directed(direction) for name in LAYERS for direction in known[name].directions]


def command(options: argparse.Namespace) -> int:
    """Run the command: 1 if a part does not hold."""
    for part in options.parts:
        if part not in PARTS:
            raise ValueError(f"no part {part!r}; there are {', '.join(PARTS)}")
    parts = options.parts or list(PARTS)
    found = earlier(options)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        path = Path(folder)
        if {"same", "slowed"} & set(parts):
            turns([part for part in ("same", "slowed") if part in parts], found, path / "turns.json", options)
        if "runs" in parts:
            found.update(runs(path, options))
        if "agreement" in parts:
            found["agreement"] = agreement(options.threads, path)
    ok = True
    for kind, how in (("", "in turns"), ("runs_", "runs one after the other")):
        if found.get(f"{kind}same"):
            same = found[f"{kind}same"]
            alarms = sum(v["verdict"] in ("FASTER", "SLOWER") for v in same)
            ok &= alarms <= 1
            print(f"same, {how}: {_counts(same)}; {alarms} false alarms of {len(same)}")
        if found.get(f"{kind}slowed"):
            slowed = found[f"{kind}slowed"]
            seen = sum(v["verdict"] == "SLOWER" for v in slowed)
            ok &= seen == len(slowed)
            print(f"slowed by 10 %, {how}: {_counts(slowed)}; {seen} of {len(slowed)} seen")
    for name, (ours, theirs) in found.get("agreement", {}).items():
        off = sorted(own / other - 1 for own, other in zip(ours, theirs, strict=True))
        middle = len(off) // 2
        ok &= abs(off[middle]) <= 0.05
        print(
            f"agreement, {name}: {sorted(ours)[middle]:.1f} GFLOP/s here, {sorted(theirs)[middle]:.1f} independently: "
            f"{off[middle]:+.1%} ({off[0]:+.1%} to {off[-1]:+.1%} in {len(off)} turns)"
        )
    if options.json:
        from .machine import describe
        from .results import write_text

        write_text(options.json, json.dumps({"provenance": describe(options.threads), **found}, indent=1) + "\n")
    return int(not ok)


def _counts(verdicts: list[dict[str, Any]]) -> str:
    names = [v["verdict"] for v in verdicts]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))


def _process(what: str, path: Path, options: argparse.Namespace) -> None:
    root = Path(__file__).parent.parent
    words = [sys.executable, "-m", "benchmarks.selftest", what, str(path), str(options.threads)]
    if what in ("run", "slowed run"):
        words.append(str(options.seconds))
    if what == "turns":
        words += [str(options.most), str(options.limit)]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"the process that was to {what} failed:\n{done.stderr[-2000:]}")


def earlier(options: argparse.Namespace) -> dict[str, Any]:
    """What ``options.json`` has of this commit on this machine, so that the test can be made in pieces."""
    from .machine import describe, differences

    if not (options.json and options.json.exists()):
        return {}
    found = json.loads(options.json.read_text("utf-8"))
    then, now = found.pop("provenance"), describe(options.threads)
    return {} if then.get("commit") != now["commit"] or differences(then, now) else found


def turns(parts: list[str], found: dict[str, Any], path: Path, options: argparse.Namespace) -> None:
    """Add to ``found`` the comparisons in turns that it does not have yet, as many as there is time for."""
    left = []
    for part in parts:
        done = {one["problem"] for one in found.setdefault(part, [])}
        left += [f"{part} {p}" for p in problems()[:: 1 if part == "same" else 2] if str(p) not in done]
    if not left:
        return
    path.with_suffix(".left").write_text(json.dumps(left), "utf-8")
    _process("turns", path, options)
    for part, comparisons in json.loads(path.read_text("utf-8")).items():
        found[part] += comparisons
        left = left[len(comparisons) :]
    if left:
        print(f"{len(left)} comparisons in turns are left; the same command with --json goes on with them")


def _turns(left: list[str], most: float, limit: float) -> dict[str, list[dict[str, Any]]]:
    """Compare what is left, a part and a problem each, until the time is up."""
    from .descriptor import parse
    from .peers.ours import Ours
    from .problem import inputs
    from .sampling import decide

    found: dict[str, list[dict[str, Any]]] = {}
    begin = time.monotonic()
    for one in left:
        if time.monotonic() - begin > limit:
            break
        part, _, text = one.partition(" ")
        problem = parse(text)
        # One set of arrays for both: where memory happens to lie is no difference between them.
        arrays = inputs(problem, "normal")
        other = Ours() if part == "same" else Slowed()
        verdict, ratio, low, high, before, after = decide(
            Ours().build(problem, arrays), other.build(problem, arrays), most
        )
        found.setdefault(part, []).append(
            {
                "problem": text, "verdict": verdict, "ratio": ratio, "low": low, "high": high,
                "before": [float(f"{s:.4g}") for s in before], "after": [float(f"{s:.4g}") for s in after],
            }
        )  # fmt: skip
    return found


def runs(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Two runs of all passes and a slowed one of every other, one after the other; return both comparisons."""
    from .compare import compare
    from .results import load

    results = []
    for name, what in (("first", "run"), ("second", "run"), ("slowed", "slowed run")):
        _process(what, folder / f"{name}.json", options)
        results.append(load(folder / f"{name}.json"))
    found = {"runs_same": compare(results[0], results[1]), "runs_slowed": compare(results[0], results[2])}
    return {part: [c.__dict__ for c in comparisons] for part, comparisons in found.items()}


def _run(threads: int, seconds: float, implementation: Implementation, chosen: list[Problem], path: Path) -> None:
    """A run like any other, of one implementation."""
    from . import machine, results, runner
    from .sampling import Settings

    settings = Settings(seconds, 0.003, least_rounds=15, visits=VISITS)
    records = runner.run(chosen, [implementation], "performance", settings, threads)
    results.save(path, results.Results(machine.describe(threads), records, settings=dict(settings.__dict__)))


def agreement(threads: int, folder: Path) -> dict[str, tuple[list[float], list[float]]]:
    """{what: (GFLOP/s by this harness, GFLOP/s by a timer that is not ours)}; PyTorch's if it is installed.

    The two timers take turns, a process each, and the figures of one turn belong together.
    """
    from .peers import missing

    harness: dict[str, list[float]] = {}
    independent: dict[str, list[float]] = {}
    names = ["NumPy matrix product"] + ([] if missing("torch") else ["PyTorch convolution"])
    for turn in range(TURNS):
        for name in names:
            for what, collected in (("harness", harness), ("independent", independent)):
                path = folder / f"{what}-{turn}.json"
                options = argparse.Namespace(threads=threads)
                _process(f"{what} {name}", path, options)
                collected.setdefault(name, []).append(json.loads(path.read_text("utf-8")))
    return {name: (harness[name], independent[name]) for name in names}


def _independent(name: str, threads: int) -> float:
    """GFLOP/s by timeit, or by torch.utils.benchmark; nothing of the harness but the arithmetic of the count."""
    if name.startswith("NumPy"):
        import timeit

        import numpy as np

        a, b = (np.random.default_rng(i).standard_normal((1152, 1152), np.float32) for i in (0, 1))
        seconds = sorted(timeit.repeat(lambda: a @ b.T, number=5, repeat=40))[20] / 5
        return 2 * 1152**3 / seconds / 1e9
    import torch
    from torch.utils.benchmark import Timer

    x, w, bias = torch.randn(64, 64, 32, 32), torch.randn(64, 64, 3, 3), torch.randn(64)
    names = {"conv2d": torch.nn.functional.conv2d, "x": x, "w": w, "bias": bias}
    timer = Timer("conv2d(x, w, bias, padding=1)", globals=names, num_threads=threads)
    return 2 * 64 * 64 * 1024 * 64 * 9 / timer.blocked_autorange(min_run_time=2).median / 1e9


def _harness(name: str, threads: int) -> float:
    from . import runner
    from .descriptor import parse
    from .peers.im2col import Im2col
    from .peers.pytorch import PyTorch
    from .sampling import Settings

    numpy = name.startswith("NumPy")
    implementation: Implementation = Im2col() if numpy else PyTorch("pytorch:nchw", False)
    implementation.set_threads(threads)
    problem = parse(MATRIX if numpy else CONVOLUTION)
    (record,) = runner.run_pass(problem, [implementation], "performance", Settings(2.0, 0.005), threads)
    return record.gflops


def _main(what: str, path: Path, threads: int, numbers: list[float]) -> None:
    """One process of the test."""
    from .cli import prepare
    from .results import write_text

    what, _, name = what.partition(" ")
    if what in ("independent", "harness"):
        if what == "harness" and name.startswith("PyTorch"):
            prepare(threads)
        write_text(path, json.dumps((_independent if what == "independent" else _harness)(name, threads)))
        return
    prepare(threads)
    if what == "turns":
        left = json.loads(path.with_suffix(".left").read_text("utf-8"))
        write_text(path, json.dumps(_turns(left, *numbers)))
        return
    from .peers.ours import Ours

    slow = what == "slowed"
    _run(threads, *numbers, Slowed() if slow else Ours(), problems()[::2] if slow else problems(), path)


if __name__ == "__main__":
    from .machine import pin

    pin(int(sys.argv[3]))
    _main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), [float(word) for word in sys.argv[4:]])
