"""What the benchmarks share: taking turns, the options, and PyTorch if it is there."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scratchgan import kernels


def sample(candidates: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds that each candidate took in each round."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for run in candidates.values():
        run()
    names = list(candidates)
    for index in range(rounds):
        for name in names[index % len(names) :] + names[: index % len(names)]:
            time.sleep(0.003)  # the other library's threads have stopped waiting busily by then
            candidates[name]()  # and this one's are awake
            begin = time.perf_counter()
            candidates[name]()
            times[name].append(time.perf_counter() - begin)
    return times


def add_options(parser: argparse.ArgumentParser, rounds: int) -> None:
    parser.add_argument("--json", type=Path, help="write every sample to this file")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"samples of each candidate (default: {rounds})")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="for both sides")
    parser.add_argument("--no-peer", action="store_true", help="leave PyTorch out")


def prepare(options: argparse.Namespace) -> Any:
    """Give both sides the threads that were asked for; return the torch module, or None without it.

    PyTorch comes first: our kernels ask OpenMP, in the environment, for threads that wait passively, and PyTorch's
    are to wait as they would without us.
    """
    torch: Any = None
    if not options.no_peer:
        try:
            import torch

            torch.set_num_threads(options.threads)
        except ImportError:
            print("PyTorch is not installed: our own times alone")
    kernels.set_num_threads(options.threads)
    return torch
