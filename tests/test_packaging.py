"""What pyproject.toml says is what lies in the folders."""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text("utf-8"))


def test_every_package_is_listed() -> None:
    folders = {
        path.parent.relative_to(ROOT)
        for top in ("scratchgan", "kernels")
        for path in ROOT.glob(f"{top}/**/__init__.py")
    }
    names = {".".join(("scratchgan", *f.parts) if f.parts[0] == "kernels" else f.parts) for f in folders}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == names


def test_the_version_is_one() -> None:
    import scratchgan

    assert scratchgan.__version__ == PROJECT["project"]["version"]


def test_kernels_under_their_bare_name_say_what_to_import() -> None:
    run = subprocess.run([sys.executable, "-c", "import kernels"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert "from scratchgan import kernels" in run.stderr


def test_a_checkout_finds_its_kernels_without_being_installed() -> None:
    program = "import sys; sys.path.insert(0, '.'); import scratchgan.kernels as k; print(k.__file__)"
    run = subprocess.run([sys.executable, "-S", "-c", program], cwd=ROOT, capture_output=True, text=True)
    if "No module named 'numpy'" in run.stderr:  # -S leaves out site-packages, and the installed package with it
        numpy = Path(importlib.util.find_spec("numpy").origin).parent.parent
        program = f"import sys; sys.path.insert(0, {str(numpy)!r}); " + program
        run = subprocess.run([sys.executable, "-S", "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert Path(run.stdout.strip()) == ROOT / "kernels" / "__init__.py", run.stderr
