import numpy as np
import pytest

from scratchgan.data import ArrayDataset
from scratchgan.metrics import train_classifier


def bars(n: int) -> ArrayDataset:
    """Images with a bright bar that lies or stands: two classes that a convolution tells apart."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 80, (n, 1, 8, 8), np.uint8), rng.integers(0, 2, n)
    for image, label, place in zip(images[:, 0], labels, rng.integers(0, 8, n), strict=True):
        image[(slice(None), place) if label else place] = 255
    return ArrayDataset(images, labels, ("lying", "standing"), name="bars")


def test_it_learns_and_its_features_tell_the_classes_apart() -> None:
    data = bars(2560)
    classifier = train_classifier(data, epochs=2)
    images = data.images(np.arange(512))
    assert (classifier.predict(images) == data.labels[:512]).mean() > 0.97
    assert classifier.features(images).shape == (512, 64)


def test_unlabelled_data() -> None:
    with pytest.raises(ValueError, match="unlabelled has no labels"):
        train_classifier(ArrayDataset(np.zeros((4, 1, 8, 8), np.uint8), name="unlabelled"))
