"""Systems by name: which there are, one's own, and whose a config.json is."""

import sys
import types

import pytest

from scratchgan.systems.gan import Gan
from scratchgan.systems.points import Points
from scratchgan.train import ConfigError, TrainConfig, register, registry, system_for, system_named, system_names


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    system_names()
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))


def test_the_first_system_is_used_where_none_is_named() -> None:
    assert system_names()[0] == system_for(None) == system_for("photos/") == "gan"
    assert system_for("ring8") == "points"
    assert (system_named("gan"), system_named("points")) == (Gan, Points)


@pytest.mark.parametrize("name", system_names())
def test_a_system_is_registered_under_its_own_name_and_says_what_it_is(name: str) -> None:
    kind = system_named(name)
    assert kind.name == name
    assert kind.summary
    assert "\n" not in kind.summary


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gna", r"no system is named 'gna' \(did you mean 'gan'\?\); there are gan, "),
        ("point", r"no system is named 'point' \(did you mean 'points'\?\)"),
        ("diffusion", r"no system is named 'diffusion'; there are gan, "),
    ],
)
def test_an_unknown_system(name: str, message: str) -> None:
    for call in (system_named, TrainConfig):
        with pytest.raises(ConfigError, match=message):
            call(name)


def test_settings_of_another_system() -> None:
    message = "mirror is a setting of system gan.*, not of points: leave it out"
    for call in (lambda: TrainConfig("points", mirror=True), lambda: TrainConfig("points").replace(mirror=True)):
        with pytest.raises(ConfigError, match=message):
            call()
    with pytest.raises(ConfigError, match=message):
        TrainConfig("points").with_overrides({"mirror": "true"})
    with pytest.raises(ConfigError, match=r"unknown setting 'mirrors'"):
        TrainConfig("points", mirrors=True)


def test_ones_own_system(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Gan):
        name = "mine"

    module = types.ModuleType("somebodys")
    module.Mine = Mine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "somebodys", module)
    register("mine", "somebodys:Mine", data={"mydata"})
    register("mine", "somebodys:Mine", data={"mydata"})  # a module that is loaded twice
    assert system_names()[-1] == "mine"
    assert system_for("mydata") == "mine"
    assert TrainConfig("mine", width=8).kind is Mine
    assert TrainConfig.from_dict(TrainConfig("mine", width=8).as_dict()) == TrainConfig("mine", width=8)


def test_registering_before_any_look_up_keeps_the_packages_own_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_entries", {})
    monkeypatch.delitem(sys.modules, "scratchgan.systems")
    register("mine", "somebodys:Mine")
    assert system_names()[0] == "gan"
    assert system_names()[-1] == "mine"


def test_what_can_not_be_registered_or_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"register: 'gan' is scratchgan.systems.gan:Gan already: choose another name"):
        register("gan", "somebodys:Gan")
    register("lost", "no_such_package.lost:Lost")
    with pytest.raises(ConfigError, match=r"system 'lost' can't be imported from 'no_such_package.lost:Lost' \(No mod"):
        system_named("lost")
    register("absent", "scratchgan.systems.gan:Absent")
    with pytest.raises(ConfigError, match=r"system 'absent' can't be imported from 'scratchgan.systems.gan:Absent'"):
        system_named("absent")


@pytest.mark.parametrize(
    ("settings", "system"),
    [
        ({"system": "points"}, "points"),
        ({"width": 8}, "gan"),
        ({"model": "gan28"}, "gan"),
        ({"model": "auto", "data": "mnist"}, "gan"),
        ({"model": "mlp"}, "points"),
        ({"data": "ring8"}, "points"),
        ({"model": "auto", "data": "grid25"}, "points"),
    ],
)
def test_whose_settings_these_are(settings: dict, system: str) -> None:
    assert TrainConfig.from_dict(settings).system == system
