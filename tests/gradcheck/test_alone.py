"""`scratchgan.gradcheck` needs NumPy and hypothesis only: what it imports, and an environment with nothing else."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GRADCHECK = ROOT / "scratchgan" / "gradcheck"

#: What a module may import beside the standard library, NumPy and its own package, anywhere in it.
ALLOWED = {
    "strategies.py": {"hypothesis"},
    "suites.py": {"hypothesis"},
    "graph_programs.py": {"hypothesis"},
    "plugin.py": {"pytest"},
    # Adapters import the framework whose functions they are given, when they are given one.
    "adapters.py": {"torch", "jax", "scratchgan"},
    "layers/backends.py": {"cupy"},
    # This room tests the project itself.
    "selftest/targets.py": {"scratchgan"},
}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every import in a file: at the top, within functions, for type checkers, and by `import_module("name")`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = ("scratchgan", "gradcheck", *path.relative_to(GRADCHECK).parts[:-1])
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            yield node.lineno, base
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((node.lineno, str(name.value)) for name in node.args[:1] if isinstance(name, ast.Constant))


@pytest.mark.parametrize("path", sorted(GRADCHECK.rglob("*.py")), ids=lambda p: p.relative_to(GRADCHECK).as_posix())
def test_imports(path: Path) -> None:
    allowed = {"numpy", *ALLOWED.get(path.relative_to(GRADCHECK).as_posix(), ())}
    for line, name in imported(path):
        top = name.split(".")[0]
        own = name == "scratchgan.gradcheck" or name.startswith("scratchgan.gradcheck.")
        where = f"{path.relative_to(ROOT)}:{line} imports {name}"
        assert own or top in allowed or top in sys.stdlib_module_names or top == "__future__", where


def test_imports_in_functions_are_seen() -> None:
    assert "scratchgan" in {name for _, name in imported(GRADCHECK / "adapters.py")}
    assert "cupy" in {name for _, name in imported(GRADCHECK / "layers" / "backends.py")}


def test_rooms_import_down() -> None:
    """What tests the project stands on the layers and the face; no layer, and no module under the checker, on it."""
    below = [*GRADCHECK.glob("layers/*.py"), *(GRADCHECK / f"{n}.py" for n in ("op", "trial", "probes", "report"))]
    for path in below:
        for line, name in imported(path):
            assert "selftest" not in name, f"{path.name}:{line}"
            assert name not in {f"scratchgan.gradcheck.{n}" for n in ("checker", "suites")}, f"{path.name}:{line}"


PROGRAM = """
import importlib.util, sys
assert importlib.util.find_spec("numba") is None and importlib.util.find_spec("torch") is None
import numpy as np
from scratchgan.gradcheck import Op, Policy, arrays, check, suite
exp = Op(lambda x: np.exp(x / 8), lambda gy, x: gy * np.exp(x / 8) / 8, name="exp")
for policy in (Policy(), Policy.quick()):
    assert check(exp, np.linspace(-1, 1, 12).reshape(3, 4), policy=policy)
    assert not check(exp.but(vjp=lambda gy, x: gy * np.exp(x / 8)), np.linspace(-1, 1, 12), policy=policy)
test_exp = suite(exp, arrays(), max_examples=5)
def test_nothing_else_is_here():
    assert not {"numba", "torch", "jax", "scipy"} & set(sys.modules)
"""


@pytest.mark.slow
def test_an_environment_with_nothing_else(tmp_path: Path) -> None:
    """NumPy, hypothesis and pytest with what they require themselves, this package, and no other."""
    site = tmp_path / "site"
    site.mkdir()
    wanted, seen = ["numpy", "hypothesis", "pytest"], set()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
            source = Path(str(distribution.locate_file(top)))
            if source.exists() and not (site / top).exists():
                (site / top).symlink_to(source)
        for requirement in distribution.requires or ():
            if ";" not in requirement:
                wanted.append(requirement.split("[")[0].split(" ")[0].rstrip("<>=!~.0123456789,"))
    for folder in ("scratchgan", "kernels"):
        (site / folder).symlink_to(ROOT / folder)
    (tmp_path / "test_exp.py").write_text(PROGRAM)
    command = [sys.executable, "-S", "-m", "pytest", "-q", "-p", "scratchgan.gradcheck.plugin", "test_exp.py"]
    environment = {"PYTHONPATH": str(site), "PATH": "", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
