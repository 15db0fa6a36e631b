"""What `scratchgan train` shows while it trains: a live bar in a terminal, a line now and then anywhere else.

training ━━━━━━━━━━━━━━━━━━━━━━━━━━╸━━━━━━━━━━━━━━ 1,980/3,000  412 images/s  2:38 left
         D(x) 0.71  D(G(z)) 0.30  loss D 0.932  G 1.417
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

# Speed is that of the last seconds: the first steps compile kernels, and a laptop slows down as it warms up.
_SPEED_WINDOW = 15.0

# Between the lines where there is no terminal, seconds.
_LINE_INTERVAL = 5.0


class Display(Protocol):
    """What the training loop and the compiler report to."""

    def step(self, step: int, metrics: Mapping[str, Any]) -> None: ...

    def compiling(self, kernel: str) -> None: ...


class _Speed:
    """Steps per second over the last `_SPEED_WINDOW` seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, step: int) -> float | None:
        """Note that ``step`` is done and return the speed, None before there are two steps to measure."""
        now = time.monotonic()
        self._seen.append((now, step))
        while len(self._seen) > 2 and self._seen[1][0] < now - _SPEED_WINDOW:
            self._seen.popleft()
        then, first = self._seen[0]
        return (step - first) / (now - then) if step > first else None

    def restart(self) -> None:
        """Forget the steps so far: what came between the last one and the next was no training."""
        self._seen.clear()


@contextmanager
def display(
    total: int, first: int, batch: int, status: Callable[[Mapping[str, Any]], str], *, quiet: bool
) -> Iterator[Display]:
    """Show the steps from ``first`` (steps done before) to ``total``, each of ``batch`` images, on stderr.

    ``status``: makes one line of a step's metrics.
    """
    if quiet:
        yield _Silent()
    elif sys.stderr.isatty():
        with _live(total, first, batch, status) as live:
            yield live
    else:
        yield _Lines(total, batch, status)


class _Silent:
    def step(self, step: int, metrics: Mapping[str, Any]) -> None:
        pass

    def compiling(self, kernel: str) -> None:
        pass


class _Lines:
    """Whole lines, for a log file or a pipe: the first step, then one every few seconds, and the last step."""

    def __init__(self, total: int, batch: int, status: Callable[[Mapping[str, Any]], str]):
        self.total, self.batch, self.status = total, batch, status
        self.usual: set[str] = set()  # the metrics of an ordinary step; an evaluation adds scores
        self.speed = _Speed()
        self.compiled = 0
        self._last: dict[str, float] = {}  # when a line of each kind was printed

    def step(self, step: int, metrics: Mapping[str, Any]) -> None:
        speed = self.speed.add(step)
        self.usual = self.usual or set(metrics)
        if self._due("step") or step == self.total or not self.usual.issuperset(metrics):
            rate = f"  {_rate(speed, self.batch, self.total - step)}" if speed else ""
            width = len(f"{self.total:,}")
            print(f"step {step:{width},}/{self.total:,}  {self.status(metrics)}{rate}", file=sys.stderr, flush=True)

    def compiling(self, kernel: str) -> None:
        self.speed.restart()
        self.compiled += 1
        if self._due("compiling"):
            kept = "; they are kept, so the next start is quick" if self.compiled == 1 else ""
            print(f"compiling kernels: {self.compiled}, {kernel}{kept}", file=sys.stderr, flush=True)

    def _due(self, kind: str) -> bool:
        """Whether no line of this kind was printed for a while; if so, one is now."""
        now = time.monotonic()
        due = now - self._last.get(kind, float("-inf")) >= _LINE_INTERVAL
        if due:
            self._last[kind] = now
        return due


@contextmanager
def _live(total: int, first: int, batch: int, status: Callable[[Mapping[str, Any]], str]) -> Iterator[Display]:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.text import Text

    bar = Progress(
        TextColumn("training"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TextColumn("{task.fields[rate]}"),
        expand=True,
    )
    task = bar.add_task("training", total=total, completed=first, rate="")
    below = Text("         starting", style="dim")

    class Bar:
        def __init__(self) -> None:
            self.speed = _Speed()
            self.compiled = 0
            self.newest: dict[str, Any] = {}  # scores stay until the next evaluation

        def step(self, step: int, metrics: Mapping[str, Any]) -> None:
            speed = self.speed.add(step)
            rate = _rate(speed, batch, total - step) if speed else ""
            bar.update(task, completed=step, rate=rate)
            self.newest |= metrics
            below.plain = f"         {status(self.newest)}"

        def compiling(self, kernel: str) -> None:
            self.speed.restart()
            self.compiled += 1
            below.plain = f"         compiling kernels, which are kept for the next start: {self.compiled}, {kernel}"

    # A terminal's last frame stays on the screen, as the record of where training ended.
    with Live(Group(bar, below), console=Console(stderr=True), refresh_per_second=8):
        yield Bar()


def _rate(speed: float, batch: int, steps_left: int) -> str:
    left = f"  {duration(steps_left / speed)} left" if steps_left else ""
    return f"{speed * batch:,.0f} images/s{left}"


def duration(seconds: float) -> str:
    """Return ``seconds`` as h:mm:ss, or m:ss below an hour."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


@contextmanager
def stages(*, quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """Show work that is done in stages, on stderr: a bar for each, or elsewhere than in a terminal a line now and then.

    What is yielded is to be called with (name of the stage, steps done, of how many); it is None if ``quiet``.
    """
    if quiet:
        yield None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            tasks: dict[str, Any] = {}

            def show(name: str, done: int, total: int) -> None:
                if name not in tasks:
                    tasks[name] = bars.add_task(name, total=total)
                bars.update(tasks[name], completed=done, visible=done < total)

            yield show
    else:
        last = -_LINE_INTERVAL

        def print_line(name: str, done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _LINE_INTERVAL or done == total:
                last = now
                print(f"{name}: {done:,}/{total:,}", file=sys.stderr, flush=True)

        yield print_line
