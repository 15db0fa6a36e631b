"""``python -m benchmarks ladder``: how a fast convolution comes about, one idea at a time.

One layer, the 3x3 convolution G64.3 of the reference networks (64 to 64 channels, 32 x 32 pixels, padding 1),
computed by ten programs. The first is the definition; each later one has one idea more, and its file says which, why
it should help, and what holds it back now. Read them in order, `rung1_definition.py` first; none is longer than a
page or two. The command checks each against the reference and prints its speed as a share of what the processor can
do at most.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ..descriptor import Problem
from ..peers import Implementation
from ..problem import Arrays

RUNGS = (
    "rung1_definition",
    "rung2_border",
    "rung3_order",
    "rung4_taps",
    "rung5_tile",
    "rung6_blocks",
    "rung7_copies",
    "rung8_threads",
    "rung9_winograd",
    "rung10_kernel",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    from ..cli import default_threads

    parser.add_argument("rungs", nargs="*", type=int, help=f"which, from 1 to {len(RUNGS)}; all if not given")
    parser.add_argument("--batch", type=int, default=16, help="images (default: 16)")
    parser.add_argument("--seconds", type=float, default=10, help="for all samples of all rungs (default: 10)")
    parser.add_argument("--threads", type=int, default=default_threads(), help="of the rungs that have threads")
    parser.add_argument("--json", type=Path, help="write every sample")


def load(number: int) -> ModuleType:
    """Return a rung's module: its docstring, ``THREADS`` (whether it uses all) and ``convolve(x, w)``."""
    return importlib.import_module(f"{__name__}.{RUNGS[number - 1]}")


def title(rung: ModuleType) -> str:
    """The first line of its docstring, without the number."""
    return (rung.__doc__ or "").splitlines()[0].partition(": ")[2].rstrip(".")


def command(options: argparse.Namespace) -> int:
    """Run the command: 1 if a rung is wrong."""
    for number in options.rungs:
        if not 1 <= number <= len(RUNGS):
            raise ValueError(f"there are rungs 1 to {len(RUNGS)}, not {number}")
    if options.batch < 1:
        raise ValueError(f"--batch must be at least 1, got {options.batch}")
    from .. import ceilings, cli, correctness, machine, tables
    from ..descriptor import parse
    from ..problem import flops, inputs
    from ..results import write_text
    from ..sampling import Settings, sample
    from ..statistics import summarise

    cli.prepare(options.threads)
    from scratchgan import kernels

    problem = parse(f'conv --dir=FWD_D mb{options.batch}ic64ih32oc64kh3ph1 n"G64.3"')
    roofs = {}
    for count in sorted({1, options.threads}):
        kernels.set_num_threads(count)
        roofs[count] = ceilings.measure().gflops
    print(f"{problem}: {flops(problem) / 1e9:.2f} GFLOP")
    print("ceiling, measured: " + ", ".join(f"{gflops:.0f} GFLOP/s on {n} threads" for n, gflops in roofs.items()))
    numbers = options.rungs or list(range(1, len(RUNGS) + 1))
    arrays = inputs(problem, "normal")
    timed: dict[str, Callable[[], Any]] = {}
    wrong = []
    for number in numbers:
        rung = load(number)
        outcome = correctness.check(problem, Rung(rung), options.threads)
        if outcome.verdict == correctness.PASSED:
            timed[str(number)] = Rung(rung).build(problem, arrays)
        else:
            wrong.append(f"{outcome.verdict}: rung {number}, {title(rung)}: {outcome.reason}")
    measured = sample(timed, Settings(options.seconds)) if timed else {}
    rows, before = [], 0.0
    for number in numbers:
        if str(number) in measured:
            rung = load(number)
            seconds = summarise(measured[str(number)].samples).median
            gflops, count = flops(problem) / seconds / 1e9, options.threads if rung.THREADS else 1
            faster = f"x {before / seconds:.2f}" if before else ""
            rows.append(
                (
                    str(number), title(rung), "", str(count), tables.milliseconds(seconds), f"{gflops:.1f}",
                    f"{gflops / roofs[count]:.1%}", faster, "",
                )
            )  # fmt: skip
            before = seconds
    if rows:
        header = ("rung", "idea", "", "threads", "ms", "GFLOP/s", "of the ceiling", "than before", "")
        print(tables.text(header, rows))
    print("\n".join(wrong) or f"all {len(rows)} are right: integers bit by bit, real numbers within the bound")
    if options.json:
        document = {
            "provenance": machine.describe(options.threads), "problem": str(problem), "ceilings": roofs,
            "rungs": {n: {"title": title(load(int(n))), "samples": m.samples} for n, m in measured.items()},
        }  # fmt: skip
        write_text(options.json, json.dumps(document) + "\n")
    return int(bool(wrong))


class Rung(Implementation):
    """A rung as an implementation that can be checked and timed as any other."""

    name = "ladder"
    # Halves and quarters are exact, and so are sums of whole numbers that have them: it keeps `exact`.
    tolerance = 8.0

    def __init__(self, module: ModuleType):
        self.module = module

    def build(self, problem: Problem, arrays: Arrays) -> Callable[[], Any]:
        return lambda: self.module.convolve(arrays["x"], arrays["w"])
