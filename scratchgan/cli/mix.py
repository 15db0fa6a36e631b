"""Mix pictures of a StyleGAN: sources A down the side, sources B along the top, and where they meet a picture with
the styles of B in some layers and of A in the others. A source is a seed, or an .npz file of `scratchgan project`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_run_arguments, file_of, load_asked, name_of
from .errors import UsageError

if TYPE_CHECKING:
    from ..train import Inputs, LoadedRun

SUMMARY = "mix pictures that a StyleGAN draws, source A with source B"
EXAMPLES = """\
  scratchgan mix runs/stylegan-toyfaces --a 0-3 --b 10-15 --layers coarse --out grid.png
  scratchgan mix runs/stylegan-toyfaces --a 3 --b 7,9,11 --layers fine --truncation 0.7
  scratchgan mix runs/stylegan-toyfaces --a me.npz --b 0-5 --layers 4-7
"""

_MOST_SEEDS = 64


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    add_run_arguments(parser)
    for name, place, default in (("a", "down the side", "0-3"), ("b", "along the top", "10-15")):
        parser.add_argument(
            f"--{name}", default=default, metavar="SEEDS",
            help=f"sources {place}: seeds such as 3 or 0-3 or 1,5,7, or an .npz file (default: {default})",
        )  # fmt: skip
    parser.add_argument(
        "--layers", default="fine", metavar="LAYERS",
        help="what is taken from B: coarse, middle, fine, or numbers such as 4-7 (default: fine)",
    )  # fmt: skip
    parser.add_argument("--out", type=file_of(".png"), default=Path("mix.png"), metavar="FILE", help="a .png grid")


def run(arguments: argparse.Namespace) -> int:
    import numpy as np

    from ..systems.style_editing import layers_named, mixed
    from ..train.pictures import image_grid, provenance, save_png

    loaded = load_asked(arguments)
    layers = layers_named(loaded, arguments.layers)
    a, b = (_sources(loaded, text, arguments) for text in (arguments.a, arguments.b))
    pictures = mixed(loaded, a, b, layers)
    blank = np.full_like(pictures[:1, 0], 255)
    top = np.concatenate([blank, loaded.draw(b)])
    rows = [np.concatenate([picture[None], row]) for picture, row in zip(loaded.draw(a), pictures, strict=True)]
    grid = image_grid(np.concatenate([top, *rows]), columns=len(top))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_png(arguments.out, grid, provenance(name_of(arguments), loaded.step))
    taken = ", ".join(map(str, np.flatnonzero(layers)))
    size = f"{len(rows)} x {len(top) - 1}"
    print(f"{arguments.out}: {size} pictures; layers {taken} from B (top), the others from A (left)")
    return 0


def _sources(loaded: LoadedRun, text: str, arguments: argparse.Namespace) -> Inputs:
    """Return the inputs that ``--a`` or ``--b`` names. Raises UsageError."""
    import numpy as np

    from ..systems.style_editing import read_projection

    if text.endswith(".npz"):
        return read_projection(loaded, Path(text))
    drawn = [loaded.inputs(1, seed, arguments.truncation) for seed in seeds_of(text)]
    return {name: np.concatenate([inputs[name] for inputs in drawn]) for name in drawn[0]}


def seeds_of(text: str) -> list[int]:
    """Return the seeds that a text such as 3, 0-3 or 1,5,7 names. Raises UsageError."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or (dash and int(last) < int(first)):
            raise UsageError(f"{text!r} must be seeds such as 3, 0-3 or 1,5,7, or an .npz file of scratchgan project")
        if len(seeds) + int(last or first) - int(first) >= _MOST_SEEDS:
            raise UsageError(f"{text!r} are more than {_MOST_SEEDS} seeds: a grid of so many can't be looked at")
        seeds += range(int(first), int(last or first) + 1)
    return seeds
