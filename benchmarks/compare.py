"""Two results, or two versions of the kernels: the same, faster, slower, or not to be told apart.

Results that were saved are read; what the machine did between them is judged by the anchors (`anchor.py`) that each run
timed beside the kernels. Versions (a commit, a branch, or a folder with a checkout) are run again, in turns.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from . import machine, statistics, tables
from .descriptor import DIRECTIONS, Problem
from .results import Results

ROOT = Path(__file__).parent.parent
#: What is not decided after all pairs of processes gets as many again, up to so many times in all.
BLOCKS = 8


#: Samples in seconds by visit, of both sides.
Sides = tuple[list[list[float]], list[list[float]]]


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
    samples_a: list[list[float]]  # seconds, by visit
    samples_b: list[list[float]]


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
        verdict, ratio, low, high = statistics.separate_verdict(
            record.by_visit, other.by_visit, record.anchors, other.anchors, effect
        )
        found.append(
            Comparison(
                record.title, record.passed, record.implementation, record.summary.median, other.summary.median,
                verdict, ratio, low, high, record.by_visit, other.by_visit,
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


class _Version:
    """A running process with the kernels of one checkout, timed by this checkout's harness."""

    def __init__(self, tree: Path, threads: int, folder: Path):
        self.tree = tree
        # The harness is this checkout's: both sides are to be measured by one. The kernels are the other's.
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "benchmarks").exists():
            (folder / "benchmarks").symlink_to(ROOT / "benchmarks", target_is_directory=True)
        # Python's own search path comes before an installed package's redirection, so the other's kernels are found.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(tree)])}
        self._errors = (folder / f"{os.getpid()}-{id(self)}.log").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "benchmarks.worker", str(threads)],
            env=environment, cwd=folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        self.kernels = Path(self._answer()["kernels"])

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer."""
        assert self._process.stdin is not None
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            self._fail()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._fail()
        return json.loads(line)

    def _fail(self) -> NoReturn:
        self._process.wait()
        self._errors.seek(0)
        raise CompareError(f"the process with the kernels of {self.tree} ended:\n{self._errors.read()[-2000:]}")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._errors.close()


def rerun(
    a: Path,
    b: Path,
    problems: Sequence[Problem],
    threads: int,
    processes: int,
    rounds: int,
    effect: float = statistics.SMALLEST_EFFECT,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Comparison]:
    """Time both checkouts' kernels, sample by sample in turns, in two processes at a time, started several times over.

    Samples that follow each other meet the same machine; a new process lays out its memory anew, and what that does to
    a kernel is part of the interval, as each pair of processes is one visit. Passes that are AMBIGUOUS after
    ``processes`` pairs get as many again, up to `BLOCKS` times in all; each look has its part of the 1 %.
    """
    passes = [p.directed(direction) for p in problems for direction in p.directions]
    samples: dict[str, Sides] = {str(p): ([], []) for p in passes}
    lacking: dict[str, str] = {}
    left = passes
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        for pair in range(BLOCKS * processes):
            if pair and pair % processes == 0:
                left = [p for p in left if _compared(p, *samples[str(p)], effect).verdict == "AMBIGUOUS"]
            if not left:
                break
            progress(f"pair {pair + 1} ({processes} to {BLOCKS * processes}), {len(left)} passes")
            _pair([a, b], pair % 2 == 1, left, threads, rounds, Path(name), samples, lacking)
            left = [p for p in left if str(p) not in lacking]
    for problem, error in lacking.items():
        progress(f"{problem} is skipped: {error}")
    found = [_compared(p, *samples[str(p)], effect) for p in passes if samples[str(p)][0]]
    if not found:
        raise CompareError("no pass ran on both versions")
    return found


def _pair(
    trees: list[Path],
    swapped: bool,
    passes: Sequence[Problem],
    threads: int,
    rounds: int,
    folder: Path,
    samples: dict[str, Sides],
    lacking: dict[str, str],
) -> None:
    """Start a process of each tree, and add a visit to each pass; ``swapped`` starts the second tree's first."""
    with contextlib.ExitStack() as stack:
        sides = []
        for tree in trees[::-1] if swapped else trees:
            sides.append(_Version(tree, threads, folder))
            stack.callback(sides[-1].close)
            if sides[-1].kernels.parent != tree and sides[-1].kernels.parent.parent != tree:
                raise CompareError(f"the kernels of {tree} were to be timed, not {sides[-1].kernels}")
        sides = sides[::-1] if swapped else sides
        for one in passes:
            ready = [side.ask(build=str(one)) for side in sides]
            errors = [
                f"{side.tree}: {answer['error']}"
                for side, answer in zip(sides, ready, strict=True)
                if "error" in answer
            ]
            if errors:
                lacking[str(one)] = errors[0]
                continue
            calls = max(answer["calls"] for answer in ready)
            own: tuple[list[float], list[float]] = ([], [])
            for index in range(rounds):
                for which in (0, 1) if index % 2 == 0 else (1, 0):
                    own[which].append(sides[which].ask(sample=calls)["seconds"])
            for which in (0, 1):
                samples[str(one)][which].append(own[which])


def _compared(problem: Problem, a: list[list[float]], b: list[list[float]], effect: float) -> Comparison:
    verdict, ratio, low, high = statistics.paired_verdict(a, b, effect, BLOCKS)
    before, after = (statistics.summarise([s for visit in side for s in visit]).median for side in (a, b))
    title = problem.name or str(problem.directed(""))
    passed = DIRECTIONS[problem.direction]
    return Comparison(title, passed, "ours", before, after, verdict, ratio, low, high, a, b)


def as_json(comparisons: Sequence[Comparison]) -> str:
    """The comparisons for a program to read."""
    return json.dumps([c.__dict__ for c in comparisons], indent=1) + "\n"
