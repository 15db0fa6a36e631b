"""`open_dataset`: from a name or path to images of the size and channels asked for."""

import gzip
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scratchgan.data import ArrayDataset, DataError, open_dataset
from scratchgan.data.mnist import FASHION_MNIST, MNIST, SYSTEM_FOLDER
from scratchgan.data.pixels import resample_weights, to_channels, to_square

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (20, 10, 12, 3), dtype=np.uint8)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "pictures.npz"
    np.savez(path, images=RGB, labels=np.arange(20) % 4)
    return path


# --- sources ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    not (SYSTEM_FOLDER / "fashion-mnist").is_dir(), reason="needs Debian's package dataset-fashion-mnist"
)
def test_fashion_mnist():
    dataset = open_dataset("fashion-mnist", split="test")
    assert (len(dataset), dataset.shape, dataset.name) == (10_000, (1, 28, 28), "fashion-mnist")
    assert dataset.classes == FASHION_MNIST.classes
    # A trouser is a high, narrow thing: bright in the middle columns, black at the sides.
    trousers = dataset.images(np.flatnonzero(dataset.labels == dataset.classes.index("Trouser"))).mean(axis=(0, 1))
    assert trousers[:, 10:18].mean() > -0.2
    assert trousers[:, :6].max() < -0.95
    larger = open_dataset("fashion-mnist", split="test", size=32, channels=3, limit=50)
    assert (len(larger), larger.shape) == (50, (3, 32, 32))


def test_mnist_in_a_data_folder_by_name_and_by_path(tmp_path: Path):
    digits = RNG.integers(0, 256, (12, 28, 28), dtype=np.uint8)
    numbers = np.arange(12, dtype=np.uint8) % 10
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(struct.pack(">IIII", 0x803, 12, 28, 28) + digits.tobytes())
    )
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 12) + numbers.tobytes())
    named = open_dataset("mnist", data_dir=tmp_path)
    assert (named.name, named.classes) == ("mnist", MNIST.classes)
    by_path = open_dataset(tmp_path / "train-images-idx3-ubyte.gz")
    assert by_path.classes == tuple("0123456789")
    for dataset in (named, by_path):
        np.testing.assert_array_equal(dataset.pixels[:, 0], digits)
        np.testing.assert_array_equal(dataset.labels, numbers)


def test_a_folder_and_an_archive(archive: Path, tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for index, image in enumerate(RGB):
        Image.fromarray(image).save(folder / f"{index:02}.png")
    from_folder, from_archive = open_dataset(str(folder), quiet=True), open_dataset(archive)
    np.testing.assert_array_equal(from_folder.pixels, from_archive.pixels)
    assert (from_folder.name, from_archive.name) == ("folder", "pictures.npz")
    assert (from_folder.labels is None, from_archive.classes) == (True, ("0", "1", "2", "3"))
    small = open_dataset(folder, size=5, channels=1, limit=7, seed=3, quiet=True)
    np.testing.assert_array_equal(small.pixels, open_dataset(archive, size=5, channels=1, limit=7, seed=3).pixels)
    (folder / "03.png").write_bytes(b"damaged")
    assert len(open_dataset(folder, skip_bad=True, quiet=True)) == 19


def test_toyfaces_is_asked_for_what_the_caller_wants(monkeypatch: pytest.MonkeyPatch):
    calls = []

    def dataset(n: int, size: int, seed: int, split: str, quiet: bool) -> ArrayDataset:
        calls.append((n, size, seed, split, quiet))
        return ArrayDataset(RNG.integers(0, 256, (n, 3, size, size), dtype=np.uint8), name="toyfaces")

    fake = types.ModuleType("scratchgan.data.toyfaces")
    fake.dataset = dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "scratchgan.data.toyfaces", fake)
    assert open_dataset("toyfaces", limit=6, size=16, seed=2, split="test", quiet=True).shape == (3, 16, 16)
    assert open_dataset("toyfaces", limit=5, size=16, channels=1).shape == (1, 16, 16)
    assert calls == [(6, 16, 2, "test", True), (5, 16, 0, "train", False)]


def test_a_limit_keeps_labels_with_their_images(archive: Path):
    limited = open_dataset(archive, limit=8, seed=1)
    whole = {image.tobytes(): index % 4 for index, image in enumerate(RGB.transpose(0, 3, 1, 2))}
    assert [whole[image.tobytes()] for image in limited.pixels] == limited.labels.tolist()
    assert len(limited) == 8
    assert limited.fingerprint() == open_dataset(archive, limit=8, seed=1).fingerprint()
    assert limited.fingerprint() != open_dataset(archive, limit=8, seed=2).fingerprint()
    assert len(open_dataset(archive, limit=1000)) == 20


@pytest.mark.parametrize(
    ("source", "options", "reason"),
    [
        (
            "no-such-thing",
            {},
            r"no-such-thing: no such file or folder, nor .*\(toyfaces, .*, mnist, ring8, .*\)$",
        ),
        ("x" * 5000, {}, "no such file or folder"),
        ("data.txt", {}, r"data\.txt: starts with 0x6e6f7065, not 0x00000803"),
        ("data.txt", {"split": "test"}, r"data\.txt: a folder or file has no 'test' split"),
        (".", {}, "no pictures in it"),
        (".", {"split": "valid"}, "split 'valid' must be 'train' or 'test'"),
        (".", {"size": 0}, "size 0 must be at least 1 pixel"),
        (".", {"channels": 4}, "channels 4 must be 1"),
        (".", {"limit": 0}, "limit 0 must be at least 1"),
        (".", {"seed": -1}, "seed -1 must be 0 or more"),
    ],
)
def test_bad_arguments_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, options: dict, reason: str
):
    monkeypatch.chdir(tmp_path)
    Path("data.txt").write_text("nope, not an image")
    with pytest.raises(DataError, match=reason) as caught:
        open_dataset(source, quiet=True, **options)
    assert "\n" not in str(caught.value)


# --- size and channels ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_in", "n_out"), [(6, 3), (5, 3), (28, 16), (7, 7), (9, 1)])
def test_shrinking_averages_over_areas(n_in: int, n_out: int):
    row = RNG.random(n_in)
    # Split every old pixel in n_out and every new one in n_in: then areas are whole numbers.
    areas = np.repeat(row, n_out).reshape(n_out, n_in).mean(axis=1)
    np.testing.assert_allclose(resample_weights(n_in, n_out) @ row, areas, rtol=1e-6)


@pytest.mark.parametrize(("n_in", "n_out"), [(3, 6), (28, 32), (1, 4)])
def test_enlarging_interpolates_between_centres(n_in: int, n_out: int):
    row = RNG.random(n_in)
    centres_in, centres_out = (np.arange(n_in) + 0.5) / n_in, (np.arange(n_out) + 0.5) / n_out
    np.testing.assert_allclose(resample_weights(n_in, n_out) @ row, np.interp(centres_out, centres_in, row), rtol=1e-5)


def test_the_centre_square_is_kept():
    wide = RNG.integers(0, 256, (2, 3, 4, 9), dtype=np.uint8)
    np.testing.assert_array_equal(to_square(wide, 4), wide[..., 2:6])
    np.testing.assert_array_equal(to_square(wide.swapaxes(2, 3), 4), wide[..., 2:6].swapaxes(2, 3))
    blocks = wide[..., 2:6].reshape(2, 3, 2, 2, 2, 2).mean(axis=(3, 5))
    np.testing.assert_array_equal(to_square(wide, 2), np.rint(blocks))


def test_many_images_are_resampled_as_each_alone(monkeypatch: pytest.MonkeyPatch):
    images = RNG.integers(0, 256, (11, 3, 10, 10), dtype=np.uint8)
    alone = np.concatenate([to_square(image[None], 7) for image in images])
    grey = np.concatenate([to_channels(image[None], 1) for image in images])
    monkeypatch.setattr("scratchgan.data.pixels._RUN", 4 * 300)  # four images at a time, and three left
    np.testing.assert_array_equal(to_square(images, 7), alone)
    np.testing.assert_array_equal(to_channels(images, 1), grey)


def test_grey_and_rgb(archive: Path):
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8).T.reshape(1, 3, 2, 2)
    np.testing.assert_array_equal(to_channels(colours, 1).ravel(), [76, 150, 29, 255])
    assert open_dataset(archive).shape[0] == 3
    assert open_dataset(archive, channels=1).shape[0] == 1
    np.savez(archive, images=np.repeat(RGB[..., :1], 3, axis=3))  # three channels that say the same
    assert open_dataset(archive).shape[0] == 1
    np.testing.assert_array_equal(
        open_dataset(archive, channels=3).pixels, np.repeat(RGB[..., :1], 3, 3).transpose(0, 3, 1, 2)
    )
