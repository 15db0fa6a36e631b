"""suite() as a user meets it: in an empty project, with the plugin, failing and passing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sample_operators import tanh

from scratchgan.gradcheck import ArraySpec, Case, GradcheckError, Op, arrays, suite
from scratchgan.gradcheck.profiles import session
from scratchgan.gradcheck.suites import draw

PROJECT = """
import numpy as np
from scratchgan.gradcheck import Op, arrays, suite

square = Op(lambda x: x * x, lambda gy, x: 2 * gy * x, name="square")
test_square = suite(square, arrays(), dtypes=("f4", "f8"))

def one_slice_missing(gy, x):
    g = 2 * gy * x
    if x.ndim == 3 and x.shape[2] > 2:
        g[..., 2] = 0
    return g

test_wrong = suite(square.but(vjp=one_slice_missing), arrays(ndim=(1, 3)), max_examples=200)
test_nothing = suite(square, arrays(ndim=(1, 1), sides=(0, 0)))
"""


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs pytest there with our plugin and no other, whichever are installed."""
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "scratchgan.gradcheck.plugin", *arguments]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "test_mine.py").write_text(PROJECT)
    return tmp_path


def test_an_empty_project(project: Path) -> None:
    run = pytest_in(project)
    out = run.stdout
    assert run.returncode == 1, out + run.stderr
    assert "1 passed" in out
    assert "2 failed" in out
    # The smallest case that shows it, not the first that was drawn.
    assert "case: x float32[1, 1, 3]" in out
    assert "only the last slice 2 of axis 2 is zero" in out
    assert "gradient checks" in out
    assert "profile default" in out
    assert "INCONCLUSIVE square" in out  # test_nothing
    line = re.search(r"reproduce: pytest '(\S+)' --grad-case '(.*)'", out)
    assert line, out
    again = pytest_in(project, line[1], "--grad-case", line[2])
    assert again.returncode == 1
    assert "only the last slice 2 of axis 2 is zero" in again.stdout
    harmless = Case((ArraySpec((2, 2)),), {}, 1).to_json()
    assert pytest_in(project, line[1], "--grad-case", harmless).returncode == 0


def test_a_case_that_is_none_is_a_usage_error(project: Path) -> None:
    run = pytest_in(project, "--grad-case", "{]")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "not a case" in run.stderr


def test_the_thorough_profile_runs_more(project: Path) -> None:
    run = pytest_in(project, "--grad-profile", "thorough", "-k", "square", "-vv")
    assert run.returncode == 0, run.stdout
    assert "profile thorough" in run.stdout
    assert "not applicable to square: oracle: no reference is given" in run.stdout
    counted = [int(n) for n in re.findall(r": (\d+) comparisons", run.stdout)]
    assert counted[0] > 250 * 10


def test_cases_survive_json() -> None:
    for case in draw(arrays(2), 20):
        again = Case.from_json(case.to_json())
        assert again == case
        for a, b in zip(case.args("f4"), again.args("f4"), strict=True):
            assert a.dtype == np.float32
            assert np.array_equal(a, b)
            assert a.strides == b.strides
    assert json.loads(case.to_json())["seed"] == case.seed


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"arrays": [[[2], "odd", "contiguous"]]}', '{"arrays": [[[2], "distinct", "spiral"]]}']
)
def test_what_is_no_case_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="not a case"):
        Case.from_json(text)


def test_a_suite_that_compares_nothing_fails() -> None:
    with pytest.raises(GradcheckError, match="empty"):
        suite(tanh, arrays(ndim=(1, 1), sides=(0, 0)))()
    with pytest.raises(ValueError, match="dtypes is empty"):
        suite(tanh, arrays(), dtypes=())


def test_examples_are_the_same_every_time() -> None:
    seen: list[list[bytes]] = [[], []]
    for run in range(2):
        op = Op(lambda x, run=run: seen[run].append(x.tobytes()) or np.tanh(x), tanh.vjp, name="tanh")
        suite(op, arrays(), max_examples=5)()
    assert seen[0] == seen[1]
    assert session.profile.derandomize
