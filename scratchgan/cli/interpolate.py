"""Walk through what a trained generator can draw: from one random latent vector to the next and back to the first,
as a GIF that loops without a jump, or as a PNG strip of its frames."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .arguments import add_run_arguments, file_of, load_asked, name_of, whole

SUMMARY = "walk between images that a trained generator draws"
EXAMPLES = """\
  scratchgan interpolate runs/fashion-mnist --out walk.gif
  scratchgan interpolate runs/fashion-mnist --out strip.png --points 4 --frames 32
  scratchgan interpolate runs/toyfaces --out big.gif --seed 7 --size-multiplier 8
"""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    add_run_arguments(parser)
    parser.add_argument("--points", type=whole(2), default=6, metavar="N", help="latent vectors to visit (default: 6)")
    parser.add_argument("--frames", type=whole(2), default=96, metavar="N", help="images in all (default: 96)")
    parser.add_argument(
        "--fps", type=whole(1), default=25, metavar="N", help="GIF images a second, to 50 (default: 25)"
    )
    parser.add_argument(
        "--size-multiplier", type=whole(1), metavar="N", help="show each pixel as N x N (default: as suits the size)"
    )
    parser.add_argument(
        "--out",
        type=file_of(".gif", ".png"),
        default=Path("walk.gif"),
        metavar="FILE",
        help="a .gif, or a .png strip with one row for each latent vector (default: walk.gif)",
    )


def run(arguments: argparse.Namespace) -> int:
    from ..train.pictures import image_grid, provenance, save_film, save_png

    loaded = load_asked(arguments)
    stops = loaded.inputs(arguments.points, arguments.seed, arguments.truncation)
    images = loaded.draw(loaded.system.walk(stops, arguments.frames))
    scale = arguments.size_multiplier or max(1, 256 // max(images.shape[1:3]))
    text = provenance(name_of(arguments), loaded.step)
    out: Path = arguments.out
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".gif":
        save_film(out, images.repeat(scale, axis=1).repeat(scale, axis=2), arguments.fps, text["Source"])
    else:
        columns = -(-arguments.frames // arguments.points)
        save_png(out, image_grid(images, columns, arguments.size_multiplier), text)
    print(f"{out}: {len(images)} images between {arguments.points} latent vectors, from step {loaded.step:,}")
    return 0
