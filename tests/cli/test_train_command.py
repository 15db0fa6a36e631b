"""`scratchgan train`: what it shows, what it leaves behind, and how it stops."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time

import pytest
from command_line import TINY, process_arguments

from scratchgan import kernels
from scratchgan.cli import progress
from scratchgan.cli.train import _fresh_folder
from scratchgan.systems.two_player import game_status
from scratchgan.train import TrainConfig
from scratchgan.train.checkpoint import checkpoint_path, checkpoint_steps, load_checkpoint


def test_a_run_ends_by_naming_pictures_that_exist(finished):
    out, err = (finished / "stdout.txt").read_text(), (finished / "stderr.txt").read_text()
    named = re.findall(r"^(?:samples|curves): +(\S+)$", out, re.MULTILINE)
    assert [os.path.getsize(path) > 100 for path in named] == [True, True]
    assert "squares.npz: 64 images, 1 x 16 x 16; weights: generator " in err
    lines = [line for line in err.splitlines() if line.startswith("step ")]
    assert re.fullmatch(r"step 1/6  D\(x\) 0\.\d\d  D\(G\(z\)\) 0\.\d\d  loss D 1\.\d{3}  G 0\.\d{3}", lines[0])
    assert lines[-1].startswith("step 6/6  ")
    assert lines[-1].endswith(" images/s")
    assert len((finished / "log.jsonl").read_text().splitlines()) == 6


def test_settings_reach_the_run(finished, data):
    config = json.loads((finished / "config.json").read_text())
    assert (config["data"], config["batch"], config["steps"], config["width"]) == (str(data), 8, 6, 4)


def test_quiet_prints_nothing_and_config_repeats_a_run(finished, data, tmp_path, scratchgan):
    result = scratchgan("train", "--config", finished / "config.json", "--out", tmp_path / "again", "--quiet")
    assert result == (0, "", "")
    first, again = (checkpoint_path(run / "checkpoints", 6).read_bytes() for run in (finished, tmp_path / "again"))
    assert first == again


def test_resume_goes_on_and_is_told_when_there_is_nothing_to_do(finished, data, tmp_path, scratchgan):
    out = tmp_path / "run"
    short = (*TINY, "--steps", 4, "--set", "lr_steps=6")  # the rates of the run of 6 steps
    assert scratchgan("train", "--data", data, "--out", out, *short, "--quiet").code == 0
    result = scratchgan("train", "--resume", out)
    assert (result.code, result.out) == (0, f"{out} is at step 4 already: give more --steps to go on with it\n")
    result = scratchgan("train", "--resume", out, "--steps", 6)
    assert result.code == 0
    assert "step 5/6" in result.err
    ours, uninterrupted = (load_checkpoint(checkpoint_path(run / "checkpoints", 6)) for run in (out, finished))
    assert all((ours.arrays[name] == array).all() for name, array in uninterrupted.arrays.items())


def test_threads_are_those_asked_for(data, tmp_path, scratchgan, monkeypatch):
    asked = []
    monkeypatch.setattr(kernels, "set_num_threads", asked.append)
    arguments = ("train", "--data", data, "--out", tmp_path / "run", *TINY, "--steps", 1, "--threads", 1, "--quiet")
    assert scratchgan(*arguments).code == 0
    assert asked == [1]


def test_the_default_folder_is_a_fresh_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for data, names in [("toyfaces", ["toyfaces", "toyfaces-2", "toyfaces-3"]), ("my/photos/", ["photos"])]:
        for name in names:
            folder = _fresh_folder(TrainConfig("gan", data=data))
            assert folder.as_posix() == f"runs/{name}"
            folder.mkdir(parents=True)
    assert _fresh_folder(TrainConfig("gan", data="a/train-images-idx3-ubyte.gz")).name == "train-images-idx3-ubyte"


def test_ctrl_c_keeps_a_checkpoint_and_says_how_to_go_on(data, tmp_path, scratchgan):
    out = tmp_path / "run"
    settings = (*TINY, "--steps", 1_000_000, "--set", "checkpoint_every=1000000")
    process = subprocess.Popen(
        process_arguments("train", "--data", data, "--out", out, *settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        for line in process.stderr:
            if line.startswith("step "):
                break
        process.send_signal(signal.SIGINT)
        out_text, err_text = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err_text
    assert "Ctrl-C again" in err_text
    stopped = re.fullmatch(
        rf"stopped at step ([\d,]+); its checkpoint is of step ([\d,]+)\. Go on: (scratchgan train --resume {out})\n",
        out_text,
    )
    step = int(stopped[1].replace(",", ""))
    assert stopped[1] == stopped[2]
    assert checkpoint_steps(out / "checkpoints") == [step]
    _, *arguments = stopped[3].split()
    assert scratchgan(*arguments, "--steps", step + 2, "--quiet") == (0, "", "")
    assert checkpoint_steps(out / "checkpoints")[-1] == step + 2


def test_a_terminal_sees_a_bar(data, tmp_path):
    out = tmp_path / "run"
    command = process_arguments("train", "--data", data, "--out", out, *TINY)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen(
        command, stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm-256color", "COLUMNS": ""}
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 1 << 16)
        except OSError:  # Linux's way to say that the other side is closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    assert process.wait(timeout=60) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", text)]
    bars = [line for line in lines if line.startswith("training ━")]
    assert re.fullmatch(r"training ━+ 6/6 [\d,]+ images/s", bars[-1])
    assert any(
        re.fullmatch(r" +D\(x\) \d\.\d\d  D\(G\(z\)\) \d\.\d\d  loss D \d\.\d+  G \d\.\d+", line) for line in lines
    )
    assert any(line == f"curves:  {out / 'curves.png'}" for line in lines)


METRICS = {"d_real": 0.71, "d_fake": 0.3, "loss_d": 0.9, "loss_g": 1.4}


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests move."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_lines_come_every_few_seconds_with_the_speed_of_the_last_ones(capsys, clock):
    with progress.display(1000, 0, 10, game_status, quiet=False) as shown:
        for step in range(1, 41):
            clock[0] += 10.0 if step < 5 else 1.0
            shown.step(step, METRICS)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "step     1/1,000  D(x) 0.71  D(G(z)) 0.30  loss D 0.900  G 1.400"
    assert lines[1].endswith("  1 images/s  2:46:20 left")  # 998 steps of 10 s
    assert lines[-1].endswith("  10 images/s  16:01 left")  # the slow first steps are forgotten: 961 steps of 1 s
    assert len(lines) == 4 + 7  # every step while they take 10 s, every fifth one after that


def test_compiling_is_shown_and_not_counted_as_training(capsys, clock):
    with progress.display(10, 0, 10, game_status, quiet=False) as shown:
        for name in ("conv.forward", "conv.input_grad", "norm.batch_norm"):
            shown.compiling(name)
            clock[0] += 4.0
        shown.step(1, METRICS)
        clock[0] += 6.0
        shown.step(2, METRICS)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "compiling kernels: 1, conv.forward; they are kept, so the next start is quick"
    assert lines[1] == "compiling kernels: 3, norm.batch_norm"
    assert lines[3].endswith("  2 images/s  0:48 left")  # 6 s for the step, and none of the 12 s before it


def test_durations_are_written_for_people():
    assert [progress.duration(s) for s in (0.4, 59.6, 3599, 3600, 36_061)] == [
        "0:00", "1:00", "59:59", "1:00:00", "10:01:01",
    ]  # fmt: skip
