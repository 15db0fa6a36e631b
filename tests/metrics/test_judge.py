"""Judging sets of images: scores beside those of real images, and what they are said to mean."""

import json

import numpy as np
import pytest
from small import SMALL_GATES, bars, small_classifier

from scratchgan.data import toyfaces
from scratchgan.metrics import Classifier, EvaluatorError, FactorRegressor, Judge, MetricError, RealImages, evaluate
from scratchgan.metrics.evaluators.factors import mode_numbers
from scratchgan.metrics.report import SCORES

N = 600


@pytest.fixture(scope="module")
def judge(regressor: FactorRegressor) -> Judge:
    training, real, floor = (toyfaces.dataset(n, 16, seed=seed, quiet=True) for n, seed in ((2000, 0), (N, 1), (N, 2)))
    drawn = toyfaces.sample_factors(N, 1, portrait=True)
    shares = np.bincount(mode_numbers(drawn), minlength=48) / N
    return Judge(regressor, RealImages(training, real.pixels, floor.pixels, shares, drawn), N)


def test_real_images_score_as_well_as_real_images(judge: Judge) -> None:
    images = toyfaces.dataset(N, 16, seed=3, quiet=True)
    report = evaluate(judge, images.pixels, "fresh faces")
    assert report.scores["fid"] < 1.3 * report.floor["fid"]
    assert report.scores["precision"] > 0.7
    assert abs(report.scores["two_sample_accuracy"] - 0.5) < 0.08
    assert report.scores["copies"] < 0.05
    assert report.scores["modes"] >= report.floor["modes"] - 3
    assert not {"collapsed", "copies"} & {finding.name for finding in report.findings}
    assert evaluate(judge, images.images(np.arange(N)), "as floats").scores == report.scores
    quick = judge.quick(images.pixels)
    assert quick == {name: report.scores[name] for name in quick}
    assert quick.keys() == {"fid", "kid", "kid_standard_error", "precision", "recall", "modes"}


def test_a_collapsed_generator_is_called_by_name(judge: Judge) -> None:
    rng = np.random.default_rng(0)
    few = toyfaces.dataset(3, 16, seed=5, quiet=True).pixels[rng.integers(0, 3, N)].astype(int)
    images = (few + rng.integers(-2, 3, few.shape)).clip(0, 255).astype(np.uint8)
    report = evaluate(judge, images, "runs/collapsed")
    assert report.findings[0].name == "collapsed"
    assert "COLLAPSED" in report.to_text()
    assert report.scores["recall"] < 0.05
    assert report.scores["fid"] > 5 * report.floor["fid"]


def test_a_generator_that_copies_is_called_by_name(judge: Judge) -> None:
    training = judge.images.training.images(np.arange(2000))
    rng = np.random.default_rng(1)
    images = training[rng.permutation(2000)[:N]]
    noisy = (images + rng.normal(0, 0.02, images.shape)).clip(-1, 1).astype(np.float32)
    for copies in (images, noisy):
        report = evaluate(judge, copies, "runs/copies")
        assert report.findings[0].name == "copies"
        assert "COPIES THE TRAINING SET" in report.to_text()
        assert report.scores["copies"] > 0.9


def test_a_generator_without_half_of_the_modes(judge: Judge) -> None:
    factors = toyfaces.sample_factors(2000, 6, portrait=True)
    light = toyfaces.take(factors, np.flatnonzero(factors["skin_tone"] < 3)[:N])
    report = evaluate(judge, toyfaces.render(light, 16).image, "no dark skin")
    assert report.scores["mode_total_variation"] > report.floor["mode_total_variation"] + 0.1
    assert report.scores["total_variation"]["skin_tone"] > report.floor["total_variation"]["skin_tone"] + 0.1
    assert "skin_tone" in report.to_text()


def test_the_table_and_the_json_say_the_same(judge: Judge) -> None:
    report = evaluate(judge, toyfaces.dataset(N, 16, seed=7, quiet=True).pixels, "runs/x, step 5")
    text, content = report.to_text(), json.loads(report.to_json())
    assert text.splitlines()[0] == "runs/x, step 5: 600 images, against as many real ones"
    assert report.hash in text
    assert content["evaluator"]["hash"] == report.hash
    assert content["n"] == N
    assert content["scores"]["fid"] == report.scores["fid"]
    assert content["real_against_real"].keys() == content["scores"].keys()
    assert content["findings"]
    for name, limit in SMALL_GATES.items():
        assert f"{name} {report.held_out[name]:.3f} (gate {limit})" in text
    for score in SCORES:
        assert score.label in text


def test_a_judge_of_labelled_images(classifier: Classifier) -> None:
    training, real, floor = bars(1000), bars(300, 1).pixels, bars(300, 2).pixels
    judge = Judge(classifier, RealImages(training, real, floor, np.array([0.5, 0.5])), 300)
    report = evaluate(judge, bars(300, 3).pixels, "bars")
    assert report.scores["modes"] == 2
    assert "total_variation" not in report.scores
    lying = np.concatenate([part.pixels[part.labels == 0] for part in (bars(300, 3), bars(400, 4))])[:300]
    one_class = evaluate(judge, lying, "lying")
    assert one_class.scores["modes"] == 1
    assert "standing" in next(finding.text for finding in one_class.findings if finding.name == "missing modes")


def test_too_few_images_and_other_refusals(judge: Judge, regressor: FactorRegressor, classifier: Classifier) -> None:
    with pytest.raises(MetricError, match="n=479 images are too few: the metrics need at least 480"):
        Judge(regressor, judge.images, 479)
    with pytest.raises(MetricError, match=r"n=601, but there are only 600 real images .* use n=600"):
        Judge(regressor, judge.images, 601)
    with pytest.raises(MetricError, match="there are 599 images, but it was prepared for 600"):
        judge.quick(judge.images.floor[:599])
    with pytest.raises(EvaluatorError, match="not trained yet"):
        Judge(small_classifier(), judge.images, N)
    with pytest.raises(MetricError, match="3 x 16 x 16"):
        judge.full(np.zeros((N, 1, 16, 16), np.uint8))
    broken = judge.images.floor.astype(np.float32) / 255
    broken[7] = np.nan
    with pytest.raises(MetricError, match="1 of 256 images have NaN or infinite pixels, first image 7"):
        evaluate(judge, broken)
