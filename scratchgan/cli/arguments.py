"""What several commands ask for, in the same words."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..train import LoadedRun


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what chooses a finished run and the randomness that it is given."""
    parser.add_argument("run_folder", metavar="RUN", help="the folder of a run, or zoo:NAME")
    parser.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of what is random (default: 0)")
    parser.add_argument(
        "--truncation", "--psi",
        type=fraction,
        default=1.0,
        metavar="PSI",
        help="from 0 to 1: below 1 outputs are more typical and less varied (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint",
        type=_step,
        default="last",
        metavar="STEP",
        help="the step to use, or `best`, if the run was judged with --eval-every (default: the newest)",
    )
    parser.add_argument("--raw", action="store_true", help="use the last weights and not their moving average")


def load_asked(arguments: argparse.Namespace) -> LoadedRun:
    """Return the run that `add_run_arguments` asked for. Raises TrainError."""
    from ..systems.zoo import load

    return load(
        arguments.run_folder,
        "raw" if arguments.raw else "ema",
        arguments.checkpoint,
        on_notice=lambda text: print(f"scratchgan {arguments.command}: {text}", file=sys.stderr),
    )


def name_of(arguments: argparse.Namespace) -> str:
    """Return what a run is called in the files that are made of it."""
    run = str(arguments.run_folder)
    return run if run.startswith("zoo:") else Path(run).resolve().name


def whole(least: int) -> Callable[[str], int]:
    """Return an argparse type: a whole number from ``least``."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} must be at least {least}")
        return number

    return parse


def file_of(*suffixes: str) -> Callable[[str], Path]:
    """Return an argparse type: the path of a file to write, of one of these kinds."""

    def parse(text: str) -> Path:
        path = Path(text)
        if path.suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f"{text!r} must end in {' or '.join(suffixes)}")
        return path

    return parse


def _step(text: str) -> int | str:
    return text if text in ("best", "last") else whole(0)(text)


def fraction(text: str) -> float:
    """An argparse type: a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 0 to 1")
    return number
