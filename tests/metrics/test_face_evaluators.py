"""The landmark regressor, the identity embedding and the segmenter: small ones learn, and measure what they say."""

import numpy as np
import pytest
import scipy.optimize

from scratchgan.data import toyfaces
from scratchgan.metrics import EvaluatorError, MetricError, landmark_error, segmentation_agreement
from scratchgan.metrics.evaluators import IdentityEmbedding, LandmarkRegressor, Segmenter, open_evaluator
from scratchgan.metrics.evaluators.faces import held_out_faces
from scratchgan.metrics.evaluators.identity import equal_error_rate
from scratchgan.metrics.evaluators.landmarks import EYES


@pytest.fixture(scope="module")
def faces() -> toyfaces.Rendered:
    return toyfaces.render(toyfaces.sample_factors(200, 11, portrait=True), 16)


def test_landmarks(faces: toyfaces.Rendered) -> None:
    regressor = LandmarkRegressor(16, images=1000, steps=120, width=8)
    regressor.fit()
    found = regressor.predict(faces.image)
    assert found.shape == (200, 32, 2)
    error = float(np.nanmean(landmark_error(found, faces.landmarks, faces.visibility, EYES)))
    always_the_mean = np.broadcast_to(faces.landmarks.mean(0), faces.landmarks.shape)
    assert error < 0.9 * float(np.nanmean(landmark_error(always_the_mean, faces.landmarks, faces.visibility, EYES)))
    np.testing.assert_allclose(regressor.held_out["landmarks"], error, rtol=0.2)


def test_the_eyes_are_the_pupils() -> None:
    assert [toyfaces.LANDMARKS[i] for i in EYES] == ["pupil_left", "pupil_right"]


def test_identity() -> None:
    embedding = IdentityEmbedding(16, persons=600, steps=60, width=8, gates={"verification": 0.45})
    embedding.fit()
    embedding.check_gates()  # guessing is 0.5
    vectors = embedding.embed(held_out_faces(20, 16)[2].image)
    assert vectors.shape == (20, 64)
    np.testing.assert_allclose((vectors**2).sum(1), 1, rtol=1e-5)


def test_equal_error_rate_against_two_normal_distributions() -> None:
    rng = np.random.default_rng(0)
    same, different = rng.normal(1, 1, 40_000), rng.normal(-1, 0.5, 60_000)
    normal = scipy.stats.norm
    threshold = scipy.optimize.brentq(lambda t: normal(1, 1).cdf(t) - normal(-1, 0.5).sf(t), -3, 3)
    np.testing.assert_allclose(equal_error_rate(same, different), normal(1, 1).cdf(threshold), atol=0.004)
    assert equal_error_rate(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 0


def test_segmenter(faces: toyfaces.Rendered) -> None:
    segmenter = Segmenter(16, images=400, steps=60, width=8)
    segmenter.fit()
    mask = segmenter.predict(faces.image)
    assert mask.shape == (200, 16, 16)
    agreement, _ = segmentation_agreement(mask, faces.mask, len(toyfaces.CLASSES))
    most_frequent = np.bincount(faces.mask.ravel()).max() / faces.mask.size
    assert agreement > most_frequent + 0.1
    np.testing.assert_allclose(1 - segmenter.held_out["pixels"], agreement, atol=0.05)
    with pytest.raises(MetricError, match="3 x 16 x 16"):
        segmenter.predict(np.zeros((1, 3, 32, 32), np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [LandmarkRegressor, IdentityEmbedding, Segmenter])
def test_the_real_ones_pass_their_gates(kind: type, tmp_path) -> None:
    try:
        evaluator = open_evaluator(kind(32), folder=tmp_path)
    except EvaluatorError as error:
        pytest.fail(str(error))
    print(evaluator, evaluator.held_out)
