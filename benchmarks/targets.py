"""``python -m benchmarks targets``: every figure that the project aims at on the CPU, with both sides in the same run.

Each part (layers, steps, memory, overhead) runs in a process of its own for each thread count, so that threads are
pinned from the start, and leaves its raw samples in ``--out``. The table is made of the parts that are there, so a long
run can be taken in pieces (--only).

A ratio is PyTorch's time, of the best of its layouts, over ours: above 1, ours is faster. Beside it stands the ratio
that a kernel would have which is at the roofline, whose ceilings are measured in the same run, with the multiplications
of the definition: more than that takes an algorithm with fewer. The part float64 compares our kernels with themselves:
their time in float32 over that in float64, the same layers in turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .statistics import geometric_mean, paired_ratio, summarise

ROOT = Path(__file__).parent.parent
PARTS = ("step", "upconv", "conv", "deconv", "float64", "memory", "overhead")
THIN = ("D28.1", "D64.1", "G64.out")
DOUBLE = ".f64"  # ends the name of a layer in float64, which is timed next to the same one in float32


@dataclass(frozen=True)
class Row:
    """One line of the table: what is aimed at and what was measured."""

    work: str
    threads: int
    target: str
    mean: float
    least: float | None
    reached: bool
    note: str = ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--only", action="append", choices=PARTS, help="measure these parts; all if not given")
    parser.add_argument("--table", action="store_true", help="measure nothing: print the table of what is in --out")
    parser.add_argument("--threads", default="1,2", help="thread counts (default: 1,2); memory and overhead use one")
    parser.add_argument("--seconds", type=float, default=1.5, help="for all samples of one pass of a layer")
    parser.add_argument("--rounds", type=int, default=9, help="samples of a step or of the overhead")
    parser.add_argument(
        "--compile", action="store_true", help="PyTorch under torch.compile too, which needs a C++ compiler"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "targets", help="folder of the raw samples")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")


def _problems(part: str) -> list[str]:
    from .descriptor import read_shapes

    shapes = read_shapes("workloads.txt") if part != "deconv" else read_shapes("dcgan.txt")
    if part == "float64":
        shapes = [q for p in shapes for q in (p, replace(p, dtype="float64", name=p.name + DOUBLE))]
        return [str(p) for p in shapes if p.op in ("conv", "upconv")]
    return [str(p) for p in shapes if p.op == part]


def commands(options: argparse.Namespace, part: str, threads: int) -> list[tuple[Path, list[str]]]:
    """Return (result file, arguments of ``python -m benchmarks``) of the runs that make up a part."""
    compiled = ["--compile"] if options.compile else []
    if part in ("step", "memory"):
        found = []
        for network in ("G28", "G64") if part == "step" else ("G64",):
            words = ["step", network, "--impl", "ours", "--impl", "pytorch", "--threads", str(threads), *compiled]
            words += ["--rounds", str(options.rounds)] if part == "step" else ["--rounds", "1", "--memory"]
            found.append((options.out / f"{part}-{network}-{threads}.json", words))
        return found
    path = options.out / f"{part}-{threads}.json"
    if part == "overhead":
        return [(path, ["overhead", "--rounds", str(options.rounds)])]
    words = ["run", "--mode", "performance", "--impl", "ours", "--threads", str(threads)]
    if part != "float64":
        words += ["--impl", "pytorch", *(["--impl", "pytorch-compiled"] if options.compile else [])]
    return [(path, [*words, "--seconds", str(options.seconds), *_problems(part)])]


def command(options: argparse.Namespace) -> int:
    """Run the command: 1 if a target that was measured is not reached."""
    from .scaling import counts

    threads = counts(options.threads, "threads")
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.table:
        for part in options.only or PARTS:
            for count in [1] if part == "overhead" else [max(threads)] if part == "memory" else threads:
                for path, words in commands(options, part, count):
                    print(f"{part}, {count} threads", file=sys.stderr, flush=True)
                    arguments = [sys.executable, "-m", "benchmarks", *words, "--json", str(path.resolve())]
                    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
                    if done.returncode:
                        raise ValueError(f"{part} failed:\n{(done.stderr or done.stdout).strip()[-3000:]}")
    rows = table(options.out)
    if not rows:
        raise ValueError(f"{options.out} holds no measured part")
    from . import tables

    header = ("work", "threads", "target", "mean", "least", "verdict", "")
    cells = [
        (
            r.work, str(r.threads), r.target, f"{r.mean:.2f}", "-" if r.least is None else f"{r.least:.2f}",
            "reached" if r.reached else "NOT reached", r.note,
        )
        for r in rows
    ]  # fmt: skip
    print(tables.markdown(header, cells) if options.markdown else tables.text(header, cells))
    return int(not all(row.reached for row in rows))


def table(folder: Path) -> list[Row]:
    """Return a row for each target of which the samples lie in the folder."""
    rows: list[Row] = []
    for threads in sorted({int(path.stem.rpartition("-")[2]) for path in folder.glob("*-*.json")}):
        rows += _step_rows(folder, threads)
        rows += _layer_rows(folder / f"upconv-{threads}.json", threads, "upsample + convolution", 2.0, 1.3)
        rows += _layer_rows(folder / f"conv-{threads}.json", threads, "convolution, eleven layers", 1.3, 0.9)
        thin: Callable[[str], bool] = lambda name: name in THIN  # noqa: E731
        rows += _layer_rows(folder / f"conv-{threads}.json", threads, "convolution, thin layers", 3.0, None, thin)
        rows += _layer_rows(folder / f"deconv-{threads}.json", threads, "transposed convolution", 1.2, None)
        rows += _float64_rows(folder / f"float64-{threads}.json", threads)
        rows += _memory_rows(folder / f"memory-G64-{threads}.json", threads)
        rows += _overhead_rows(folder / f"overhead-{threads}.json", threads)
    return rows


STEP_TARGETS = {"G28": 2.0, "G64": 2.0}


def _step_rows(folder: Path, threads: int) -> list[Row]:
    rows = []
    for network, target in STEP_TARGETS.items():
        path = folder / f"step-{network}-{threads}.json"
        if not path.exists():
            continue
        times = json.loads(path.read_text("utf-8"))["steps"][network]
        rivals = [side for side in times if side != "ours"]
        if not rivals:
            continue
        best = min(rivals, key=lambda side: summarise(times[side]).median)
        ratio, low, high = paired_ratio([times[best]], [times["ours"]])
        own, other = (summarise(times[side]).median * 1e3 for side in ("ours", best))
        note = f"{own:.0f} ms, {best} {other:.0f} ms; 99 %: {low:.2f} to {high:.2f}"
        rows.append(Row(f"{network} step", threads, f">= {target}", ratio, None, ratio >= target, note))
    return rows


def _layer_rows(
    path: Path, threads: int, work: str, target: float, least: float | None,
    belongs: Callable[[str], bool] = lambda name: True,
) -> list[Row]:  # fmt: skip
    if not path.exists():
        return []
    from .results import best_of, by_pass, load, ours

    results = load(path)
    ratios: dict[str, float] = {}
    limits: list[float] = []
    for (title, _, _), records in by_pass(results.records).items():
        mine = ours(records)
        rivals = [r for family in ("pytorch", "pytorch-compiled") if (r := best_of(records, family))]
        if mine and rivals and belongs(title):
            best = min(r.summary.median for r in rivals)
            ratios[f"{title} {mine.passed}"] = best / mine.summary.median
            if results.ceilings:
                limits.append(best / results.ceilings.attainable(mine.flops, mine.bytes))
    if not ratios:
        return []
    mean, worst = geometric_mean(list(ratios.values())), min(ratios, key=lambda name: ratios[name])
    reached = mean >= target and (least is None or ratios[worst] >= least)
    aim = f">= {target}" + (f", none under {least}" if least else "")
    note = f"least: {worst}; {len(ratios)} passes"
    if limits:
        note += f"; at the roofline {geometric_mean(limits):.2f}"
    return [Row(work, threads, aim, mean, ratios[worst], reached, note)]


def _float64_rows(path: Path, threads: int) -> list[Row]:
    if not path.exists():
        return []
    from .results import by_pass, load, ours

    records = {f"{title} {r.passed}": r for (title, _, _), rs in by_pass(load(path).records).items() if (r := ours(rs))}
    ratios = {
        name: single.summary.median / double.summary.median
        for name, single in records.items()
        if (double := records.get(name.replace(" ", DOUBLE + " ", 1)))
    }
    if not ratios:
        return []
    mean, worst = geometric_mean(list(ratios.values())), min(ratios, key=lambda name: ratios[name])
    note = f"least: {worst}; {len(ratios)} passes"
    return [Row("speed in float64 / in float32", threads, ">= 0.4", mean, ratios[worst], mean >= 0.4, note)]


def _memory_rows(path: Path, threads: int) -> list[Row]:
    if not path.exists():
        return []
    memory = json.loads(path.read_text("utf-8"))["memory"]
    peaks = {side.partition(" ")[2]: found["peak_mib"] for side, found in memory.items()}
    rivals = {side: mib for side, mib in peaks.items() if side != "ours"}
    if not rivals or "ours" not in peaks:
        return []
    best = min(rivals, key=lambda side: rivals[side])
    part = peaks["ours"] / rivals[best]
    note = f"{peaks['ours']:.0f} MiB, {best} {rivals[best]:.0f} MiB, whole processes"
    return [Row("peak memory of the G64 step / PyTorch's", threads, "<= 0.8", part, None, part <= 0.8, note)]


def _overhead_rows(path: Path, threads: int) -> list[Row]:
    if not path.exists():
        return []
    document = json.loads(path.read_text("utf-8"))
    operators: int = document["operators"]
    us = {side: summarise(times).median / operators * 1e6 for side, times in document["seconds"].items()}
    rows = []
    for side, value in us.items():
        if side != "ours":
            most = 1.5 if side == "PyTorch" else 1.0
            note = f"{us['ours']:.2f} us, {side} {value:.2f} us"
            ratio = us["ours"] / value
            rows.append(Row(f"autograd overhead / {side}'s", threads, f"<= {most}", ratio, None, ratio <= most, note))
    return rows
