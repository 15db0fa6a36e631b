"""``python -m benchmarks overhead``: what recording and walking a graph costs for an operator, beside other autograds.

A chain of 1,000 operators on arrays of one element, forward and backward: microseconds for each operator. The
arithmetic is nothing at this size, so this is what the autograd itself takes. PyTorch, MyGrad, HIPS autograd and
tinygrad run the same chain, as far as they are installed and compute the same gradient; all take turns, on one thread.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scratchgan import Tensor, grad, ops

from .statistics import paired_ratio, summarise

OPERATORS = 1000


def chain(y: Any, a: Any, b: Any, tanh: Callable[[Any], Any]) -> Any:
    """Apply the operators: multiply, add, tanh, subtract, and again."""
    for _ in range(OPERATORS // 4):
        y = tanh(y * a + b) - b
    return y


VALUES = tuple(np.float32(v) for v in (0.5, 0.9, 0.1))


def ours() -> Callable[[], float]:
    def run() -> float:
        x, a, b = (Tensor(v, requires_grad=True) for v in VALUES)
        return grad(chain(x, a, b, ops.tanh), [x, a, b])[1].item()

    return run


def pytorch() -> Callable[[], float]:
    import torch

    torch.set_num_threads(1)

    def run() -> float:
        x, a, b = (torch.tensor(v, requires_grad=True) for v in VALUES)
        return torch.autograd.grad(chain(x, a, b, torch.tanh), [x, a, b])[1].item()

    return run


def mygrad() -> Callable[[], float]:
    import mygrad

    def run() -> float:
        x, a, b = (mygrad.tensor(v) for v in VALUES)
        chain(x, a, b, mygrad.tanh).backward()
        return float(a.grad)

    return run


def hips() -> Callable[[], float]:
    import autograd
    import autograd.numpy as xp

    gradient = autograd.grad(lambda values: chain(values[0], values[1], values[2], xp.tanh))
    return lambda: float(gradient(list(VALUES))[1])


def tinygrad() -> Callable[[], float]:
    import tinygrad

    def run() -> float:
        x, a, b = (tinygrad.Tensor([float(v)]) for v in VALUES)
        gradients = chain(x, a, b, lambda y: y.tanh()).sum().gradient(x, a, b)
        return float(gradients[1].numpy()[0])

    return run


# tinygrad compiles with clang; DEV=PYTHON has it interpret instead.
PEERS = {
    "PyTorch": ("torch", pytorch),
    "MyGrad": ("mygrad", mygrad),
    "HIPS autograd": ("autograd", hips),
    "tinygrad": ("tinygrad", tinygrad),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--rounds", type=int, default=15, help="samples of each side (default: 15)")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="which others (default: all)")
    parser.add_argument("--json", type=Path, help="write every sample")


def candidates(peers: Sequence[str] = tuple(PEERS)) -> tuple[dict[str, Callable[[], float]], list[str]]:
    """Return every side that runs here and computes the same gradient, and a line for each that is skipped."""
    runs, skipped = {"ours": ours()}, []
    answer = runs["ours"]()
    for name in peers:
        module, make = PEERS[name]
        if importlib.util.find_spec(module) is None:
            skipped.append(f"{name} is skipped: {module} is not installed")
            continue
        try:
            run = make()
            other = run()
        except Exception as error:
            skipped.append(f"{name} is skipped: it does not run here ({type(error).__name__}: {error})")
            continue
        if abs(other - answer) > 1e-4 * abs(answer):
            skipped.append(f"{name} is skipped: its gradient is {other:g}, and ours is {answer:g}")
            continue
        runs[name] = run
    return runs, skipped


def measure(rounds: int, peers: Sequence[str] = tuple(PEERS)) -> tuple[dict[str, list[float]], list[str]]:
    """Return the seconds of each side's chain, taken in turns; and what is skipped."""
    from .sampling import Settings, sample

    runs, skipped = candidates(peers)
    measured = sample(runs, Settings(seconds=1e9, relative_error=0, least_rounds=rounds, most_rounds=rounds))
    return {name: m.samples for name, m in measured.items()}, skipped


def command(options: argparse.Namespace) -> int:
    """Run the command."""
    from . import cli, machine
    from .results import write_text

    cli.prepare(1)
    times, skipped = measure(options.rounds, options.peers)
    for line in skipped:
        print(line)
    for name, seconds in times.items():
        text = f"{name:14} {summarise(seconds).median / OPERATORS * 1e6:8.2f} us an operator (n={len(seconds)})"
        if name != "ours":
            ratio, low, high = paired_ratio([seconds], [times["ours"]])
            text += f"  {ratio:.2f} of ours (99 %: {low:.2f} to {high:.2f})"
        print(text)
    if options.json:
        document = {"provenance": machine.describe(1), "operators": OPERATORS, "seconds": times}
        write_text(options.json, json.dumps(document) + "\n")
    return 0
