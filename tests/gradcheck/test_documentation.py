"""The blocks of docs/gradcheck.md run; the tests they define pass; the messages they show are the real ones."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from emulator.stand_in import stand_in

from scratchgan.gradcheck import Backend, Op, check
from scratchgan.gradcheck.layers import backends

PAGE = (Path(__file__).parents[2] / "docs" / "gradcheck.md").read_text("utf-8")
BLOCK = re.compile(r"(?:<!-- needs: (\w+) -->\n)?```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL)
BLOCKS = [match.groups() for match in BLOCK.finditer(PAGE)]


def heading(number: int) -> str:
    """The nearest heading above a block, for the test's name."""
    start = [match.start() for match in BLOCK.finditer(PAGE)][number]
    return re.findall(r"^#+ (.*)$", PAGE[:start], re.MULTILINE)[-1]


@pytest.mark.parametrize("number", range(len(BLOCKS)), ids=heading)
def test_block(number: int) -> None:
    needs, source, expected = BLOCKS[number]
    if needs == "cc":
        if shutil.which("cc") is None:
            pytest.skip("no C compiler")
    elif needs and needs != "cupy" and find_spec(needs) is None:
        pytest.skip(f"no {needs}")
    printed = io.StringIO()
    namespace: dict[str, object] = {"__name__": "documentation"}
    with contextlib.redirect_stdout(printed), on_a_device() if needs == "cupy" else contextlib.nullcontext():
        exec(compile(source, f"gradcheck.md, block {number}", "exec"), namespace)
        for name, value in list(namespace.items()):
            if name.startswith("test_") and callable(value):
                value()
    if expected:
        assert without_numbers(printed.getvalue()) == without_numbers(expected)


def on_a_device() -> contextlib.AbstractContextManager[object]:
    """CuPy's where there is one; else the stand-in, whose arrays do not mix with NumPy's either."""
    return contextlib.nullcontext() if isinstance(backends.resolve("cupy"), Backend) else stand_in()


def test_the_device_is_asked() -> None:
    """The page's CuPy block would pass on a machine whose device nobody looks at; a bug on the device does not."""
    wrong = Op(
        lambda x: x * (2 if isinstance(x, np.ndarray) else 3),
        lambda gy, x: gy * 2,
        linear_in=("x",),
        backends=("numpy", "cupy"),
        name="twice",
    )
    with on_a_device():
        report = check(wrong, np.arange(1.0, 7.0))
    assert report.failing_layers == ("backends",)
    assert "cupy differs from numpy" in str(report)


def without_numbers(text: str) -> str:
    """Arithmetic differs in the last digits between machines; what is said about it does not."""
    return re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "#", text).strip()
