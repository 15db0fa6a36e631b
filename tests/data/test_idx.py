"""IDX files: what is written comes back; whatever is wrong is refused by name, and costs no memory."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from scratchgan.data import DataError
from scratchgan.data.idx import labels_file_beside, read_idx, read_idx_dataset

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
LABELS = np.array([2, 0, 1, 1, 0, 2, 0], dtype=np.uint8)


def idx_bytes(array: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    """An IDX file of `array`, whose header claims `shape` instead of the array's own where given."""
    shape = array.shape if shape is None else shape
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + array.tobytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
def test_round_trip(tmp_path: Path, pack):
    path = tmp_path / "images"  # compression is told by content, not by name
    path.write_bytes(pack(idx_bytes(IMAGES)))
    np.testing.assert_array_equal(read_idx(path, ndim=3), IMAGES)


GOOD = idx_bytes(IMAGES)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "starts with 0x, not 0x00000803"),
        (b"\x00\x00\x08\x01" + GOOD[4:], "starts with 0x00000801, not 0x00000803"),  # a labels file
        (b"\x00\x00\x0d\x03" + GOOD[4:], "starts with 0x00000d03"),  # floats
        (GOOD[:10], "ends within its header"),
        (GOOD[:-1], "7x5x3 = 105 bytes.*cut short"),
        (GOOD + b"\x00", "7x5x3 = 105 bytes but more follow"),
        (idx_bytes(IMAGES, (0, 5, 3)), "nothing in it"),
        (idx_bytes(IMAGES, (10**6, 1000, 1000)), "1000000x1000x1000 = 1,000,000,000,000 bytes, more than"),
        (idx_bytes(IMAGES, (2**32 - 1,) * 3), "more than the file can hold"),
    ],
)
def test_damage_is_named(tmp_path: Path, content: bytes, reason: str, pack):
    path = tmp_path / "broken-images"
    path.write_bytes(pack(content))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=f"broken-images: .*{reason}") as caught:
            read_idx(path, ndim=3)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_a_bomb_is_not_inflated(tmp_path: Path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros(100 << 20, np.uint8), (1, 28, 28)), compresslevel=1))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more follow"):
            read_idx(path, ndim=3)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_more_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("scratchgan.data.idx.MAX_BYTES", 100)
    (tmp_path / "large").write_bytes(GOOD)
    with pytest.raises(DataError, match=r"large: .* over the limit of 100"):
        read_idx(tmp_path / "large", ndim=3)


def test_every_truncation_and_flipped_byte_of_a_gz_is_noticed(tmp_path: Path):
    good = gzip.compress(GOOD, mtime=0)
    damaged = [good[:length] for length in range(len(good))]
    damaged += [good[:i] + bytes([good[i] ^ 1 << i % 8]) + good[i + 1 :] for i in range(len(good))]
    path = tmp_path / "images.gz"
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            read = read_idx(path, ndim=3)
        except DataError:
            refused += 1
        else:  # gzip's own header has bytes that mean nothing here, such as its time stamp
            np.testing.assert_array_equal(read, IMAGES)
    assert refused >= len(damaged) - 10


def test_missing_file_and_folder_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"absent: can't be read \(No such file"):
        read_idx(tmp_path / "absent", ndim=3)
    with pytest.raises(DataError, match=r"can't be read \(Is a directory"):
        read_idx(tmp_path, ndim=3)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte"),
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"),
        ("t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"),
        ("emnist-letters-train-images-idx3-ubyte.gz", "emnist-letters-train-labels-idx1-ubyte.gz"),
    ],
)
def test_labels_lie_beside_their_images(tmp_path: Path, images: str, labels: str):
    assert labels_file_beside(tmp_path / images) is None
    (tmp_path / labels).touch()
    assert labels_file_beside(tmp_path / images) == tmp_path / labels


def test_a_name_without_images_in_it_has_no_labels_file(tmp_path: Path):
    (tmp_path / "digits.idx").touch()
    assert labels_file_beside(tmp_path / "digits.idx") is None


def test_images_and_labels_become_a_data_set(tmp_path: Path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(GOOD)
    labels.write_bytes(idx_bytes(LABELS))
    dataset = read_idx_dataset(images, labels)
    assert (len(dataset), dataset.shape, dataset.classes) == (7, (1, 5, 3), ("0", "1", "2"))
    np.testing.assert_array_equal(dataset.labels, LABELS)
    labels.write_bytes(idx_bytes(LABELS[:-1]))
    with pytest.raises(DataError, match="labels: 6 labels for the 7 images of images"):
        read_idx_dataset(images, labels)
