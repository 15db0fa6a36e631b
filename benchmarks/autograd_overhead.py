"""What recording and walking a graph costs: ``python -m benchmarks.autograd_overhead [--json FILE]``.

A chain of 1,000 operators on arrays of one element, forward and backward: microseconds for each operator. The
arithmetic is nothing at this size, so this is what the autograd itself takes. PyTorch, MyGrad, HIPS autograd and
tinygrad run the same chain, as far as they are installed; all take turns in every round, on one thread.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scratchgan import Tensor, grad, ops

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="how many times each runs (default 15)")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="which others (default: all)")
    parser.add_argument("--json", type=Path, help="write the raw samples to this file")
    options = parser.parse_args()
    runs = {"scratchgan": ours()}
    for name in options.peers:
        module, make = PEERS[name]
        if importlib.util.find_spec(module):
            runs[name] = make()
        else:
            print(f"{name}: not installed")
    answers = {}
    for name in list(runs):
        try:
            answers[name] = runs[name]()  # and everything is loaded
        except Exception as error:
            print(f"{name}: does not run here ({type(error).__name__}: {error})")
            del runs[name]
    for name, answer in answers.items():
        if abs(answer - answers["scratchgan"]) > 1e-4 * abs(answers["scratchgan"]):
            raise SystemExit(f"{name} computes another gradient: {answers}")
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    for name, seconds in times.items():
        middle = statistics.median(seconds) / OPERATORS * 1e6
        print(
            f"{name:14} {middle:7.2f} us an operator  ({min(seconds) / OPERATORS * 1e6:.2f} at best, n={len(seconds)})"
        )
    if options.json:
        options.json.write_text(json.dumps({"operators": OPERATORS, "seconds": times}))


if __name__ == "__main__":
    main()
