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


def add_generator_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what chooses a trained generator and the randomness that it is given."""
    parser.add_argument("run_folder", type=Path, metavar="DIR", help="the folder of a run")
    parser.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of the latent vectors (default: 0)")
    parser.add_argument(
        "--truncation",
        type=_fraction,
        default=1.0,
        metavar="PSI",
        help="above 0, up to 1: scale latent vectors, for pictures more typical and less varied (default: 1)",
    )
    parser.add_argument(
        "--checkpoint",
        type=_step,
        default="last",
        metavar="STEP",
        help="the step to use, or `best`, if the run was evaluated with --eval-every (default: the newest)",
    )
    parser.add_argument("--raw", action="store_true", help="use G's last weights and not their moving average")


def load_generator(arguments: argparse.Namespace) -> LoadedRun:
    """Return the generator that `add_generator_arguments` asked for. Raises TrainError."""
    from ..train import load_run

    return load_run(
        arguments.run_folder,
        "raw" if arguments.raw else "ema",
        arguments.checkpoint,
        on_notice=lambda text: print(f"scratchgan {arguments.command}: {text}", file=sys.stderr),
    )


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


def _fraction(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number above 0 and up to 1")
    return number
