"""Data sets in NumPy's .npz archives, read without trust: no pickles, no allocation on a header's word."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .dataset import ArrayDataset, DataError
from .idx import DEFLATE_MAX_RATIO, MAX_BYTES
from .pixels import on_white

_KEYS = ("images", "labels", "classes")

#: Labels without names are numbers below this: a stray id among them is not taken for a class count.
MAX_UNNAMED_CLASSES = 65_536


def read_npz(path: Path) -> ArrayDataset:
    """The data set in an .npz file, as ``np.savez(path, images=..., labels=...)`` writes it.

    Keys:
        images: (N, H, W), (N, H, W, C) or (N, C, H, W), C of 1, 3 or 4 (RGBA, laid on white); where both of
            the last two readings fit, N, H, W, C. uint8; or float in [0, 1]; or float in [-1, 1], told
            by the lowest value, which must then be below -0.5.
        labels (optional): integers from 0, (N,).
        classes (optional): strings, the labels' names. Without it the labels' own numbers serve.

    Other keys are left alone.

    Raises:
        DataError: for a file that is no .npz or damaged, for pickled objects, missing keys, wrong shapes and
            values.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
            if "images" not in found:
                has = ", ".join(sorted(found)) or "nothing"
                raise DataError(f"{path}: has no key 'images' (it has {has}): save it with np.savez(path, images=...)")
            arrays = {key: _read_member(archive, key, path) for key in _KEYS if key in found}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(f"{path}: not an .npz file, or a damaged one ({error}): save or fetch it again") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror or error})") from error
    images = _as_uint8(_as_nchw(arrays["images"], path), path)
    labels = arrays.get("labels")
    return ArrayDataset(on_white(images), labels, _classes(labels, arrays.get("classes"), path), path.name)


def _read_member(archive: zipfile.ZipFile, key: str, path: Path) -> NDArray[np.generic]:
    info = archive.getinfo(key + ".npy")
    where = f"{path}: key {key!r}"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{where} is compressed in a way that NumPy doesn't write: save it with np.savez")
    try:
        with archive.open(info) as stream:
            version = npy.read_magic(stream)
            # Version 3 differs only in field names outside ASCII, and there are no fields here.
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read_header(stream)
            if dtype.hasobject:
                raise DataError(f"{where} holds pickled Python objects, which are never loaded: save numbers")
            claimed = math.prod(shape) * dtype.itemsize
            present = info.file_size - stream.tell()
            stored = min(info.compress_size, path.stat().st_size)
            if claimed != present or present > stored * DEFLATE_MAX_RATIO:
                raise DataError(
                    f"{where} claims {claimed:,} bytes, which it does not hold: it is damaged, save it again"
                )
            if claimed > MAX_BYTES:
                raise DataError(f"{where} claims {claimed:,} bytes, over the limit of {MAX_BYTES:,}: split it up")
        with archive.open(info) as stream:
            return npy.read_array(stream, allow_pickle=False)
    except (ValueError, RuntimeError) as error:  # a bad .npy header; an encrypted member
        raise DataError(f"{where} can't be read ({error}): save it with np.savez") from error


def _as_nchw(images: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[3] in (1, 3, 4):
        return images.transpose(0, 3, 1, 2)
    if images.ndim == 4 and images.shape[1] in (1, 3, 4):
        return images
    raise DataError(
        f"{path}: key 'images' has shape {images.shape}: "
        "save it as (N, H, W), (N, H, W, C) or (N, C, H, W) with C of 1, 3 or 4"
    )


def _as_uint8(images: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images, dtype=np.uint8)
    if images.dtype.kind != "f":
        raise DataError(f"{path}: key 'images' is {images.dtype}: save it as uint8, or as float in [0, 1] or [-1, 1]")
    low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 0.0)
    if low >= 0 and high <= 1:
        scale, shift = 255.0, 0.0
    elif -1 <= low <= -0.5 and high <= 1:
        scale, shift = 127.5, 127.5
    else:  # out of range, NaN, or a touch below 0: too little to tell the range by
        raise DataError(
            f"{path}: key 'images' is {images.dtype} from {low:g} to {high:g}: "
            "floats must lie in [0, 1], or in [-1, 1] and reach below -0.5: clip them, or save uint8"
        )
    whole = np.empty(images.shape, dtype=np.uint8)
    for image, floats in zip(whole, images, strict=True):  # one at a time: no second float copy of everything
        image[...] = np.rint(floats.astype(np.float32) * scale + shift)
    return whole


def _classes(labels: NDArray[np.generic] | None, names: NDArray[np.generic] | None, path: Path) -> tuple[str, ...]:
    if names is not None:
        if names.dtype.kind != "U" or names.ndim != 1:
            raise DataError(f"{path}: key 'classes' is {names.dtype} of shape {names.shape}: save a list of strings")
        return tuple(str(name) for name in names)
    if labels is None or labels.dtype.kind not in "iu" or labels.size == 0:
        return ()
    highest = int(labels.max())
    if highest >= MAX_UNNAMED_CLASSES:
        raise DataError(f"{path}: key 'labels' reaches {highest}: number the classes from 0")
    return tuple(str(number) for number in range(highest + 1))
