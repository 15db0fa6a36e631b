"""npz archives: every layout and range that is promised, and no trust in what the file says of itself."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from scratchgan.data import DataError
from scratchgan.data.npz import read_npz

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 6, 7), dtype=np.uint8)
RGB = RNG.integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (GREY, GREY[:, None]),
        (GREY[..., None], GREY[:, None]),
        (GREY[:, None], GREY[:, None]),
        (RGB, RGB.transpose(0, 3, 1, 2)),
        (RGB.transpose(0, 3, 1, 2), RGB.transpose(0, 3, 1, 2)),
        (np.asfortranarray(RGB), RGB.transpose(0, 3, 1, 2)),
    ],
    ids=["NHW", "NHWC grey", "NCHW grey", "NHWC", "NCHW", "Fortran order"],
)
def test_layouts(path: Path, images: np.ndarray, expected: np.ndarray, save):
    save(path, images=images)
    np.testing.assert_array_equal(read_npz(path).pixels, expected)


def test_alpha_is_laid_on_white(path: Path):
    np.savez(path, images=np.array([[[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]]], np.uint8))
    np.testing.assert_array_equal(
        read_npz(path).pixels[0].transpose(1, 2, 0)[0], [[10, 20, 30], [255, 255, 255], [204, 204, 204]]
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_in_either_range_become_the_nearest_byte(path: Path, dtype):
    everything = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    np.savez(path, images=(everything / 255).astype(dtype))
    np.testing.assert_array_equal(read_npz(path).pixels[:, 0], everything)
    np.savez(path, images=(everything / 127.5 - 1).astype(dtype))
    np.testing.assert_array_equal(read_npz(path).pixels[:, 0], everything)


def test_labels_and_classes(path: Path):
    labels = np.array([0, 2, 1, 0, 2], np.int32)
    np.savez(path, images=GREY, labels=labels, notes=np.arange(3))
    numbered = read_npz(path)
    np.testing.assert_array_equal(numbered.labels, labels)
    assert numbered.classes == ("0", "1", "2")
    np.savez(path, images=GREY, labels=labels, classes=["owl", "yak", "emu"])
    assert read_npz(path).classes == ("owl", "yak", "emu")
    np.savez(path, images=GREY)
    assert (read_npz(path).labels, read_npz(path).classes, read_npz(path).name) == (None, (), "data.npz")


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"x": GREY, "y": GREY}, r"has no key 'images' \(it has x, y\)"),
        ({"images": GREY.astype(object)}, "'images' holds pickled Python objects"),
        ({"images": GREY, "labels": np.array([{}] * 5)}, "'labels' holds pickled Python objects"),
        ({"images": GREY.astype(np.int64)}, "is int64"),
        ({"images": GREY.astype(np.float32)}, "from 0 to 249: floats must lie in"),
        ({"images": np.full((1, 4, 4), np.nan)}, "from nan to nan"),
        ({"images": np.linspace(-0.01, 1, 16).reshape(1, 4, 4)}, "reach below -0.5"),
        ({"images": GREY[0]}, r"has shape \(6, 7\)"),
        ({"images": np.zeros((5, 6, 7, 2), np.uint8)}, "C of 1, 3 or 4"),
        ({"images": np.zeros((0, 6, 7), np.uint8)}, "no images"),
        ({"images": GREY, "labels": np.arange(4)}, r"labels are int64 of shape \(4,\)"),
        ({"images": GREY, "labels": np.array([0, 1, 2, 3, 10**12])}, "reaches 1000000000000"),
        ({"images": GREY, "labels": np.arange(5), "classes": ["a"]}, "from 0 to 4 but there are 1"),
        ({"images": GREY, "labels": np.arange(5), "classes": np.arange(5)}, "save a list of strings"),
    ],
)
def test_what_is_wrong_is_named(path: Path, arrays: dict, reason: str):
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=f"data.npz: .*{reason}") as caught:
        read_npz(path)
    assert "\n" not in str(caught.value)


def write_member(path: Path, shape: tuple[int, ...], content: bytes, compression=zipfile.ZIP_DEFLATED) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("images.npy", header.getvalue() + content)


@pytest.mark.parametrize("shape", [(10**6, 1000, 1000), (2, 4, 4), (1, 4, 5)])
def test_a_header_that_lies_allocates_nothing(path: Path, shape: tuple[int, ...]):
    write_member(path, shape, bytes(16))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="does not hold"):
            read_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_other_compressions_files_and_limits(path: Path, monkeypatch: pytest.MonkeyPatch):
    write_member(path, (1, 4, 4), bytes(16), zipfile.ZIP_BZIP2)
    with pytest.raises(DataError, match="a way that NumPy doesn't write"):
        read_npz(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(DataError, match=r"data.npz: not an .npz file"):
        read_npz(path)
    with pytest.raises(DataError, match="can't be read"):
        read_npz(path.with_name("absent.npz"))
    write_member(path, (1, 4, 4), bytes(16))
    monkeypatch.setattr("scratchgan.data.npz.MAX_BYTES", 15)
    with pytest.raises(DataError, match="over the limit"):
        read_npz(path)


def test_every_truncation_and_flipped_byte_is_noticed(path: Path):
    np.savez_compressed(path, images=GREY[:2])
    good, expected = path.read_bytes(), read_npz(path).pixels
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(DataError, match=r"data\.npz"):
            read_npz(path)
    for i in range(len(good)):
        path.write_bytes(good[:i] + bytes([good[i] ^ 1 << i % 8]) + good[i + 1 :])
        try:
            read = read_npz(path).pixels
        except DataError:
            continue
        # zip has bytes that mean nothing here, such as dates.
        np.testing.assert_array_equal(read, expected)
