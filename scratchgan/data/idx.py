"""The IDX format of MNIST and its successors: a small big-endian header, then the bytes.

     byte  0    1    2      3       4 ...            4 + 4 * ndim ...
           0    0    type   ndim    ndim sizes,      the items, last axis fastest
                     (8 =           big-endian
                     uint8)         uint32

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", section "The IDX file format".
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from .dataset import ArrayDataset, DataError

_UINT8 = 8
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20

#: Deflate spends at least 2 bits on 258 bytes, so no .gz file holds more than 1,032 times its own size
#: (zlib, "Maximum compression factor"). A header that claims more lies.
DEFLATE_MAX_RATIO = 1032

#: The largest array read from one file, bytes.
MAX_BYTES = 8 << 30


def read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, plain or gzip-compressed (told by its content).

    Nothing is allocated on the header's word: what it claims is compared with the file's size first, and
    no more than the claim is decompressed.

    Args:
        path: the file.
        ndim: how many axes it must have: 3 for images (N, H, W), 1 for labels (N,).

    Raises:
        DataError: for a missing or unreadable file, a wrong magic number, too few or too many bytes,
            damaged compression, no items, or more than `MAX_BYTES`.
    """
    try:
        with open(path, "rb") as raw:
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            stored = os.fstat(raw.fileno()).st_size
            if compressed:
                with gzip.GzipFile(fileobj=raw) as stream:
                    return _read(cast(BinaryIO, stream), path, ndim, most=stored * DEFLATE_MAX_RATIO)
            return _read(raw, path, ndim, most=stored)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: damaged gzip file ({error}): fetch it again") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror or error})") from error


def _read(stream: BinaryIO, path: Path, ndim: int, most: int) -> NDArray[np.uint8]:
    wanted = struct.pack(">BBBB", 0, 0, _UINT8, ndim)
    magic = stream.read(4)
    if magic != wanted:
        raise DataError(
            f"{path}: starts with 0x{magic.hex()}, not 0x{wanted.hex()}: "
            f"not an IDX file of unsigned bytes with {ndim} axes"
        )
    header = stream.read(4 * ndim)
    if len(header) < 4 * ndim:
        raise DataError(f"{path}: ends within its header: fetch it again")
    shape = struct.unpack(f">{ndim}I", header)
    claimed = math.prod(shape)
    claim = f"its header claims {'x'.join(map(str, shape))} = {claimed:,} bytes"
    if claimed == 0:
        raise DataError(f"{path}: {claim}: there is nothing in it")
    if claimed > most:
        raise DataError(f"{path}: {claim}, more than the file can hold: it is cut short or damaged, fetch it again")
    if claimed > MAX_BYTES:
        raise DataError(f"{path}: {claim}, over the limit of {MAX_BYTES:,}: split it up")
    content = bytearray()
    while len(content) < claimed and (chunk := stream.read(min(_CHUNK, claimed - len(content)))):
        content += chunk
    if len(content) < claimed:
        raise DataError(f"{path}: {claim} but only {len(content):,} follow: it is cut short, fetch it again")
    # Reading past the end is also what makes gzip compare its checksum.
    if stream.read(1):
        raise DataError(f"{path}: {claim} but more follow: it is damaged, fetch it again")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def read_idx_dataset(images: Path, labels: Path | None, classes: tuple[str, ...] = (), name: str = "") -> ArrayDataset:
    """An IDX images file and, unless None, its labels file, as a data set of grey images.

    Args:
        images: images file, (N, H, W).
        labels: labels file, (N,).
        classes: names of the labels; without them the labels' own numbers serve.
        name: of the data set; the images file's name without it.

    Raises:
        DataError: as `read_idx`, and when the two files differ in length.
    """
    pixels = read_idx(images, ndim=3)[:, None]
    name = name or images.name
    if labels is None:
        return ArrayDataset(pixels, name=name)
    numbers = read_idx(labels, ndim=1)
    if len(numbers) != len(pixels):
        raise DataError(f"{labels}: {len(numbers):,} labels for the {len(pixels):,} images of {images.name}")
    if not classes:
        classes = tuple(str(number) for number in range(int(numbers.max()) + 1))
    return ArrayDataset(pixels, numbers, classes, name)


def labels_file_beside(images: Path) -> Path | None:
    """The labels file that belongs to an images file by the usual naming, or None where there is none.

    ``train-images-idx3-ubyte.gz`` goes with ``train-labels-idx1-ubyte``, .gz or plain; the dotted spelling
    ``train-images.idx3-ubyte`` is known too.
    """
    name = images.name.removesuffix(".gz")
    labels = name.replace("images", "labels").replace("idx3", "idx1")
    if labels == name:
        return None
    candidates = (images.with_name(labels + ".gz"), images.with_name(labels))
    return next((path for path in candidates if path.is_file()), None)
