"""Toy faces as a data set for training: drawn once, then kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
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
from scratchgan.kernels.cache import cache_root

_CHUNK: Final = 256
_BAR_AFTER_SECONDS: Final = 1.0


def dataset(n: int = 10_000, size: int = 32, seed: int = 0, split: str = "train", quiet: bool = False) -> ArrayDataset:
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
        try:
            images = np.empty((n, 3, size, size), np.uint8)
            factors = sample_factors(n, seed, split, portrait=True)
        except MemoryError:
            gib = n * 3 * size * size / 2**30
            raise DataError(f"toyfaces: {n} images of {size} px need {gib:,.0f} GiB; ask for fewer") from None
        with _progress(n, quiet) as drawn:
            for start in range(0, n, _CHUNK):
                part = slice(start, start + _CHUNK)
                images[part] = render(take(factors, part), size).image
                drawn(len(images[part]))
        kept = images, factors["hair_colour"].astype(np.int64)
        _write(path, *kept)
    return ArrayDataset(kept[0], kept[1], TABLE["hair_colour"].categories, name="toyfaces")


def cache_folder() -> Path:
    """Return the folder in which drawn data sets are kept; it need not exist."""
    return cache_root() / "toyfaces"


def _digest(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(labels).data)
    return np.frombuffer(digest.digest(), np.uint8)


def _read(path: Path, n: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
    """Return the images and labels of a cache file, or None where it is missing or damaged."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
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
    """A progress bar in a terminal, as a function to be told of every few faces more.

    It appears after a second, by a timer: the first faces ever drawn wait for the kernels to be compiled.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda count: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("drawing toy faces", total=total)
    timer = threading.Timer(_BAR_AFTER_SECONDS, bar.start)
    timer.start()
    try:
        yield lambda count: bar.advance(task, count)
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
