"""Find the styles with which a StyleGAN draws a picture that you have: w, one style for all layers, and w+, one for
each. They are written to an .npz file that `scratchgan mix` takes as a source, with a film of the search beside it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_run_arguments, file_of, load_asked, name_of, whole

if TYPE_CHECKING:
    import numpy as np

SUMMARY = "find the styles with which a StyleGAN draws a picture"
EXAMPLES = """\
  scratchgan project runs/stylegan-toyfaces me.png --out me.npz
  scratchgan project runs/stylegan-toyfaces me.png --steps 1000   and then: scratchgan mix ... --a w.npz
"""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    add_run_arguments(parser)
    parser.add_argument("image", type=Path, metavar="IMAGE", help="a picture; its middle square is brought to the size")
    parser.add_argument("--steps", type=whole(2), default=400, metavar="N", help="of the search (default: 400)")
    parser.add_argument(
        "--out", type=file_of(".npz"), default=Path("w.npz"), metavar="FILE", help="an .npz file (default: w.npz)"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def run(arguments: argparse.Namespace) -> int:
    from ..systems.style_editing import project
    from ..train.pictures import provenance, save_film, save_npz
    from .progress import stages

    loaded = load_asked(arguments)
    image = _read(arguments.image, *loaded.system.shape[:2])  # type: ignore[attr-defined]
    with stages(quiet=arguments.quiet) as progress:
        on_step = None if progress is None else lambda done, total: progress("search", done, total)
        found = project(loaded, image, steps=arguments.steps, seed=arguments.seed, on_step=on_step)
    text = provenance(name_of(arguments), loaded.step)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"w": found.w, "ws": found.ws, "noise": found.noise}
    save_npz(arguments.out, arrays, f"styles of {arguments.image.name}; {text['Source']}")
    film = arguments.out.with_suffix(".gif")
    scale = max(1, 256 // found.film.shape[1])
    save_film(film, found.film.repeat(scale, axis=1).repeat(scale, axis=2), 10, text["Source"])
    print(f"{arguments.out}: PSNR {found.psnr_w:.1f} dB with w, {found.psnr:.1f} dB with w+ and its noise; film {film}")
    return 0


def _read(path: Path, channels: int, size: int) -> np.ndarray:
    """Return a picture as float32 (C,S,S) in [-1, 1], and say what was done to it."""
    import numpy as np

    from ..data.folder import decode
    from ..data.pixels import to_channels, to_square

    pixels = decode(path)
    _, height, width = pixels.shape
    if (height, width) != (size, size):
        side = min(height, width)
        what = f"its middle {side} x {side} was" if height != width else "it was"
        print(f"scratchgan project: {path} is {width} x {height}: {what} brought to {size} x {size}", file=sys.stderr)
    if len(pixels) != channels:
        colours = "grey" if channels == 1 else "RGB"
        print(f"scratchgan project: {path}: made {colours}, as the run draws", file=sys.stderr)
    square = to_channels(to_square(pixels[None], size), channels)[0]
    return square.astype(np.float32) / np.float32(127.5) - np.float32(1)
