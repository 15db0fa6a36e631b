"""Two results, or two versions of the kernels: the same, faster, slower, or not to be told apart.

Results that were saved are read. Versions (a commit, a branch, or a folder with a checkout) are run again, in turns: a
process for each, A B B A, several times over, because a process's layout of memory moves its times more than the noise
within it does.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import machine, statistics, tables
from .results import Results

ROOT = Path(__file__).parent.parent


class CompareError(ValueError):
    """Two things that cannot be compared; the text says why."""


@dataclass(frozen=True)
class Comparison:
    """How B's time stands to A's for one pass: ``ratio`` is B / A, so above 1 is slower."""

    layer: str
    passed: str
    implementation: str
    before: float
    after: float
    verdict: str
    ratio: float
    low: float
    high: float


def compare(
    a: Results, b: Results, force: bool = False, effect: float = statistics.SMALLEST_EFFECT
) -> list[Comparison]:
    """Compare what both results timed. CompareError if they are of different machines, unless forced."""
    different = machine.differences(a.provenance, b.provenance)
    if different and not force:
        raise CompareError(
            "A and B were not measured alike, so their times say nothing about the kernels (--force compares them "
            "anyway):\n" + "\n".join(f"  {line}" for line in different)
        )
    others = {record.key: record for record in b.timed}
    found = []
    for record in a.timed:
        other = others.get(record.key)
        if other is None:
            continue
        verdict, ratio, low, high = statistics.verdict(record.samples, other.samples, effect)
        found.append(
            Comparison(
                record.title, record.passed, record.implementation, record.summary.median, other.summary.median,
                verdict, ratio, low, high,
            )
        )  # fmt: skip
    if not found:
        raise CompareError("A and B have no pass of one problem by one implementation in common")
    return found


def table(comparisons: Sequence[Comparison], as_markdown: bool = False) -> str:
    """The comparisons as text or Markdown."""
    header = ("layer", "pass", "implementation", "A ms", "B ms", "B / A", "99 % interval", "verdict")
    rows = [
        (
            c.layer, c.passed, c.implementation, tables.milliseconds(c.before), tables.milliseconds(c.after),
            f"{c.ratio:.3f}", f"{c.low:.3f} to {c.high:.3f}", c.verdict,
        )
        for c in comparisons
    ]  # fmt: skip
    return tables.markdown(header, rows) if as_markdown else tables.text(header, rows)


def percentage(text: str) -> float:
    """Return 0.1 for "10%" or "10"; ValueError otherwise."""
    try:
        value = float(text.rstrip("%")) / 100
    except ValueError:
        raise ValueError(f"{text!r} is no percentage, such as 10%") from None
    if not 0 <= value < 100:
        raise ValueError(f"{text!r} is not a percentage from 0% on")
    return value


def too_slow(comparisons: Sequence[Comparison], limit: float) -> list[Comparison]:
    """Those that are SLOWER, and by ``limit`` or more: 0.1 is ten per cent."""
    return [c for c in comparisons if c.verdict == "SLOWER" and c.ratio >= 1 + limit]


@contextlib.contextmanager
def checkout(version: str) -> Iterator[Path]:
    """Yield a folder with the checkout that ``version`` names: the folder itself, or a commit in a temporary one."""
    if Path(version).is_dir():
        if not (Path(version) / "kernels").is_dir():
            raise CompareError(f"{version} is no checkout: it has no folder kernels")
        yield Path(version).resolve()
        return
    known = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{version}^{{commit}}"], cwd=ROOT, capture_output=True, text=True
    )
    if known.returncode:
        raise CompareError(
            f"{version!r} is neither a result file, nor a folder with a checkout, nor a commit of this one"
        )
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        path = Path(folder) / "tree"
        git = ["git", "worktree"]
        subprocess.run(
            [*git, "add", "-q", "--detach", path, known.stdout.strip()], cwd=ROOT, check=True, capture_output=True
        )
        try:
            yield path
        finally:
            subprocess.run([*git, "remove", "--force", path], cwd=ROOT, check=False, capture_output=True)


def rerun(
    a: Path, b: Path, problems: Sequence[str], threads: int, rounds: int, samples: int
) -> tuple[Results, Results]:
    """Time both checkouts' kernels in processes that take turns; return their results, with all samples in order."""
    collected: tuple[list[Results], list[Results]] = ([], [])
    for index in range(rounds):
        for which in (0, 1) if index % 2 == 0 else (1, 0):
            collected[which].append(_worker((a, b)[which], problems, threads, samples))
            time.sleep(0.2)
    return _merged(collected[0]), _merged(collected[1])


def _worker(tree: Path, problems: Sequence[str], threads: int, samples: int) -> Results:
    """Run this harness on another checkout's kernels, in a process of its own."""
    from .results import load

    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        # The harness is this checkout's: both sides are to be measured by one. The kernels are the other's.
        package = Path(folder) / "path"
        package.mkdir()
        (package / "benchmarks").symlink_to(ROOT / "benchmarks", target_is_directory=True)
        result = Path(folder) / "result.json"
        # Python's own search path comes before an installed package's redirection, so the other's kernels are found.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(tree)])}
        command = [
            sys.executable, "-P", "-m", "benchmarks", "run", "--mode", "performance", "--impl", "ours",
            "--threads", str(threads), "--rounds", str(samples), "--no-ceilings", "--json", str(result), *problems,
        ]  # fmt: skip
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise CompareError(f"the run on {tree} failed:\n{(done.stderr or done.stdout).strip()[-2000:]}")
        return load(result)


def _merged(results: Sequence[Results]) -> Results:
    """The samples of several processes in one result."""
    first = results[0]
    records = {record.key: record for record in first.records}
    for other in results[1:]:
        for record in other.records:
            if record.key in records:
                records[record.key].samples += record.samples
    for record in records.values():
        record.warning = statistics.instability(record.samples)
    return first


def as_json(comparisons: Sequence[Comparison]) -> str:
    """The comparisons for a program to read."""
    return json.dumps([c.__dict__ for c in comparisons], indent=1) + "\n"
