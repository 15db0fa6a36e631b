"""Small data, a small finished run, and two ways to run the command line: in this process and in one of its own."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from command_line import TINY, process_arguments

from scratchgan.cli import main


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def scratchgan(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run a command line in this process."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def failing(scratchgan: Callable[..., Result]) -> Callable[..., str]:
    """Run a command line that must fail with this exit code and one line on stderr; returns that line."""

    def run(code: int, *arguments: object) -> str:
        result = scratchgan(*arguments)
        assert result.code == code, result
        assert result.err.count("\n") == 1, result.err
        assert result.out == ""
        return result.err

    return run


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 grey images of 16 x 16 pixels."""
    path = tmp_path_factory.mktemp("data") / "squares.npz"
    random = np.random.default_rng(0)
    images = np.zeros((64, 16, 16, 1), np.uint8)
    for image, (top, left, size) in zip(images, random.integers(2, 8, (64, 3)), strict=True):
        image[top : top + size, left : left + size] = 255
    np.savez(path, images=images)
    return path


@pytest.fixture(scope="session")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 6 steps, in a process of its own; tests only read it."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    command = process_arguments("train", "--data", data, "--out", out, *TINY)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (out / "stdout.txt").write_text(done.stdout)
    (out / "stderr.txt").write_text(done.stderr)
    return out


_IN_NAMESPACE = """
import contextlib, io, json, os, subprocess, sys
from pathlib import Path
from scratchgan.cli import main

def mount(options):
    os.makedirs("disk", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", "disk"], check=True)

def scratchgan(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()

def say(value):
    print(json.dumps(value))
"""


@pytest.fixture
def isolated(tmp_path: Path) -> Callable[..., list[Any]]:
    """Run Python lines in a mount namespace, in which an unprivileged user too may mount a small or read-only disk.

    They know ``mount(options)``, which puts an empty disk at ./disk, ``scratchgan(*arguments)``, which returns the
    exit code, stdout and stderr, and ``say(value)``: the list of the values that were said is returned. Skips where
    the system does not allow such namespaces.
    """
    namespace = ["unshare", "--mount", "--map-root-user"]
    try:
        allowed = subprocess.run([*namespace, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs Linux's `unshare` to mount a small disk")
    if allowed.returncode:
        pytest.skip(f"may not mount a small disk here: {allowed.stderr.strip()}")

    def run(script: str, **environment: str) -> list[Any]:
        command = [*namespace, sys.executable, "-c", _IN_NAMESPACE + textwrap.dedent(script)]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run
