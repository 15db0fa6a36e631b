"""Toy faces as a data set for training: drawn once, then kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scratchgan.data.dataset import ArrayDataset, DataError
from scratchgan.data.toyfaces.factors import TABLE, sample_factors, take
from scratchgan.data.toyfaces.renderer import RENDERER_VERSION, check_size, render

_CHUNK: Final = 256
_QUIET_SECONDS: Final = 1.0


def dataset(
    n: int = 10_000, size: int = 32, seed: int = 0, split: str = "train", quiet: bool = False
) -> ArrayDataset:
    """Return n faces, well centred and turned moderately (the portrait ranges of the factors).

    Labels are the hair colour. The images are kept in the user's cache folder ($SCRATCHGAN_CACHE_DIR, or
    scratchgan in $XDG_CACHE_HOME or in ~/.cache); a damaged file there is noticed by its checksum and drawn anew,
    and a folder that can't be written costs a warning.

    Args:
        n: how many; the first m of a larger set are the set of m.
        size: pixels along a side, 16 to 128.
        seed: another seed gives other pictures of the same persons.
        split: ``train``, ``test`` or ``cell``; see ``sample_factors``.
        quiet: draw no progress bar (there is none either when it takes less than a second).

    Raises:
        DataError: n, size or split is out of range.
    """
    check_size(size)
    sample_factors(0, seed, split)  # an unknown split is reported before a cache is looked for
    if n < 1:
        raise DataError(f"toyfaces: n={n} images make no data set; ask for at least 1")
    path = cache_folder() / f"v{RENDERER_VERSION}-{size}px-n{n}-seed{seed}-{split}.npz"
    kept = _read(path, n, size)
    if kept is None:
        factors = sample_factors(n, seed, split, portrait=True)
        images = np.empty((n, 3, size, size), np.uint8)
        with _progress(n, quiet) as drawn:
            for start in range(0, n, _CHUNK):
                part = slice(start, start + _CHUNK)
                images[part] = render(take(factors, part), size).image
                drawn(min(start + _CHUNK, n))
        kept = images, factors["hair_colour"].astype(np.int64)
        _write(path, *kept)
    return ArrayDataset(kept[0], kept[1], TABLE["hair_colour"].categories, name="toyfaces")


def cache_folder() -> Path:
    """Return the folder in which drawn data sets are kept; it need not exist."""
    root = os.environ.get("SCRATCHGAN_CACHE_DIR") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "scratchgan"
    )
    return Path(root) / "toyfaces"


def _digest(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(labels).data)
    return np.frombuffer(digest.digest(), np.uint8)


def _read(path: Path, n: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
    """Return the images and labels of a cache file, or None where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            images, labels, digest = file["images"], file["labels"], file["digest"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    whole = images.shape == (n, 3, size, size) and images.dtype == np.uint8 and labels.shape == (n,)
    return (images, labels) if whole and np.array_equal(_digest(images, labels), digest) else None


def _write(path: Path, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    """Write a cache file under a temporary name, then rename it: a reader sees all of it or nothing."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".toyfaces-", delete=False) as file:
            temporary = Path(file.name)
            np.savez(file, images=images, labels=labels, digest=_digest(images, labels))
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        warnings.warn(
            f"toyfaces: the images cannot be kept in {path.parent} ({error.strerror or error}), so they are drawn "
            "again each time; set SCRATCHGAN_CACHE_DIR to a folder that can be written",
            RuntimeWarning,
            stacklevel=3,
        )


@contextlib.contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of faces drawn so far; a bar appears after a second."""
    begun, bar, task = time.monotonic(), None, None

    def drawn(done: int) -> None:
        nonlocal bar, task
        if bar is None and not quiet and done < total and time.monotonic() - begun > _QUIET_SECONDS:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            bar = Progress(*columns, transient=True)
            bar.start()
            task = bar.add_task("drawing toy faces", total=total)
        if bar is not None and task is not None:
            bar.update(task, completed=done)

    try:
        yield drawn
    finally:
        if bar is not None:
            bar.stop()
