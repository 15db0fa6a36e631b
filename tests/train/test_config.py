"""TrainConfig: what it accepts, what it refuses and with which words."""

import dataclasses
import json

import pytest
from tiny_run import blobs

from scratchgan.train import ConfigError, RunSettings, TrainConfig, system_named, system_names


def test_json_round_trip(tmp_path):
    config = TrainConfig("gan", data="mnist", size=None, betas=(0.0, 0.9), loss="wgan-gp", channels=1)
    path = tmp_path / "config.json"
    path.write_text(config.to_json())
    assert TrainConfig.from_json(path) == config


def test_settings_left_out_of_the_json_get_their_defaults(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"system": "gan", "width": 8, "gradient_penalty": 5}')
    assert TrainConfig.from_json(path) == TrainConfig("gan", width=8, gradient_penalty=5.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"widht": 8}', "config.json: unknown setting 'widht'; did you mean 'width'?"),
        ('{"width": "8"}', "config.json: width='8' must be a whole number"),
        ('{"width": true}', "config.json: width=True must be a whole number"),
        ('{"batch": 64.0}', "config.json: batch=64.0 must be a whole number"),
        ('{"betas": [0.5]}', "must be two numbers"),
        ('{"width": 8', "config.json: not JSON"),
        ("[1]", "must hold one JSON object of settings, holds a list"),
    ],
)
def test_bad_json(tmp_path, text, message):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        TrainConfig.from_json(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_json_file(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.json: cannot be read \(No such file"):
        TrainConfig.from_json(tmp_path / "absent.json")


def test_overrides_are_parsed_by_the_type_of_the_setting():
    text = {"width": "16", "lr_g": "1e-3", "betas": "0, 0.9", "size": "none", "skip_bad": "True", "data": "none"}
    config = TrainConfig("gan", size=32).with_overrides(text)
    assert config == TrainConfig("gan", width=16, lr_g=1e-3, betas=(0.0, 0.9), size=None, skip_bad=True, data="none")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("stpes", "5", "unknown setting 'stpes'; did you mean 'steps'?"),
        ("zzzz", "5", "unknown setting 'zzzz'; the settings of system gan are data, "),
        ("steps", "many", "steps=many must be a whole number"),
        ("steps", "0", "steps=0 must be at least 1"),
        ("batch", "1", "batch=1 must be at least 2"),
        ("lr_g", "0", "lr_g=0.0 must be above 0"),
        ("lr_d", "nan", "lr_d=nan must be finite"),
        ("betas", "0.5", "betas=(0.5,) must be two numbers such as 0.5,0.999"),
        ("betas", "0.5,1", "betas=(0.5, 1.0) must be below 1"),
        ("betas", "a,b", "betas=a,b must be two numbers such as 0.5,0.999"),
        ("skip_bad", "maybe", "skip_bad=maybe must be true or false"),
        ("size", "big", "size=big must be a whole number or none"),
        ("channels", "2", "channels=2 must be 1 (grey) or 3 (RGB)"),
        (
            "loss",
            "hinges",
            "loss=hinges must be one of bce, bce-saturating, hinge, lsgan, wgan-gp (did you mean 'hinge'?)",
        ),
        ("device", "tpu", "device=tpu must be one of cpu, cuda"),
    ],
)
def test_bad_overrides(name, text, message):
    with pytest.raises(ConfigError) as caught:
        TrainConfig("gan").with_overrides({name: text})
    assert str(caught.value).startswith(message)


def test_settings_that_contradict_each_other():
    with pytest.raises(ConfigError, match="d_norm=batch mixes the images"):
        TrainConfig("gan", loss="wgan-gp", d_norm="batch")
    with pytest.raises(ConfigError, match="d_norm=batch mixes the images"):
        TrainConfig("gan", r1=1.0, d_norm="batch")
    with pytest.raises(ConfigError, match=r"label_smoothing=0\.1 is for the bce losses, not for loss=hinge"):
        TrainConfig("gan", loss="hinge", label_smoothing=0.1)


def test_what_is_left_open_is_decided_by_the_data_and_the_loss():
    faces = blobs(32, 3)
    done = TrainConfig("gan").completed(faces)
    assert (done.run.size, done.run.channels, done.own.d_norm, done.own.r1) == (32, 3, "none", 3.0)
    for settings, d_norm, r1 in [
        ({"loss": "wgan-gp"}, "layer", 0.0),
        ({"loss": "wgan-gp", "r1": 1.0}, "none", 1.0),
        ({"loss": "hinge"}, "none", 3.0),
        ({"r1": 0.0}, "batch", 0.0),
        ({"d_norm": "batch"}, "batch", 0.0),
        ({"d_norm": "none"}, "none", 3.0),
    ]:
        decided = TrainConfig("gan", **settings).completed(faces).own
        assert (decided.d_norm, decided.r1) == (d_norm, r1), settings
    assert done.completed(faces) == done


@pytest.mark.parametrize("system", system_names())
def test_every_setting_has_a_line_of_help_and_json_types(system):
    fields = [*dataclasses.fields(RunSettings), *dataclasses.fields(system_named(system).Settings)]
    assert all(field.metadata["help"] for field in fields)
    names = [field.name for field in fields]
    assert len(set(names)) == len(names)  # no setting is the loop's and the system's
    assert list(json.loads(TrainConfig(system).to_json())) == ["system", *names]


@pytest.mark.parametrize("system", system_names())
def test_nothing_that_changes_the_weights_by_more_than_rounding_may_change_on_resume(system):
    assert sorted(TrainConfig(system).resumable()) == [
        "checkpoint_every", "cuda_graph", "data_dir", "device", "eval_every", "eval_images", "keep_checkpoints",
        "log_every", "precision", "sample_every", "skip_bad", "steps",
    ]  # fmt: skip
    assert TrainConfig(system, steps=5).changes(TrainConfig(system, steps=6)) == {"steps": (5, 6)}
