"""Say how good a run's generator is: its images against real ones, in numbers and in plain words.

The scores are measured in the features of a network that was trained here on the real images, and tested on held-out
ones. The first evaluation of a kind of data trains it (a minute or two) and keeps it in the cache folder. Beside each
score stands the one that as many real images get."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .arguments import add_run_arguments, file_of, load_asked, whole

SUMMARY = "measure how good a trained generator is"
EXAMPLES = """\
  scratchgan evaluate runs/toyfaces
  scratchgan evaluate runs/fashion-mnist --n 2000 --json scores.json
  scratchgan evaluate runs/toyfaces --checkpoint 1000 --raw
"""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    add_run_arguments(parser)
    parser.add_argument("--n", type=whole(1), default=5000, metavar="N", help="how many images (default: 5000)")
    parser.add_argument("--json", type=file_of(".json"), metavar="FILE", help="write all scores to FILE as well")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def run(arguments: argparse.Namespace) -> int:
    from ..train import open_training_data
    from ..train.atomic import write_atomically
    from ..train.system import Ask
    from .progress import stages

    loaded = load_asked(arguments)
    dataset = open_training_data(loaded.config, quiet=arguments.quiet)
    ask = Ask(arguments.n, arguments.seed, arguments.truncation)
    with stages(quiet=arguments.quiet) as progress:
        report = loaded.system.report(loaded, dataset, ask, on_progress=progress, on_notice=_notice)
    print(f"{arguments.run_folder}, {report.to_text()}")
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(arguments.json, report.to_json().encode())
    return 0


def _notice(text: str) -> None:
    print(f"scratchgan evaluate: {text}", file=sys.stderr)
