"""A folder of pictures as a data set: any size and mode, class names from subfolders, bad files named.

flat/                labelled/
  a.png                cats/  1.png  2.jpg          classes: ("cats", "dogs")
  b.jpg                dogs/  3.png                 labels:  [0, 0, 1]
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from .dataset import ArrayDataset, DataError, choose
from .pixels import is_grey, on_white, to_channels, to_square

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

T = TypeVar("T")

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")

#: The largest picture that is decoded, in pixels: below the size at which Pillow itself begins to warn.
MAX_PIXELS = 80_000_000


def read_folder(
    folder: Path,
    *,
    size: int | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> ArrayDataset:
    """The pictures in `folder`, or, when it has none itself, those in its subfolders, one class each.

    Pictures are told by suffix (`SUFFIXES`) and decoded by content. Hidden files and folders are left out,
    and files of other suffixes too. The order is that of the names. Transparency is laid on white, EXIF
    orientation applied, 16 bits scaled to 8, the first frame taken of an animation. Grey and RGB pictures
    may mix: the result is grey only when every picture is.

    Args:
        folder: where to look.
        size: pixels; pictures become size x size (`to_square`). None demands that all have one size.
        skip_bad: leave out pictures that can't be decoded and count them on stderr, instead of raising.
        limit: at most so many pictures are decoded, chosen at random by `seed`.
        seed: of that choice.
        quiet: nothing on stderr.

    Raises:
        DataError: for a folder without pictures, or with pictures both beside and within subfolders; for a
            file that is no picture, is damaged or has over `MAX_PIXELS`; for differing sizes without `size`.
    """
    paths, labels, classes = _listing(folder, quiet)
    kept = choose(len(paths), limit, seed)
    pictures: list[NDArray[np.uint8]] = []
    good: list[int] = []
    first_bad = None
    for index, result in _progress(_decoded(paths, kept, size), len(kept), folder.name, quiet):
        if isinstance(result, DataError):
            if not skip_bad:
                raise result
            first_bad = first_bad or result
            continue
        if pictures and result.shape[1:] != pictures[0].shape[1:]:
            raise DataError(_differing(paths[good[0]], pictures[0], paths[index], result))
        pictures.append(result)
        good.append(index)
    skipped = len(kept) - len(good)
    if not good:
        raise DataError(f"{folder}: none of its {len(kept)} pictures could be read; the first: {first_bad}")
    if skipped and not quiet:
        print(f"{folder}: skipped {skipped} of {len(kept)} pictures; the first: {first_bad}", file=sys.stderr)
    return ArrayDataset(_stack(pictures), None if labels is None else labels[good], classes, folder.name)


def _progress(results: Iterable[T], total: int, name: str, quiet: bool) -> Iterable[T]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(results, f"reading {name}", total, console=console, transient=True, disable=quiet)


def _listing(folder: Path, quiet: bool) -> tuple[list[Path], NDArray[np.int64] | None, tuple[str, ...]]:
    """The pictures' paths, their labels and the class names: (paths, None, ()) for a flat folder."""
    others: Counter[str] = Counter()
    loose, subfolders = _pictures_in(folder, others)
    by_class = {sub.name: _pictures_in(sub, others)[0] for sub in subfolders}
    by_class = {name: paths for name, paths in by_class.items() if paths}
    if others and not quiet:
        suffixes = ", ".join(sorted(suffix or "no suffix" for suffix in others))
        print(f"{folder}: left out {others.total()} other files ({suffixes})", file=sys.stderr)
    if loose and by_class:
        raise DataError(
            f"{folder}: has pictures ({loose[0].name}) beside folders of pictures ({next(iter(by_class))}): "
            "keep one class in each folder, or all pictures in one"
        )
    if loose:
        return loose, None, ()
    if not by_class:
        raise DataError(
            f"{folder}: no pictures in it nor in its subfolders ({', '.join(s[1:] for s in SUFFIXES)}): "
            "give the folder that holds them"
        )
    paths = [path for pictures in by_class.values() for path in pictures]
    labels = np.repeat(np.arange(len(by_class)), [len(pictures) for pictures in by_class.values()])
    return paths, labels, tuple(by_class)


def _pictures_in(folder: Path, others: Counter[str]) -> tuple[list[Path], list[Path]]:
    """The pictures and the subfolders in `folder`, each sorted by name; other files' suffixes are counted."""
    pictures, subfolders = [], []
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: can't be read ({error.strerror or error})") from error
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            subfolders.append(path)
        elif path.suffix.lower() in SUFFIXES:
            pictures.append(path)
        else:
            others[path.suffix.lower()] += 1
    return pictures, subfolders


def _differing(path: Path, picture: NDArray[np.uint8], other: Path, larger: NDArray[np.uint8]) -> str:
    (height, width), (other_height, other_width) = picture.shape[1:], larger.shape[1:]
    return (
        f"{other}: is {other_width}x{other_height} pixels but {path.name} is {width}x{height}: "
        "pass --size to bring them to one size"
    )


def _stack(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """One array out of pictures (C, H, W) of one size; the list is emptied on the way, to not hold both."""
    channels = max(len(picture) for picture in pictures)
    stacked = np.empty((len(pictures), channels, *pictures[0].shape[1:]), dtype=np.uint8)
    for index in reversed(range(len(pictures))):
        stacked[index] = pictures.pop()  # a grey picture is repeated over the channels
    return stacked


def _decoded(
    paths: list[Path], kept: NDArray[np.int64], size: int | None
) -> Iterator[tuple[int, NDArray[np.uint8] | DataError]]:
    """(index, picture or what is wrong with it) for each of `kept`, in order, decoded on a few threads.

    Pillow's decoders let go of the interpreter lock.
    """

    def decode_or_error(index: int) -> NDArray[np.uint8] | DataError:
        try:
            return decode(paths[index], size)
        except DataError as error:
            return error

    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    try:
        yield from zip(kept.tolist(), pool.map(decode_or_error, kept), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)  # the rest is not wanted after an error or Ctrl-C


def decode(path: Path, size: int | None = None) -> NDArray[np.uint8]:
    """One picture file as uint8 (C, H, W): C is 1 when it is grey, else 3. See `read_folder`.

    Raises:
        DataError: naming the file, when it is no picture, damaged, or over `MAX_PIXELS`.
    """
    from PIL import Image

    try:
        with open(path, "rb") as stream:
            picture = _open_picture(stream, path)
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise DataError(
                    f"{path}: is {width}x{height} pixels, over the limit of {MAX_PIXELS:,}: "
                    "shrink it, or leave it out with --skip-bad"
                )
            pixels = _pixels(picture)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {error} Shrink it, or leave it out with --skip-bad") from error
    # Pillow's decoders meet damaged bytes with exceptions of a dozen types, and not all are documented.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"{path}: can't be decoded ({reason}): replace it, or leave it out with --skip-bad") from error
    if size is not None:
        pixels = to_square(pixels, size)
    return to_channels(pixels, 1 if is_grey(pixels) else 3)[0]


def _open_picture(stream: BinaryIO, path: Path) -> ImageFile:
    """The picture in `stream`, its header read and nothing decoded.

    The formats' own classes are used instead of `Image.open`: that warns of a large size, which a thread can
    neither catch nor silence for itself, and raises for a huge one without saying how large.
    """
    from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

    signatures = (
        (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
        (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
        (b"GIF8", GifImagePlugin.GifImageFile),
        (b"BM", BmpImagePlugin.BmpImageFile),
        (b"RIFF", WebPImagePlugin.WebPImageFile),
    )
    start = stream.read(8)
    stream.seek(0)
    for signature, picture_class in signatures:
        if start.startswith(signature):
            return picture_class(stream)
    raise DataError(f"{path}: not a picture, for all its name: replace it, or leave it out with --skip-bad")


def _pixels(picture: ImageFile) -> NDArray[np.uint8]:
    """The picture decoded, upright and on white, (1, C, H, W)."""
    from PIL import Image, ImageOps

    picture.load()
    image: Image.Image = picture
    with contextlib.suppress(Exception):  # a damaged EXIF block says nothing about the pixels
        image = ImageOps.exif_transpose(picture)
    if image.mode.startswith("I"):  # 16 bits, grey: 65,535 / 257 = 255
        pixels = np.rint(np.clip(np.asarray(image), 0, 65535) / 257).astype(np.uint8)[None]
    else:
        grey = image.mode in ("1", "L", "LA")
        mode = ("L" if grey else "RGB") + ("A" if image.has_transparency_data else "")
        array = np.asarray(image if image.mode == mode else image.convert(mode))
        pixels = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return on_white(pixels[None])
