"""Look at a data set: a sheet of its first images as a PNG, or the images themselves as an .npz archive.

Of toy faces, which are drawn on the spot, it can show more: one factor a row (--vary), what is known of each face
(--truth), and faces of your choice (--set). Their archive holds all that is known of them, and their factors."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import file_of, whole
from .errors import UsageError

if TYPE_CHECKING:
    import numpy as np

SUMMARY = "look at a data set: a sheet of its images"
EXAMPLES = """\
  scratchgan data toyfaces --n 16 --size 64 --out sheet.png
  scratchgan data toyfaces --vary hair_style --vary yaw
  scratchgan data toyfaces --vary expression --set hat_present=yes --set hat=party
  scratchgan data toyfaces --n 8 --truth --seed 3
  scratchgan data toyfaces --n 1000 --size 32 --split test --out faces.npz
  scratchgan data fashion-mnist --n 100
  scratchgan data swiss-roll --n 2000 --out roll.png
"""

_FACES_ONLY = ("vary", "set", "truth")


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("source", metavar="NAME|PATH", help="a data set, as for scratchgan train --data")
    parser.add_argument("--n", type=whole(1), default=16, metavar="N", help="how many images (default: 16)")
    parser.add_argument(
        "--size", type=whole(1), metavar="PX", help="pixels along a side (default: 64 for toyfaces, else the data's)"
    )
    parser.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of toy faces (default: 0)")
    parser.add_argument("--split", default="train", metavar="NAME", help="train (default) or test; toyfaces: cell too")
    parser.add_argument("--columns", type=whole(1), metavar="N", help="images in a row (default: as square as can be)")
    parser.add_argument(
        "--out",
        type=file_of(".png", ".npz"),
        default=Path("sheet.png"),
        metavar="FILE",
        help="a .png sheet or an .npz archive (default: sheet.png)",
    )
    faces = parser.add_argument_group("toyfaces only")
    faces.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="FACTOR",
        help="a row in which only this factor varies, or a row each for a group: identity, accessories, pose, "
        "expression, style, background, or all",
    )
    faces.add_argument("--set", action="append", default=[], metavar="FACTOR=VALUE", help="give every face this value")
    faces.add_argument(
        "--truth", action="store_true", help="below each face its mask, depth, landmarks, pixel art and weather"
    )


def run(arguments: argparse.Namespace) -> int:
    from ..train.pictures import save_npz, save_png

    out: Path = arguments.out
    if arguments.source == "toyfaces":
        if out.suffix.lower() == ".npz" and (arguments.vary or arguments.truth):
            raise UsageError("--vary and --truth are drawn as sheets: give --out a .png")
        sheet_or_arrays, text = _faces(arguments)
    else:
        for option in _FACES_ONLY:
            if getattr(arguments, option):
                raise UsageError(f"--{option} is for toyfaces, whose pictures are drawn on the spot")
        sheet_or_arrays, text = _images(arguments)
    out.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(sheet_or_arrays, dict):
        save_npz(out, sheet_or_arrays, text)
    else:
        save_png(out, sheet_or_arrays, {"Source": text})
    print(f"{out}: {text}")
    return 0


def _faces(arguments: argparse.Namespace) -> tuple[np.ndarray | dict[str, np.ndarray], str]:
    """Return what was asked for of toy faces, as a sheet (H,W,3) or as arrays by name, and a line about it."""
    from ..data import toyfaces
    from ..data.toyfaces import sheets

    size = arguments.size or 64
    fixed = _fixed_factors(arguments.set)
    version = f"toyfaces (drawn by code, renderer version {toyfaces.RENDERER_VERSION})"
    if arguments.vary:
        names = _varied(arguments.vary)
        columns = arguments.columns or 8
        return sheets.factor_sheet(names, columns, size, fixed), f"one factor a row, {', '.join(names)}; {version}"
    factors = toyfaces.sample_factors(arguments.n, arguments.seed, arguments.split, portrait=True)
    factors = toyfaces.validate({**factors, **fixed})
    what = f"{arguments.n:,} faces of {size} px, {arguments.split} split, seed {arguments.seed}; {version}"
    if arguments.truth:
        return sheets.truth_sheet(factors, size, arguments.seed), what
    faces = toyfaces.render(factors, size)
    if arguments.out.suffix.lower() == ".npz":
        truth = {name: getattr(faces, name) for name in ("alpha", "mask", "depth", "landmarks", "visibility")}
        factor_arrays = {f"factor_{name}": array for name, array in factors.items()}
        who = toyfaces.sample_identities(arguments.n, arguments.seed, arguments.split)
        return {"images": faces.image.transpose(0, 2, 3, 1), **truth, "identity": who, **factor_arrays}, what
    return _grid(faces.image, arguments.columns), what


def _fixed_factors(items: list[str]) -> dict[str, Any]:
    """Return the factors that --set names; values that are numbers become such, and the rest are categories."""
    fixed: dict[str, Any] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals:
            raise UsageError(f"--set {item}: write it as FACTOR=VALUE, such as --set hat=party")
        fixed[name] = _number(value)
    return fixed


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _varied(wanted: list[str]) -> list[str]:
    """Return the factors that --vary names, each group by its members. Raises UsageError for an unknown name."""
    from ..data.toyfaces import FACTORS

    groups: dict[str, list[str]] = {"all": [f.name for f in FACTORS]}
    for f in FACTORS:
        groups.setdefault(f.group, []).append(f.name)
        groups[f.name] = [f.name]
    for name in wanted:
        if name not in groups:
            raise UsageError(f"--vary {name}: no factor or group has that name; there are: {', '.join(groups)}")
    return [member for name in wanted for member in groups[name]]


def _images(arguments: argparse.Namespace) -> tuple[np.ndarray | dict[str, np.ndarray], str]:
    """Return the first images of any data set, as a sheet (H,W,C) or as arrays by name, and a line about them."""
    from ..data import POINT_SETS, open_dataset, point_dataset
    from ..systems.point_pictures import draw_points

    if arguments.source in POINT_SETS:
        points = point_dataset(arguments.source, arguments.n, arguments.seed)
        if arguments.out.suffix.lower() == ".npz":
            return {"points": points.points, "labels": points.labels}, repr(points)[1:-1]
        return draw_points(points.points, points.points, caption=repr(points)[1:-1]), repr(points)[1:-1]
    dataset = open_dataset(arguments.source, size=arguments.size, split=arguments.split)
    pixels = dataset.pixels[: arguments.n]
    what = f"{len(pixels):,} of {len(dataset):,} images of {dataset.name}"
    if arguments.out.suffix.lower() == ".npz":
        labels = {} if dataset.labels is None else {"labels": dataset.labels[: arguments.n]}
        return {"images": pixels.transpose(0, 2, 3, 1), **labels}, what
    return _grid(pixels, arguments.columns), what


def _grid(images: np.ndarray, columns: int | None) -> np.ndarray:
    from ..train.pictures import image_grid

    return image_grid(images.transpose(0, 2, 3, 1), columns)
