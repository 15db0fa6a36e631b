"""The pictures of a run: grids of samples, and the files that they are kept in."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .atomic import write_atomically

_GAP = 2  # pixels between the images of a grid


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Turn float images (N,C,H,W) in [-1, 1] into uint8 (N,H,W,C) in [0, 255], rounding to the nearest."""
    pixels = np.rint((images.clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


def image_grid(images: np.ndarray, columns: int | None = None, scale: int | None = None) -> np.ndarray:
    """Lay images (N,H,W,C) uint8 out in rows, on white; returns uint8 (H',W',C).

    ``columns``: as near a square as can be unless given. ``scale``: how many times each pixel is repeated; unless
    given, images below 64 pixels are enlarged to about that, for the eye.
    """
    if images.ndim != 4 or images.dtype != np.uint8 or len(images) == 0:
        raise ValueError(f"image_grid: images must be uint8 N,H,W,C with N > 0, got {images.dtype} {images.shape}")
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    scale = scale or max(1, 64 // max(height, width))
    rows = math.ceil(count / columns)
    height, width = height * scale, width * scale
    grid = np.full((rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, channels), 255, np.uint8)
    for i, image in enumerate(images.repeat(scale, axis=1).repeat(scale, axis=2)):
        top, left = _GAP + (i // columns) * (height + _GAP), _GAP + (i % columns) * (width + _GAP)
        grid[top : top + height, left : left + width] = image
    return grid


def provenance(run: str, step: int, kind: str = "images") -> dict[str, str]:
    """Return the text that a picture of samples carries: that it is synthetic, and which run and step made it."""
    from .. import __version__

    return {
        "Software": f"scratchgan {__version__}",
        "Source": f"generated (synthetic) {kind}: drawn by the generator of run {run!r} at step {step}",
    }


def save_png(path: Path, pixels: np.ndarray, text: Mapping[str, str]) -> None:
    """Write uint8 pixels (H,W,C), C of 1 or 3, as a PNG with ``text`` as tEXt chunks, atomically. Raises OSError."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for key, value in text.items():
        chunks.add_text(key, value)
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    stream = io.BytesIO()
    picture.save(stream, "PNG", pnginfo=chunks)
    write_atomically(path, stream.getvalue())


def save_npz(path: Path, arrays: Mapping[str, np.ndarray], comment: str) -> None:
    """Write arrays by name as a compressed .npz with ``comment`` as the archive's, atomically. Raises OSError."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # its stub takes the names for its own options
    with zipfile.ZipFile(stream, "a") as archive:
        archive.comment = comment.encode()
    write_atomically(path, stream.getvalue())


def save_film(path: Path, images: np.ndarray, fps: int, comment: str) -> None:
    """Write images (N,H,W,C) uint8 as a GIF that repeats, atomically. Raises OSError."""
    from PIL import Image

    frames = [Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image) for image in images]
    # A GIF's pauses are whole hundredths of a second; browsers slow one below two hundredths down to a tenth.
    pause = max(20, round(100 / fps) * 10)
    stream = io.BytesIO()
    first, *rest = frames
    first.save(stream, "GIF", save_all=True, append_images=rest, duration=pause, loop=0, comment=comment.encode())
    write_atomically(path, stream.getvalue())
