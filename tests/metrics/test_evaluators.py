"""Evaluators: what they learn, the gates that they must pass, and the files that they are kept in."""

import os
from pathlib import Path

import numpy as np
import pytest
from small import SMALL_GATES, bars, small_classifier, small_regressor

from scratchgan.data import ArrayDataset, toyfaces
from scratchgan.data.toyfaces import factors as factor_table
from scratchgan.metrics import (
    Classifier,
    EvaluatorError,
    FactorRegressor,
    MetricError,
    load_evaluator,
    open_evaluator,
    save_evaluator,
)
from scratchgan.metrics.evaluators import store
from scratchgan.metrics.evaluators.faces import FIRST_PERSON
from scratchgan.metrics.evaluators.factors import HEADS, mode_numbers, visible
from scratchgan.train.checkpoint import load_checkpoint, save_checkpoint


def test_every_factor_that_portraits_show_has_a_head() -> None:
    names = [head.factor.name for head in HEADS]
    assert set(names) == {f.name for f in toyfaces.FACTORS} - {"scene", "scene_present"}
    ends = [head.outputs.stop for head in HEADS]
    assert [head.outputs.start for head in HEADS] == [0, *ends[:-1]]


def test_the_regressor_learns_and_states_its_errors(regressor: FactorRegressor) -> None:
    assert set(regressor.held_out) == {head.factor.name for head in HEADS}
    assert regressor.held_out["skin_tone"] < 0.75  # 5/6 by guessing
    regressor.check_gates()
    factors = toyfaces.sample_factors(300, 5, portrait=True)
    images = toyfaces.render(factors, 16).image
    told = regressor.predict(images)
    assert (told["skin_tone"] == factors["skin_tone"]).mean() > 0.3
    assert regressor.features(images).shape == (300, 128)
    assert regressor.outputs(images).shape == (300, HEADS[-1].outputs.stop)


def test_outputs_are_read_back_as_they_were_scaled() -> None:
    """Outputs that say exactly what the factors are give these factors."""
    from scratchgan.metrics.evaluators.factors import scaled

    factors = toyfaces.sample_factors(50, 3, portrait=True)
    outputs = np.zeros((50, HEADS[-1].outputs.stop), np.float32)
    for head in HEADS:
        values = factors[head.factor.name]
        if head.factor.categories:
            outputs[np.arange(50), head.outputs.start + values] = 20
        else:
            outputs[:, head.outputs.start] = scaled(head, values)
    told = FactorRegressor(16).read(outputs)
    for name, values in told.items():
        np.testing.assert_allclose(values, factors[name], atol=1e-4)
    regressor = FactorRegressor(16)
    np.testing.assert_array_equal(regressor.mode_of(outputs), mode_numbers(factors))
    probabilities = regressor.mode_probabilities(outputs)
    assert probabilities.shape == (50, 48)
    np.testing.assert_allclose(probabilities[np.arange(50), mode_numbers(factors)], 1, atol=1e-5)
    first = factors["hair_style"][0], factors["skin_tone"][0]
    hair, skin = (factor_table.TABLE[name].categories for name in ("hair_style", "skin_tone"))
    assert regressor.modes[mode_numbers(factors)[0]] == f"{hair[first[0]]} hair, {skin[first[1]]} skin"


def test_what_can_not_be_seen_is_not_asked_for() -> None:
    factors = toyfaces.sample_factors(200, 4)
    heads = {head.factor.name: head for head in HEADS}
    np.testing.assert_array_equal(visible(heads["glasses"], factors), factors["glasses_present"] == 1)
    np.testing.assert_array_equal(visible(heads["background_b"], factors), factors["pattern"] != 0)
    assert visible(heads["yaw"], factors).all()


def test_evaluators_learn_from_persons_of_no_split() -> None:
    for split in toyfaces.SPLITS:
        assert toyfaces.factors.sample_identities(5000, 0, split).max() < FIRST_PERSON


def test_the_classifier_learns_and_its_features_tell_the_classes_apart(classifier: Classifier) -> None:
    data = bars(512, 2)
    assert (classifier.predict(data.pixels) == data.labels).mean() > 0.97
    assert classifier.features(data.pixels).shape == (512, 64)
    assert classifier.held_out["class"] < 0.03
    assert 0.2 < classifier.gates["class"] < 0.25  # half of guessing
    np.testing.assert_allclose(classifier.mode_probabilities(classifier.outputs(data.pixels)).sum(1), 1, rtol=1e-5)


def test_a_classifier_of_labels_that_mean_nothing_may_not_score(tmp_path: Path) -> None:
    train, test = bars(256), bars(256, 1)
    shuffled = ArrayDataset(train.pixels, np.random.default_rng(0).permutation(train.labels), train.classes, "noise")
    with pytest.raises(EvaluatorError, match=r"above its gates, so it may not score: class 0\.\d+ \(at most 0\.2"):
        open_evaluator(Classifier(shuffled, test, epochs=1), folder=tmp_path)


def test_data_that_no_classifier_can_learn_from() -> None:
    unlabelled = ArrayDataset(np.zeros((4, 1, 8, 8), np.uint8), name="unlabelled")
    with pytest.raises(MetricError, match="unlabelled has no labels"):
        Classifier(unlabelled, unlabelled)
    with pytest.raises(MetricError, match=r"\(1, 8, 8\) and \(1, 8, 7\)"):
        Classifier(bars(8), ArrayDataset(np.zeros((4, 1, 8, 7), np.uint8), [0] * 4, ("lying", "standing")))


def test_the_gates() -> None:
    regressor = small_regressor()
    with pytest.raises(EvaluatorError, match="not trained yet"):
        regressor.check_gates()
    regressor.held_out = {"skin_tone": float("nan"), "hat_present": 0.31}
    with pytest.raises(EvaluatorError, match=r"skin_tone nan \(at most 0.75\), hat_present 0.31 \(at most 0.3\)"):
        regressor.check_gates()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((3, 3, 32, 32), np.float32), r"must be N,C,H,W of 3 x 16 x 16, got \(3, 3, 32, 32\)"),
        (np.zeros((3, 1, 16, 16), np.float32), r"3 x 16 x 16, got \(3, 1, 16, 16\)"),
        (np.zeros((3, 16, 16), np.uint8), "must be N,C,H,W"),
        (np.zeros((3, 3, 16, 16), np.int64), "uint8, or floats in .*, got int64"),
        (np.full((3, 3, 16, 16), 255.0), "pixels run from 255 to 255; floats must be in"),
        (np.zeros((0, 3, 16, 16), np.uint8), "there are no images"),
    ],
)
def test_images_that_can_not_be_judged(regressor: FactorRegressor, images: np.ndarray, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        regressor.features(images)


def test_nan_images(regressor: FactorRegressor) -> None:
    images = np.zeros((5, 3, 16, 16), np.float32)
    images[3, 0, 2, 2] = np.nan
    images[4, 1, 2, 2] = np.inf
    with pytest.raises(MetricError, match="2 of 5 images have NaN or infinite pixels, first image 3"):
        regressor.features(images)


def test_uint8_and_float_are_the_same(regressor: FactorRegressor) -> None:
    images = toyfaces.dataset(20, 16, seed=9, quiet=True)
    np.testing.assert_array_equal(regressor.features(images.pixels), regressor.features(images.images(np.arange(20))))


def test_an_evaluator_is_trained_once_and_then_read(classifier: Classifier, tmp_path: Path) -> None:
    calls: list[str] = []
    first = open_evaluator(small_classifier(), folder=tmp_path, on_progress=lambda what, *_: calls.append(what))
    assert set(calls) == {"training a classifier of bars"}
    assert first.hash == classifier.hash  # training is reproducible
    calls.clear()
    second = open_evaluator(small_classifier(), folder=tmp_path, on_progress=lambda what, *_: calls.append(what))
    assert calls == []
    assert (second.hash, second.held_out) == (first.hash, first.held_out)
    np.testing.assert_array_equal(second.features(bars(10).pixels), first.features(bars(10).pixels))


def test_what_the_file_is_named_by(monkeypatch: pytest.MonkeyPatch) -> None:
    a = small_classifier()
    keys = {a.key, small_classifier(epochs=3).key, Classifier(bars(100), bars(512, 1)).key}
    monkeypatch.setattr(Classifier, "version", 99)
    keys.add(small_classifier().key)
    assert len(keys) == 4
    assert small_regressor().key != small_regressor(steps=151).key
    assert small_regressor().key == small_regressor(gates={}).key  # gates change nothing in the weights
    monkeypatch.setattr("scratchgan.metrics.evaluators.factors.TOYFACES", "toyfaces-v99")
    assert small_regressor().key != a.key
    assert small_regressor().recipe["data"] == "toyfaces-v99"


def spoilt(path: Path, how: str) -> None:
    if how == "cut short":
        os.truncate(path, path.stat().st_size // 2)
        return
    saved = load_checkpoint(path)
    if how == "older renderer":
        saved.state["recipe"]["data"] = "toyfaces-v3"
    elif how == "other weights":
        name = sorted(saved.arrays)[0]
        saved.arrays[name] = saved.arrays[name] + np.float32(0.1)
    elif how == "fewer weights":
        saved.arrays.pop(sorted(saved.arrays)[0])
    else:
        saved.state.pop("held_out")
    save_checkpoint(path, saved)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("cut short", "damaged or cut short"),
        ("older renderer", "of another recipe: data is 'toyfaces-v3' there and 'toyfaces-v"),
        ("other weights", "do not have the hash"),
        ("fewer weights", "missing: "),
        ("no errors", "not an evaluator of scratchgan"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused_and_trained_again(
    regressor: FactorRegressor, tmp_path: Path, how: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.evaluator_path(regressor, tmp_path)
    save_evaluator(regressor, path)
    spoilt(path, how)
    fresh = small_regressor()
    before = fresh.hash
    with pytest.raises(EvaluatorError, match=message):
        load_evaluator(fresh, path)
    assert (fresh.hash, fresh.held_out) == (before, {})

    def fit(self: FactorRegressor, on_progress: object = None) -> None:
        self.network.load_state_dict(regressor.network.state_dict())
        self.held_out = dict(regressor.held_out)

    monkeypatch.setattr(FactorRegressor, "fit", fit)
    notices: list[str] = []
    again = open_evaluator(fresh, folder=tmp_path, on_notice=notices.append)
    assert again.hash == regressor.hash
    assert len(notices) == 1
    assert notices[0].endswith("it is trained again")
    load_evaluator(small_regressor(), path, expected_hash=regressor.hash)  # and the file is good now


def test_another_hash_than_expected_is_refused(regressor: FactorRegressor, tmp_path: Path) -> None:
    path = tmp_path / "evaluator.safetensors"
    save_evaluator(regressor, path)
    with pytest.raises(EvaluatorError, match=f"its hash is {regressor.hash}, not 0123"):
        load_evaluator(small_regressor(), path, expected_hash="0123")


def test_a_cached_evaluator_that_misses_its_gates_may_not_score(regressor: FactorRegressor, tmp_path: Path) -> None:
    save_evaluator(regressor, store.evaluator_path(regressor, tmp_path))
    with pytest.raises(EvaluatorError, match=r"hair_style 0\.\d+ \(at most 0\.01\)"):
        open_evaluator(small_regressor(gates=SMALL_GATES | {"hair_style": 0.01}), folder=tmp_path)


def test_a_folder_that_can_not_be_written_costs_a_notice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    notices: list[str] = []
    open_evaluator(small_classifier(epochs=1), folder=tmp_path / "file", on_notice=notices.append)
    assert len(notices) == 1
    assert "cannot be kept in" in notices[0]


def test_a_size_that_no_network_has() -> None:
    with pytest.raises(MetricError, match=r"factors evaluator for toyfaces-v.* at 37 px: size 37 cannot be reached"):
        FactorRegressor(37)
