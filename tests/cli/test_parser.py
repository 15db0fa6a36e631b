"""The command line as such: help, usage errors, exit codes, and what its start imports."""

import dataclasses
import json
import shlex
import subprocess
import sys

import pytest

from scratchgan.cli import COMMANDS, build_parser, errors, train
from scratchgan.train import RunSettings, TrainConfig, system_named, system_names
from scratchgan.train.losses import LOSSES

# Each costs a noticeable part of a second, or may be absent.
HEAVY = {
    "numba",
    "llvmlite",
    "rich",
    "PIL",
    "safetensors",
    "scipy",
    "cupy",
    "matplotlib",
    "scratchgan.train",
    "scratchgan.data",
}


# The options of `train` come from the settings of the systems, so its help imports those, but nothing that computes.
SETTINGS = {"scratchgan.train", "scratchgan.data"}


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--help"], set()),
        (["--version"], set()),
        (["sample", "--help"], set()),
        (["evaluate", "--no-such-option"], set()),
        (["train", "--help"], SETTINGS),
        (["train", "--no-such-option"], SETTINGS),
    ],
)
def test_start_imports_nothing_heavy(arguments, allowed):
    script = (
        "import json, sys\nfrom scratchgan.cli import main\n"
        f"code = main({arguments!r})\nprint(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == (2 if "--no-such-option" in arguments else 0)
    assert HEAVY & set(modules) <= allowed


def test_help_names_every_command_and_loss(scratchgan):
    result = scratchgan("--help")
    assert result.code == 0
    for name in COMMANDS:
        assert f"\n    {name} " in result.out
    text = scratchgan("train", "--help").out
    assert all(loss in text for loss in LOSSES)
    # One line for each: no explanation is pushed below its command's name.
    assert "interpolate  " in result.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_a_command_line_that_parses(name, scratchgan):
    text = scratchgan(name, "--help").out
    examples = [line.split("#")[0] for line in text.split("examples:\n")[1].splitlines() if line.strip()]
    assert examples
    for example in examples:
        program, *arguments = shlex.split(example.strip().partition("   ")[0])  # what follows three blanks is a remark
        assert program == "scratchgan"
        arguments = arguments[: arguments.index(">")] if ">" in arguments else arguments
        assert build_parser().parse_args(arguments).command == name


def test_no_command_prints_the_help(scratchgan):
    result = scratchgan()
    assert result.code == 2
    assert "scratchgan train" in result.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trane"], "invalid choice: 'trane'"),
        (["train", "--step", "3"], "unrecognized arguments: --step"),
        (["train", "--threads", "0"], "argument --threads: 0 must be at least 1"),
        (["train", "--threads", "100000"], "--threads 100000: "),
        (["train", "--steps", "many"], "steps=many must be a whole number"),
        (["train", "--steps", "0"], "steps=0 must be at least 1"),
        (["train", "--loss", "hing"], "did you mean 'hinge'?"),
        (["train", "--set", "widht=3"], "did you mean 'width'?"),
        (["train", "--set", "width"], "write it as KEY=VALUE"),
        (["train", "--set", "batch=32", "--batch", "64"], "--batch 64 and --set batch=32 differ"),
        (["train", "--device", "gpu"], "device=gpu must be one of cpu, cuda"),
        (["train", "--config", "no/such.json"], "no/such.json: cannot be read"),
        (["train", "--resume", "x", "--out", "y"], "--out is for a new run"),
        (["train", "gna"], "no system is named 'gna' (did you mean 'gan'?); there are gan"),
        (["train", "runs/fashion"], "no system is named 'runs/fashion'; there are gan"),
        (["train", "points", "--set", "mirror=true"], "mirror is a setting of system gan"),
        (["train", "--data", "ring8", "--mirror"], ", not of points: leave it out"),
        (["train", "points", "--mirror"], "unrecognized arguments: --mirror"),
        (["train", "points", "--resume", "x"], "system is for a new run"),
        (["train", "--recipe", "faces"], "no recipe is named 'faces'"),
        (["train", "points", "--recipe", "faces64"], "no recipe of system points is named 'faces64'"),
        (["sample"], "the following arguments are required: RUN"),
        (["sample", "x", "--out", "grid.jpg"], "'grid.jpg' must end in .png or .npz"),
        (["sample", "x", "--n", "0"], "0 must be at least 1"),
        (["sample", "x", "--truncation", "2"], "'2' must be a number from 0 to 1"),
        (["interpolate", "x", "--points", "1"], "1 must be at least 2"),
        (["interpolate", "x", "--frames", "2.5"], "'2.5' must be a whole number"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(arguments, says, failing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert says in failing(2, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("system", system_names())
def test_settings_are_listed_as_set_takes_them(system, scratchgan):
    result = scratchgan("train", system, "--settings")
    assert result.code == 0
    pairs = dict(line.split(maxsplit=1)[0].split("=") for line in result.out.splitlines())
    config = TrainConfig(system)
    assert ["system", *pairs] == list(config.as_dict())
    assert config.with_overrides(pairs) == config
    if system == "gan":
        assert scratchgan("train", "--settings") == result


@pytest.mark.parametrize("system", system_names())
def test_the_help_of_a_system_has_the_options_and_defaults_of_its_settings(system, scratchgan):
    text = " ".join(scratchgan("train", system, "--help").out.split())
    kind, values = system_named(system), TrainConfig(system).as_dict()
    for group in (RunSettings, kind.Settings):
        for field in dataclasses.fields(group):
            assert (f" --{field.name.replace('_', '-')} " in text) == field.metadata["option"], field.name
            if field.metadata["option"]:
                assert field.metadata["help"] in text
    assert f"(default: {values['batch']})" in text
    assert f"(default: {values['data']})" in text
    assert all(f"{name}: {system_named(name).summary}" in text for name in system_names())
    assert all(name in text for name in kind.recipes)


def test_an_unexpected_error_is_one_line_and_debug_shows_where(failing, scratchgan, monkeypatch):
    def broken(arguments):
        raise ZeroDivisionError("a bug\nin two lines")

    monkeypatch.setattr(train, "run", broken)
    line = failing(1, "train")
    assert line == (
        "scratchgan train: ZeroDivisionError: a bug in two lines (unexpected: run again with --debug to see where)\n"
    )
    for arguments in (["--debug", "train"], ["train", "--debug"]):
        result = scratchgan(*arguments)
        assert result.code == 1
        assert "Traceback" in result.err
        assert "in broken" in result.err


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (KeyboardInterrupt(), 130, "stopped"),
        (MemoryError(), 1, "smaller --batch"),
        (OSError(28, "No space left on device", "runs/x"), 1, "runs/x: the disk is full: make room"),
        (PermissionError(13, "Permission denied", "x.png"), 1, "x.png: you may not read or write there"),
        (OSError(5, "Input/output error"), 1, "the disk failed"),
        (OSError(84, "Something rare", "x"), 1, "x: Something rare"),
    ],
)
def test_what_the_system_refuses_is_said_in_words(error, code, says):
    message, exit_code = errors.describe(error)
    assert exit_code == code
    assert says in message


def test_a_closed_pipe_is_no_error():
    command = f"{shlex.quote(sys.executable)} -m scratchgan train --settings | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""
