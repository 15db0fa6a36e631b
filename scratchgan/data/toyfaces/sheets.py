"""Contact sheets: many faces in one picture, and one factor a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchgan.data.dataset import DataError
from scratchgan.data.toyfaces.factors import TABLE, Factors, concatenate, validate
from scratchgan.data.toyfaces.pairs import landmark_drawing, pixel_art, sample_weather, weather
from scratchgan.data.toyfaces.renderer import render


def contact_sheet(images: NDArray[np.uint8], columns: int = 8, scale: int = 1) -> NDArray[np.uint8]:
    """Lay images (N, 3, H, W) out row by row; return (rows * H, columns * W, 3), each pixel ``scale`` wide.

    Raises:
        DataError: no images, or no columns.
    """
    if images.ndim != 4 or images.shape[1] != 3 or len(images) == 0 or columns < 1 or scale < 1:
        raise DataError(
            f"contact_sheet: images of shape {images.shape} in {columns} columns at scale {scale}; "
            "it takes at least one image (N, 3, H, W), one column and a scale of 1"
        )
    n, _, height, width = images.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    cells = np.full((rows * columns, 3, height, width), 255, np.uint8)
    cells[:n] = images
    sheet = cells.reshape(rows, columns, 3, height, width).transpose(0, 3, 1, 4, 2)
    sheet = sheet.reshape(rows * height, columns * width, 3)
    return sheet.repeat(scale, axis=0).repeat(scale, axis=1)


def sweep(name: str, columns: int, base: Mapping[str, ArrayLike] | None = None) -> Factors:
    """Return ``columns`` faces that differ in one factor only, which runs through its range (or its categories)."""
    if name not in TABLE:
        raise DataError(f"toyfaces: no factor is named {name!r}; there are: {', '.join(TABLE)}")
    row = TABLE[name]
    values: NDArray[np.float64] | NDArray[np.int64] = (
        np.arange(columns) % len(row.categories) if row.categories else np.linspace(row.low, row.high, columns)
    )
    shown: dict[str, ArrayLike] = dict(base or {})
    presence = f"{name}_present"
    if presence in TABLE:
        shown[presence] = 1
    shown[name] = values
    return validate(shown)


def factor_sheet(
    names: Sequence[str] = tuple(TABLE),
    columns: int = 8,
    size: int = 64,
    base: Mapping[str, ArrayLike] | None = None,
) -> NDArray[np.uint8]:
    """Return a sheet (H, W, 3) with a row a factor, named at its left; all else is as in ``base``."""
    from PIL import Image, ImageDraw, ImageFont

    faces = render(concatenate([sweep(name, columns, base) for name in names]), size).image
    grid = contact_sheet(faces, columns)
    font = ImageFont.load_default(size=max(11, size // 6))
    margin = int(max(font.getlength(name) for name in names)) + 16
    sheet = Image.new("RGB", (margin + grid.shape[1], grid.shape[0]), "white")
    sheet.paste(Image.fromarray(grid), (margin, 0))
    pen = ImageDraw.Draw(sheet)
    for i, name in enumerate(names):
        pen.text((8, (i + 0.5) * size), name, fill=(40, 36, 48), font=font, anchor="lm")
    return np.asarray(sheet)


_CLASS_COLOURS = np.array(
    [
        [236, 236, 240],
        [247, 196, 150],
        [96, 64, 48],
        [70, 110, 220],
        [30, 30, 40],
        [230, 130, 90],
        [200, 50, 80],
        [240, 160, 190],
        [60, 180, 170],
        [240, 190, 40],
        [140, 100, 60],
    ],
    np.uint8,
)


def truth_sheet(factors: Mapping[str, ArrayLike], size: int = 64, weather_seed: int = 0) -> NDArray[np.uint8]:
    """Return a sheet (6 * size, N * size, 3): a column a face, and below it what is known of it.

    The rows are the image, its mask in colours, depth, landmarks as a drawing, pixel art, and weather.
    """
    faces = render(factors, size)
    n = len(faces.image)
    masks = _CLASS_COLOURS[faces.mask].transpose(0, 3, 1, 2)
    nearness = np.clip((faces.depth + 1) * (255 / 1.9), 0, 255).astype(np.uint8)
    grid = size // 2
    art = pixel_art(faces.image[:, :, : 2 * grid, : 2 * grid], grid).image
    coarse = np.pad(art.repeat(2, axis=2).repeat(2, axis=3), ((0, 0), (0, 0), (0, size % 2), (0, size % 2)), "edge")
    rows = (
        faces.image,
        masks,
        np.repeat(nearness[:, None], 3, axis=1),
        landmark_drawing(faces),
        coarse,
        weather(faces, sample_weather(n, weather_seed)).image,
    )
    return contact_sheet(np.concatenate(rows), columns=n)
