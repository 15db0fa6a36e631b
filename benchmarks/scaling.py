"""``python -m benchmarks scaling``: one problem's speed against batch, image size and threads.

Threads are changed within one process that is pinned to the largest count, so a smaller count is not pinned tighter:
the question is how a kernel scales, not how a smaller machine would do.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from .descriptor import Problem, parse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("problem", nargs="*", help="a descriptor (default: G64.3, conv mb64ic64ih32oc64kh3ph1)")
    parser.add_argument("--batch", default="1,4,16,64", help="batch sizes (default: 1,4,16,64)")
    parser.add_argument("--size", default="", help="image heights and widths, such as 8,16,32")
    parser.add_argument("--threads", default="", help="thread counts (default: 1, 2, 4 ... all)")
    parser.add_argument("--impl", action="append", default=[], help="default: ours and pytorch")
    parser.add_argument("--seconds", type=float, default=1.0, help="for all samples of one point")
    parser.add_argument("--json", type=Path, help="write every sample")


def counts(text: str, what: str) -> list[int]:
    """Return the numbers of "1,2,4"; ValueError for anything else."""
    try:
        found = [int(part) for part in text.split(",") if part]
    except ValueError:
        found = []
    if text and (not found or min(found) < 1):
        raise ValueError(f"--{what} must be numbers from 1 on, such as 1,2,4, got {text!r}")
    return found


def variants(problem: Problem, batches: list[int], sizes: list[int]) -> list[Problem]:
    """The problem with each batch, then with each size: the output is computed anew, the name dropped."""
    found = [replace(problem, mb=batch, name="") for batch in batches]
    for size in sizes:
        dims = replace(problem, image=(size, size), output=(1, 1), name="")
        if problem.op in ("resampling", "pool"):
            scale = size * problem.output[0] // problem.image[0]
            found.append(parse(str(replace(dims, output=(scale, scale)))))
        else:
            found.append(parse(str(dims)))
    return found


def command(options: argparse.Namespace) -> int:
    """Run the command."""
    from . import cli, machine, peers, runner, tables
    from .results import write_text
    from .sampling import Settings

    problem = parse(" ".join(options.problem) or 'conv mb64ic64ih32oc64kh3ph1 n"G64.3"')
    most = cli.default_threads()
    threads = counts(options.threads, "threads") or sorted({*(2**i for i in range(most.bit_length())), most} - {0})
    threads = [count for count in threads if count <= most] if not options.threads else threads
    if max(threads) > most:
        raise ValueError(f"--threads: there are {most} processors, got {max(threads)}")
    cases = variants(problem, counts(options.batch, "batch"), counts(options.size, "size"))
    cli.prepare(max(threads))
    implementations, skipped = peers.choose(options.impl or ["ours", "pytorch"])
    print("\n".join(skipped))
    rows: list[tuple[str, ...]] = []
    records: list[dict[str, Any]] = []
    for case in cases:
        directions = case.directions if not problem.direction else (problem.direction,)
        for direction in directions:
            for count in threads:
                for implementation in implementations:
                    implementation.set_threads(count)
                one = case.directed(direction)
                for record in runner.run_pass(one, implementations, "performance", Settings(options.seconds), count):
                    if record.samples:
                        speed = f"{record.gflops:.1f}" if record.flops else "-"
                        rows.append(
                            (
                                str(case), record.passed, record.implementation, str(count),
                                tables.milliseconds(record.summary.median), speed, f"{record.gbytes:.1f}",
                                f"{record.summary.median / case.mb * 1e6:.1f}",
                            )
                        )  # fmt: skip
                        records.append({"threads": count, **record.as_dict()})
    header = ("problem", "pass", "implementation", "threads", "ms", "GFLOP/s", "GB/s", "us an image")
    print(tables.text(header, rows))
    if options.json:
        write_text(options.json, json.dumps({"provenance": machine.describe(max(threads)), "records": records}) + "\n")
    return 0
