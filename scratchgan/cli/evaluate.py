"""Say how good a run's generator is: its images against real ones, in numbers and in plain words.

The scores are measured in the features of a network that was trained here on the real images, and tested on held-out
ones. The first evaluation of a kind of data trains it (a minute or two) and keeps it in the cache folder. Beside each
score stands the one that as many real images get."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from .arguments import add_generator_arguments, file_of, load_generator, whole

if TYPE_CHECKING:
    from ..data import PointDataset
    from ..train import LoadedRun

SUMMARY = "measure how good a trained generator is"
EXAMPLES = """\
  scratchgan evaluate runs/toyfaces
  scratchgan evaluate runs/fashion-mnist --n 2000 --json scores.json
  scratchgan evaluate runs/toyfaces --checkpoint 1000 --raw
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_generator_arguments(parser)
    parser.add_argument("--n", type=whole(1), default=5000, metavar="N", help="how many images (default: 5000)")
    parser.add_argument("--json", type=file_of(".json"), metavar="FILE", help="write all scores to FILE as well")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def run(arguments: argparse.Namespace) -> int:
    from ..data import PointDataset
    from ..metrics import evaluate, open_judge
    from ..train import open_training_data
    from ..train.atomic import write_atomically
    from .progress import stages

    loaded = load_generator(arguments)
    dataset = open_training_data(loaded.config, quiet=arguments.quiet)
    if isinstance(dataset, PointDataset):
        return _evaluate_points(arguments, loaded, dataset)
    with stages(quiet=arguments.quiet) as progress:
        judge = open_judge(loaded.config, dataset, arguments.n, on_progress=progress, on_notice=_notice)
    images = loaded.sample(arguments.n, arguments.seed, arguments.truncation).transpose(0, 3, 1, 2)
    report = evaluate(judge, images, f"{arguments.run_folder}, step {loaded.step:,}")
    print(report.to_text())
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(arguments.json, report.to_json().encode())
    return 0


def _evaluate_points(arguments: argparse.Namespace, loaded: LoadedRun, dataset: PointDataset) -> int:
    """Points need no evaluator: their modes are known. The floor is as many real points, of another seed."""
    import json

    from ..data import point_dataset
    from ..train.atomic import write_atomically

    score = dataset.score(loaded.sample(arguments.n, arguments.seed, arguments.truncation))
    floor = dataset.score(point_dataset(dataset.name, arguments.n, seed=1).points)
    print(f"{arguments.run_folder}, step {loaded.step:,}, n = {arguments.n:,}")
    print(f"generated points: {score}\nreal points:      {floor}")
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"n": arguments.n, "step": loaded.step, "scores": asdict(score), "floor": asdict(floor)}
        write_atomically(arguments.json, (json.dumps(content, indent=2) + "\n").encode())
    return 0


def _notice(text: str) -> None:
    print(f"scratchgan evaluate: {text}", file=sys.stderr)
