"""Show what a StyleGAN has learnt to change: the directions in w that change its styles most, a row of pictures each,
from one end through the picture itself to the other. They follow from the weights; nothing is searched for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .arguments import add_run_arguments, file_of, load_asked, name_of, whole

SUMMARY = "show the directions in which a StyleGAN's pictures change most"
EXAMPLES = """\
  scratchgan directions runs/stylegan-toyfaces --n 8 --out directions.png
  scratchgan directions runs/stylegan-toyfaces --seed 4 --columns 9
"""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    add_run_arguments(parser)
    parser.add_argument("--n", type=whole(1), default=8, metavar="N", help="how many directions (default: 8)")
    parser.add_argument("--columns", type=whole(2), default=7, metavar="N", help="pictures in a row (default: 7)")
    parser.add_argument(
        "--out",
        type=file_of(".png"),
        default=Path("directions.png"),
        metavar="FILE",
        help="a .png grid (default: directions.png)",
    )


def run(arguments: argparse.Namespace) -> int:
    import numpy as np

    from ..systems.style_editing import along, directions, factor_moved
    from ..train.pictures import image_grid, provenance, save_png

    loaded = load_asked(arguments)
    found, sizes = directions(loaded, arguments.n)
    inputs = loaded.inputs(1, arguments.seed, arguments.truncation)
    rows = [along(loaded, inputs, direction, arguments.columns)[0] for direction in found]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    grid = image_grid(np.concatenate(rows), columns=arguments.columns)
    save_png(arguments.out, grid, provenance(name_of(arguments), loaded.step))
    print(f"{arguments.out}: {len(found)} directions, a row each")
    for number, (direction, size) in enumerate(zip(found, sizes, strict=True), 1):
        print(f"  {number}: strength {size:.2f}{factor_moved(loaded, direction)}")
    return 0
