"""The commands of ``python -m benchmarks``. Nothing heavy is imported before the threads are pinned."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

COMMANDS = {
    "run": "problems against implementations: correctness, performance, both, or gradients",
    "compare": "two results, or two versions of the kernels: SAME, FASTER, SLOWER or AMBIGUOUS",
    "report": "the page, Markdown or google-benchmark's JSON of a saved result",
    "step": "whole GAN steps against each peer, with the time of each operator",
    "scaling": "speed against batch, size and threads",
    "overhead": "microseconds per operator of the autograd, against peers",
    "accuracy": "the largest error of every elementwise operator and loss in ulps, beside NumPy and PyTorch",
    "targets": "every figure that the project aims at, both sides in one run",
    "selftest": "does the harness tell the truth here: false alarms, a planted slowdown, independent timers",
    "ladder": "one convolution from the naive loop to the kernel, an idea at a time",
    "ceilings": "the two ceilings of the roofline",
    "list": "implementations and shape files, and what cannot run here",
}
#: The quick profile: every kind of kernel, small and large, in under two minutes.
QUICK = ("D28.1", "D64.2", "G64.2", "U28.2", "T64.3", "D64.2.norm", "G64.4.up", "lenet.s4")


def main(words: list[str] | None = None) -> int:
    """Run a command; return the exit status: 0, 1 for a failed check or comparison, 2 for bad input."""
    words = sys.argv[1:] if words is None else words
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words = ["run", *words]
    try:
        pin_early(words)
    except ValueError as error:
        print(f"python -m benchmarks: {error}", file=sys.stderr)
        return 2
    parser = build_parser()
    options = parser.parse_args(words)
    from .compare import CompareError
    from .results import ResultError

    try:
        return int(options.command(options))
    except (ValueError, FileNotFoundError, CompareError, ResultError) as error:
        print(f"python -m benchmarks: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Kernels measured side by side. Without a command: run. See docs/benchmarking.md.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, function: Any) -> argparse.ArgumentParser:
        own = commands.add_parser(name, help=COMMANDS[name], description=COMMANDS[name])
        own.set_defaults(command=function)
        return own

    from . import accuracy, ladder, overhead, scaling, selftest, steps, targets

    _run_options(command("run", run_command))
    _compare_options(command("compare", compare_command))
    own = command("report", report_command)
    own.add_argument("result", type=Path, help="a JSON file of `run`")
    own.add_argument("--html", type=Path, help="write the page")
    own.add_argument("--markdown", type=Path, help="write Markdown ('-' prints it)")
    own.add_argument("--google-benchmark", type=Path, help="write google-benchmark's JSON")
    steps.add_options(command("step", steps.command))
    scaling.add_options(command("scaling", scaling.command))
    overhead.add_options(command("overhead", overhead.command))
    accuracy.add_options(command("accuracy", accuracy.command))
    targets.add_options(command("targets", targets.command))
    selftest.add_options(command("selftest", selftest.command))
    ladder.add_options(command("ladder", ladder.command))
    own = command("ceilings", ceilings_command)
    own.add_argument("--threads", type=int, default=default_threads())
    own.add_argument("--dt", choices=("f32", "f64"), default="f32")
    command("list", list_command)
    return parser


def pin_early(words: list[str]) -> None:
    """Pin what the command line asks for before anything imports NumPy, whose thread pool is sized at its import."""
    from .machine import pin

    if words[0] in ("run", "step", "ladder", "ceilings"):
        early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        early.add_argument("--threads", type=int, default=default_threads())
        pin(early.parse_known_args(words[1:])[0].threads)
    elif words[0] == "overhead":
        pin(1)


def default_threads() -> int:
    """The processors of this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare(threads: int) -> None:
    """Pin the threads, then import the frameworks in the order that keeps each as it would be alone."""
    from .machine import load_frameworks_first, pin

    pin(threads)  # as `pin_early` did, where this is not the command's first process
    load_frameworks_first()
    from scratchgan import kernels

    kernels.set_num_threads(threads)


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "problems", nargs="*", help='descriptors (conv mb64ic64ih32oc128kh4sh2ph1 n"D64.2") or @FILE; or a profile'
    )
    profile = parser.add_mutually_exclusive_group()
    profile.add_argument("--quick", action="store_true", help="the quick profile, under two minutes (the default)")
    profile.add_argument("--full", action="store_true", help="every layer of workloads.txt and dcgan.txt, all peers")
    parser.add_argument("--mode", default="both", help="correctness (C), performance (P), both (CP) or gradient (G)")
    parser.add_argument(
        "--impl", action="append", default=[], help="an implementation or family, such as ours or pytorch"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=default_threads(), help="for every side, pinned")
    parser.add_argument("--cold", action="store_true", help="overwrite the caches before each sample")
    parser.add_argument("--seconds", type=float, help="for all samples of one pass (default: 4; quick: 1; full: 10)")
    parser.add_argument("--relative-error", type=float, default=0.01, help="stop when the medians are known to this")
    parser.add_argument("--visits", type=int, help="to each pass, all others in between (default: 5; quick: 3)")
    parser.add_argument("--rounds", type=int, help="exactly so many samples in each visit, whatever the error")
    parser.add_argument(
        "--limit",
        type=float,
        default=float("inf"),
        help="begin nothing after so many seconds, and report what there is",
    )
    parser.add_argument("--memory", type=float, help="skip shapes that need more than this many GB")
    parser.add_argument("--no-ceilings", action="store_true", help="do not measure the roofline's ceilings")
    parser.add_argument("--json", type=Path, help="write every sample and the provenance")
    parser.add_argument("--html", type=Path, help="write the report")
    parser.add_argument("--markdown", type=Path, help="write the tables for a pull request")
    parser.add_argument("--google-benchmark", type=Path, help="write google-benchmark's JSON")


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _chosen_problems(options: argparse.Namespace) -> list[Any]:
    from .descriptor import read_arguments, read_shapes

    if options.problems:
        return read_arguments(options.problems)
    known = [p for name in ("workloads.txt", "dcgan.txt", "mnist.txt") for p in read_shapes(name)]
    if options.full:
        return list({p.name: p for p in known if not p.name.startswith("lenet")}.values())
    by_name = {p.name: p for p in known}
    return [by_name[name] for name in QUICK]


def run_command(options: argparse.Namespace) -> int:
    """Run problems against implementations."""
    from .runner import MODES

    mode = {**{letters: name for name, letters in MODES.items()}, **{name: name for name in MODES}}.get(options.mode)
    if mode is None:
        raise ValueError(f"--mode must be one of {', '.join(MODES)} (or C, P, CP, G), got {options.mode!r}")
    profile = not options.problems
    problems = _chosen_problems(options)
    begin = time.monotonic()
    prepare(options.threads)
    from . import ceilings, gpu, machine, peers, runner, tables
    from .results import Results
    from .sampling import Settings, WallClock

    clock: Any = WallClock()
    if options.device == "cuda":
        reason = gpu.no_device()
        if reason:
            print(f"--device cuda is skipped: {reason}")
            return 0
        import cupy

        clock = gpu.EventClock(cupy)
    quick = profile and not options.full
    implementations, skipped = peers.choose(options.impl, options.device, quick)
    for line in skipped:
        print(line)
    for implementation in implementations:
        implementation.set_threads(options.threads)
    seconds = options.seconds or (1.0 if quick else 10 if options.full else 4)
    visits = (3 if quick else 5) if options.visits is None else options.visits
    if visits < 1:
        raise ValueError(f"--visits must be at least 1, got {visits}")
    settings = Settings(seconds, options.relative_error, cold=options.cold, visits=visits)
    if options.rounds:
        count = options.rounds * visits
        settings = Settings(1e9, 0.0, count, count, options.cold, visits)
    provenance = machine.describe(options.threads)
    roof = None
    if not options.no_ceilings and "P" in MODES[mode] and options.device == "cpu":
        roof = ceilings.measure(problems[0].dtype)
    results = Results(provenance, [], roof, {"mode": mode, **settings.__dict__}, list(skipped))
    print("\n".join(tables.header_lines(results)))

    def seen(records: list[runner.Record]) -> None:
        shown = [r for r in records if r.verdict != "UNIMPLEMENTED"] or records[:1]
        if "P" in MODES[mode]:
            lines = tables.text(tables.HEADER, [tables.row(r, roof) for r in shown]).splitlines()
            print("\n".join(lines if not results.records else lines[1:]) + "\n", flush=True)
        else:
            for r in shown:
                print(f"{r.verdict:13} {r.implementation:16} {r.problem}", flush=True)
        results.records += records

    def skip(line: str) -> None:
        print(line, flush=True)
        results.skipped.append(line)

    limit = None if options.memory is None else int(options.memory * 1e9)
    runner.run(
        problems,
        implementations,
        mode,
        settings,
        options.threads,
        clock,
        limit,
        seen,
        skip,
        _progress,
        16 if quick else None,
        options.limit,
    )
    for line in tables.summary_lines(results) + tables.verdict_lines(results.records):
        print(line)
    _write(options, results, profile)
    print(f"{time.monotonic() - begin:.0f} s")
    return int(any(record.verdict == "FAILED" for record in results.records))


def _write(options: argparse.Namespace, results: Any, profile: bool) -> None:
    """Write the files that were asked for; a profile writes all of them to ``runs/benchmark/``."""
    from . import report, tables
    from .results import save, save_google_benchmark, write_text

    folder = Path("runs") / "benchmark"
    json_path = options.json or (folder / "result.json" if profile else None)
    html_path = options.html or (folder / "report.html" if profile else None)
    markdown_path = options.markdown or (folder / "report.md" if profile else None)
    if json_path:
        save(json_path, results)
    if html_path:
        report.write(html_path, results)
    if markdown_path:
        write_text(markdown_path, tables.full_markdown(results))
    if options.google_benchmark:
        save_google_benchmark(options.google_benchmark, results)
    written = [str(path) for path in (json_path, html_path, markdown_path, options.google_benchmark) if path]
    if written:
        print("wrote " + ", ".join(written))


def _compare_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", help="a result file; or a commit, branch or checkout, whose kernels are run again")
    parser.add_argument("b", help="the same kind of thing, compared with A")
    parser.add_argument("problems", nargs="*", help="what to run again (default: the quick profile, once)")
    parser.add_argument("--fail-slower", metavar="10%", help="exit with 1 if a pass is SLOWER by this or more")
    parser.add_argument("--smallest", default="5%", help="a difference below this is SAME (default: 5%%)")
    parser.add_argument("--force", action="store_true", help="compare results of different machines or settings")
    parser.add_argument("--threads", type=int, default=default_threads(), help="for versions that are run again")
    parser.add_argument("--processes", type=int, default=5, help="for each version that is run again (default: 5)")
    parser.add_argument("--rounds", type=int, default=9, help="samples of a pass in each process (default: 9)")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--json", type=Path, help="write the comparison")


def compare_command(options: argparse.Namespace) -> int:
    """Compare two results or versions."""
    from . import compare
    from .descriptor import read_arguments
    from .results import load, write_text

    limit = None if options.fail_slower is None else compare.percentage(options.fail_slower)
    effect = compare.percentage(options.smallest)
    files = [name.endswith(".json") or Path(name).is_file() for name in (options.a, options.b)]
    if files[0] != files[1]:
        raise compare.CompareError("give two result files, or two versions, and not one of each")
    if all(files):
        found = compare.compare(load(Path(options.a)), load(Path(options.b)), options.force, effect)
    else:
        options.full = False
        problems = read_arguments(options.problems) if options.problems else _chosen_problems(options)
        with compare.checkout(options.a) as a, compare.checkout(options.b) as b:
            found = compare.rerun(a, b, problems, options.threads, options.processes, options.rounds, effect, _progress)
    print(compare.table(found, options.markdown))
    if options.json:
        write_text(options.json, compare.as_json(found))
    counts = {c.verdict: sum(other.verdict == c.verdict for other in found) for c in found}
    print("\n" + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    if all(files) and "AMBIGUOUS" in counts:
        print("runs that did not take turns tell little apart; `compare COMMIT_A COMMIT_B` makes both again, in turns")
    slower = [] if limit is None else compare.too_slow(found, limit)
    for c in slower:
        print(f"slower by {c.ratio - 1:.0%}: {c.layer} {c.passed} {c.implementation}")
    return int(bool(slower))


def report_command(options: argparse.Namespace) -> int:
    """Write the other forms of a saved result."""
    from . import report, tables
    from .results import load, save_google_benchmark, write_text

    results = load(options.result)
    if options.html:
        report.write(options.html, results)
    if options.google_benchmark:
        save_google_benchmark(options.google_benchmark, results)
    if options.markdown and str(options.markdown) != "-":
        write_text(options.markdown, tables.full_markdown(results))
    elif options.markdown or not (options.html or options.google_benchmark):
        print(tables.full_markdown(results))
    return 0


def ceilings_command(options: argparse.Namespace) -> int:
    """Print the ceilings."""
    prepare(options.threads)
    from . import ceilings

    found = ceilings.measure({"f32": "float32", "f64": "float64"}[options.dt], seconds=2)
    print(
        f"{found.gflops:.1f} GFLOP/s ({found.dtype}, multiply-add), {found.gbytes:.1f} GB/s (triad), "
        f"{found.threads} threads"
    )
    return 0


def list_command(options: argparse.Namespace) -> int:
    """Print what there is."""
    from .descriptor import SHAPES, read_shapes
    from .machine import load_frameworks_first
    from .peers import discover

    load_frameworks_first()
    for implementation in discover():
        reason = implementation.unavailable()
        print(f"{implementation.name:22} {implementation.device:5} {reason and 'skipped: ' + reason}".rstrip())
    for path in sorted(SHAPES.glob("*.txt")):
        print(f"{path.name:22} {len(read_shapes(path))} problems")
    return 0
