"""The loader and the in-memory data set it draws from."""

import itertools
import json

import numpy as np
import pytest

from scratchgan.data import ArrayDataset, DataError, Loader


def numbered(count: int, name: str = "numbered") -> ArrayDataset:
    """Images that carry their own index in their first pixel, and its parity as label."""
    images = np.zeros((count, 1, 2, 2), np.uint8)
    images[:, 0, 0, 0] = np.arange(count)
    return ArrayDataset(images, np.arange(count) % 2, ("even", "odd"), name)


def draw(loader: Loader, batches: int) -> list[np.ndarray]:
    return [batch["index"] for batch in itertools.islice(loader, batches)]


@pytest.mark.parametrize(("count", "batch"), [(10, 3), (12, 4), (5, 5), (7, 1)])
def test_every_epoch_is_a_fresh_permutation(count: int, batch: int):
    drawn = np.concatenate(draw(Loader(numbered(count), batch, seed=3), 4 * count))
    epochs = drawn[: len(drawn) // count * count].reshape(-1, count)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(count), (len(epochs), 1)))
    assert len({tuple(epoch) for epoch in epochs[:4]}) == 4


def test_batch_holds_the_images_and_labels_of_its_indices():
    batch = next(Loader(numbered(200), 64, seed=0))
    assert list(batch) == ["index", "image", "label"]
    indices, images, labels = batch.values()
    assert (images.shape, images.dtype, labels.dtype) == ((64, 1, 2, 2), np.float32, np.int64)
    np.testing.assert_array_equal(np.rint((images[:, 0, 0, 0] + 1) * 127.5), indices)
    np.testing.assert_array_equal(labels, indices % 2)


def test_a_batch_of_data_without_labels_has_none():
    assert list(next(Loader(ArrayDataset(np.zeros((8, 1, 2, 2), np.uint8)), 4, seed=0))) == ["index", "image"]


def test_seed_decides_the_order():
    first, again, other = (draw(Loader(numbered(50), 8, seed=seed), 20) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_without_shuffling_the_order_is_the_data_sets_own():
    drawn = np.concatenate(draw(Loader(numbered(5), 2, seed=0, shuffle=False), 5))
    np.testing.assert_array_equal(drawn, [0, 1, 2, 3, 4] * 2)


def test_resuming_after_any_step_continues_exactly():
    whole = draw(Loader(numbered(10), 4, seed=5), 16)
    for steps in range(16):
        loader = Loader(numbered(10), 4, seed=5)
        draw(loader, steps)
        state = json.loads(json.dumps(loader.state_dict()))
        resumed = Loader(numbered(10, name="moved"), 4, seed=99)
        resumed.load_state_dict(state)
        np.testing.assert_array_equal(draw(resumed, 16 - steps), whole[steps:])


def test_changing_a_batchs_indices_changes_nothing_later():
    loader, untouched = (Loader(numbered(6), 3, seed=0) for _ in range(2))
    loader_first = next(loader)["index"]
    next(untouched)
    loader_first[:] = 0
    loader.load_state_dict(loader.state_dict())
    np.testing.assert_array_equal(draw(loader, 4), draw(untouched, 4))


def test_resuming_on_other_data_is_refused_and_changes_nothing():
    loader = Loader(numbered(10), 4, seed=5)
    other = Loader(numbered(11), 4, seed=5)
    with pytest.raises(DataError, match="trained on other data"):
        loader.load_state_dict(other.state_dict())
    np.testing.assert_array_equal(draw(loader, 5), draw(Loader(numbered(10), 4, seed=5), 5))


@pytest.mark.parametrize("change", [{"position": 11}, {"epoch": -1}, {"epoch": None}, {"seed": "x"}])
def test_a_damaged_state_is_refused(change: dict):
    loader = Loader(numbered(10), 4, seed=5)
    with pytest.raises(DataError, match="damaged"):
        loader.load_state_dict(loader.state_dict() | change)
    with pytest.raises(DataError, match="damaged"):
        loader.load_state_dict({})


def test_a_batch_larger_than_the_data_set_is_refused():
    with pytest.raises(DataError, match=r"batch size 11 is larger .*numbered has 10 images.*--batch 10"):
        Loader(numbered(10), 11, seed=0)
    with pytest.raises(DataError, match="at least 1"):
        Loader(numbered(10), 0, seed=0)
    with pytest.raises(DataError, match="seed -1"):
        Loader(numbered(10), 1, seed=-1)


def test_pixels_become_floats_from_minus_one_to_one():
    dataset = ArrayDataset(np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1))
    floats = dataset.images(np.arange(256)).ravel()
    assert floats.dtype == np.float32
    np.testing.assert_allclose(floats, np.arange(256) / 127.5 - 1, atol=1e-7)
    assert (floats[0], floats[255]) == (-1, 1)


def test_fingerprint_is_of_the_contents_alone():
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 2, 2), np.uint8)
    base = ArrayDataset(images, [0, 1, 0, 1], ("a", "b"))
    flipped = images.copy()
    flipped[3, 2, 1, 1] ^= 1
    others = [
        ArrayDataset(flipped, [0, 1, 0, 1], ("a", "b")),
        ArrayDataset(images, [0, 1, 1, 1], ("a", "b")),
        ArrayDataset(images, [0, 1, 0, 1], ("a", "c")),
        ArrayDataset(images.reshape(4, 3, 4, 1), [0, 1, 0, 1], ("a", "b")),
        ArrayDataset(images),
    ]
    assert len({base.fingerprint(), *(other.fingerprint() for other in others)}) == 6
    same = ArrayDataset(np.asfortranarray(images), np.array([0, 1, 0, 1], np.uint8), ("a", "b"), name="other")
    assert same.fingerprint() == base.fingerprint()


@pytest.mark.parametrize(
    ("images", "labels", "classes", "reason"),
    [
        (np.zeros((2, 1, 4, 4)), None, (), "float64"),
        (np.zeros((2, 4, 4), np.uint8), None, (), r"shape \(2, 4, 4\)"),
        (np.zeros((2, 2, 4, 4), np.uint8), None, (), "C of 1"),
        (np.zeros((0, 1, 4, 4), np.uint8), None, (), "no images"),
        (np.zeros((2, 1, 4, 4), np.uint8), [0], ("a",), r"integers of shape \(2,\)"),
        (np.zeros((2, 1, 4, 4), np.uint8), [0.0, 1.0], ("a", "b"), "float64"),
        (np.zeros((2, 1, 4, 4), np.uint8), [0, 2], ("a", "b"), "from 0 to 2 but there are 2 class names"),
        (np.zeros((2, 1, 4, 4), np.uint8), [-1, 0], ("a", "b"), "from -1"),
        (np.zeros((2, 1, 4, 4), np.uint8), None, ("a", "b"), "no labels"),
    ],
)
def test_a_malformed_data_set_is_refused(images, labels, classes, reason):
    with pytest.raises(DataError, match=f"mine: .*{reason}"):
        ArrayDataset(images, labels, classes, "mine")
