"""`open_dataset`: from what a person typed after --data to a data set."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from .dataset import ArrayDataset, DataError, choose
from .folder import read_folder
from .idx import labels_file_beside, read_idx_dataset
from .mnist import NAMED_SETS, load_named
from .npz import read_npz
from .pixels import is_grey, to_channels, to_square
from .points import POINT_SETS

#: toyfaces is endless; this many are drawn, and this large, unless the caller says otherwise.
TOYFACES_COUNT = 10_000
TOYFACES_SIZE = 32


def open_dataset(
    source: str | Path,
    *,
    size: int | None = None,
    channels: int | None = None,
    split: str = "train",
    data_dir: str | Path | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> ArrayDataset:
    """The data set that `source` names.

    Args:
        source: ``"toyfaces"``, ``"fashion-mnist"``, ``"mnist"``, a folder of images, an .npz file, or an IDX
            images file (.gz or plain; the labels file beside it is found by the usual naming). A file or
            folder of a set's name is reached as ``./mnist``.
        size: pixels; images become size x size by centre crop and resampling. None keeps their natural size
            (a folder's images must then all have the same).
        channels: 1 for grey, 3 for RGB; None decides by the content.
        split: ``"train"`` or ``"test"``; folders and files have "train" only.
        data_dir: where to look first for the named sets' files.
        skip_bad: leave out a folder's unreadable images, and say how many, instead of stopping at the first.
        limit: at most so many images, a random choice that depends on `seed` alone, in the set's order.
        seed: of `limit`'s choice, and of toyfaces.
        quiet: nothing on stderr: no progress bar, no counts of what was left out.

    Raises:
        DataError: with one line that names the file or argument and says what to do.
    """
    if size is not None and size < 1:
        raise DataError(f"size {size} must be at least 1 pixel")
    if channels not in (None, 1, 3):
        raise DataError(f"channels {channels} must be 1 (grey) or 3 (RGB)")
    if limit is not None and limit < 1:
        raise DataError(f"limit {limit} must be at least 1 image")
    if split not in ("train", "test"):
        raise DataError(f"split {split!r} must be 'train' or 'test'")

    if seed < 0:
        raise DataError(f"seed {seed} must be 0 or more")

    if source == "toyfaces":
        from .toyfaces import dataset as toyfaces

        faces = toyfaces(limit or TOYFACES_COUNT, size or TOYFACES_SIZE, seed, split, quiet)
        return _shaped(faces, None, channels)
    if source in NAMED_SETS:
        named = load_named(NAMED_SETS[str(source)], split, Path(data_dir) if data_dir else None, quiet=quiet)
        return _shaped(_limited(named, limit, seed), size, channels)

    path = Path(source)
    if not os.path.exists(path):  # Path.exists raises for a name that is too long
        names = ("toyfaces", *sorted(NAMED_SETS), *POINT_SETS)
        nearest = difflib.get_close_matches(str(source), names, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise DataError(f"{path}: no such file or folder, nor one of the built-in data sets ({', '.join(names)}){hint}")
    if split != "train":
        raise DataError(f"{path}: a folder or file has no {split!r} split: give the path of the {split} images")
    if path.is_dir():
        folder = read_folder(path, size=size, skip_bad=skip_bad, limit=limit, seed=seed, quiet=quiet)
        return _shaped(folder, None, channels)
    if path.suffix == ".npz":
        archive = read_npz(path)
    else:
        archive = read_idx_dataset(path, labels_file_beside(path))
    return _shaped(_limited(archive, limit, seed), size, channels)


def _limited(dataset: ArrayDataset, limit: int | None, seed: int) -> ArrayDataset:
    if limit is None or limit >= len(dataset):
        return dataset
    kept = choose(len(dataset), limit, seed)
    labels = None if dataset.labels is None else dataset.labels[kept]
    return ArrayDataset(dataset.pixels[kept], labels, dataset.classes, dataset.name)


def _shaped(dataset: ArrayDataset, size: int | None, channels: int | None) -> ArrayDataset:
    pixels = dataset.pixels
    if size is not None:
        pixels = to_square(pixels, size)
    pixels = to_channels(pixels, channels or (1 if is_grey(pixels) else 3))
    return ArrayDataset(pixels, dataset.labels, dataset.classes, dataset.name)
