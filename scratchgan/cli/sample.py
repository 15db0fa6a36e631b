"""Draw new images with the generator of a run: a grid as a PNG, or the images themselves as an .npz archive
(key "images", uint8, N,H,W,C; of a run on points "points", float32, N,2). The same run, step and seed give the same
ones."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .arguments import add_run_arguments, file_of, load_asked, name_of, whole

SUMMARY = "draw images with a trained generator"
EXAMPLES = """\
  scratchgan sample runs/fashion-mnist
  scratchgan sample runs/fashion-mnist --n 100 --seed 7 --truncation 0.7 --out grid.png
  scratchgan sample runs/fashion-mnist --n 2000 --out samples.npz
  scratchgan sample runs/fashion-mnist --checkpoint 1000 --out early.png
"""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    add_run_arguments(parser)
    parser.add_argument("--n", type=whole(1), default=64, metavar="N", help="how many images (default: 64)")
    parser.add_argument(
        "--class", dest="label", metavar="NAME", help="of this class; `all`: a row of each (systems with classes)"
    )
    parser.add_argument("--columns", type=whole(1), metavar="N", help="images in a row (default: as square as can be)")
    parser.add_argument(
        "--out",
        type=file_of(".png", ".npz"),
        default=Path("samples.png"),
        metavar="FILE",
        help="a .png grid or an .npz archive (default: samples.png)",
    )


def run(arguments: argparse.Namespace) -> int:
    from ..train.pictures import provenance, save_npz, save_png

    loaded = load_asked(arguments)
    system = loaded.system
    outputs = loaded.sample(arguments.n, arguments.seed, arguments.truncation, arguments.label)
    text = provenance(name_of(arguments), loaded.step, system.kind)
    out: Path = arguments.out
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".png":
        save_png(out, system.picture(outputs, arguments.columns), text)
    else:
        save_npz(out, {system.kind: outputs}, text["Source"])
    print(f"{out}: {len(outputs)} {system.kind} from step {loaded.step:,}")
    return 0
