"""Imports only point down."""

import ast
import re
from pathlib import Path

import pytest

from scratchgan.train import system_names

ROOT = Path(__file__).parent.parent

# A part may import those of a lower number, and itself. What stands beside others shares their number.
FLOORS = {
    "kernels": 0,
    "device": 0,
    "place": 0,
    "recording": 0,
    "cuda_graph": 1,
    "guard": 1,
    "tensor": 1,
    "autograd": 2,
    "ops": 3,
    "nn": 4,
    "optim": 5,
    "data": 4,
    "models": 6,
    "train": 7,
    "metrics": 8,
    "inspect": 8,
    "quiz": 8,
    "systems": 9,
    "cli": 10,
    "__main__": 11,
}
ALONE = {"gradcheck", "kernels"}  # these need nothing of the rest

# Imports inside functions that lead up, each for a reason. The checker imports what it is asked to check, scratchgan as
# torch and JAX, and has a rule of its own below.
UPWARD = {
    ("scratchgan/tensor.py", "autograd"),  # Tensor.backward is a shorthand for what is defined on Tensors
}


def part_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    if relative.parts[0] == "kernels":
        return "kernels"
    return relative.parts[1].removesuffix(".py")


def imported_parts(path: Path) -> list[tuple[int, str, bool]]:
    """The parts of scratchgan that a module imports, with their lines and whether that is inside a function; but
    not those for type checkers."""
    relative = path.relative_to(ROOT).with_suffix("")
    module = ("scratchgan", *relative.parts) if relative.parts[0] == "kernels" else relative.parts
    package = module[:-1]
    found: list[tuple[int, str, bool]] = []

    def visit(parent: ast.AST, inside: bool = False) -> None:
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.Import):
                names = [alias.name.split(".") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = list(package[: len(package) - node.level + 1]) if node.level else []
                base += node.module.split(".") if node.module else []
                names = [[*base, alias.name] for alias in node.names]
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                for other in node.orelse:
                    visit(other, inside)
                continue
            else:
                visit(node, inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
                continue
            found.extend((node.lineno, name[1], inside) for name in names if name[0] == "scratchgan" and len(name) > 1)

    visit(ast.parse(path.read_text("utf-8")))
    return found


SOURCES = [
    path
    for path in sorted([*ROOT.glob("kernels/**/*.py"), *ROOT.glob("scratchgan/**/*.py")])
    if path != ROOT / "scratchgan" / "__init__.py"
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_point_down(path: Path) -> None:
    part = part_of(path)
    for line, other, inside in imported_parts(path):
        file = path.relative_to(ROOT).as_posix()
        where = f"{file}:{line} imports {other}"
        if other == part or other.startswith("_"):
            continue
        if inside and (part == "gradcheck" or (file, other) in UPWARD):
            continue
        assert part not in ALONE, f"{where}, but {part} needs nothing of the rest"
        assert part in FLOORS, f"{part} is not in FLOORS: say where it stands"
        if other in FLOORS:  # else it is a public name of scratchgan/__init__.py
            allowed = FLOORS[other] < FLOORS[part]
            assert allowed, f"{where}, which is not below it"


def test_every_module_is_found() -> None:
    assert len(SOURCES) > 30
    assert {"kernels", "ops", "autograd"} <= {part_of(path) for path in SOURCES}


def test_imports_inside_functions_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "scratchgan" / "train").mkdir(parents=True)
    path = tmp_path / "scratchgan" / "train" / "loop.py"
    path.write_text(
        "from typing import TYPE_CHECKING\nfrom ..data import Dataset\nif TYPE_CHECKING:\n    from ..cli import main\n"
        "def f():\n    try:\n        from ..systems.gan import Gan\n    finally:\n        import scratchgan.metrics\n"
    )
    assert imported_parts(path) == [(2, "data", False), (7, "systems", True), (9, "metrics", True)]
    with pytest.raises(AssertionError, match=r"train/loop\.py:7 imports systems, which is not below it"):
        test_imports_only_point_down(path)


# Training knows no system


def code_of(path: Path) -> list[str]:
    """The lines of a module without docstrings and comments: names are as they are, text is in quotes."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            documented = [n for n in body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
            node.body = documented or [ast.Pass()]
    return ast.unparse(tree).splitlines()


def files_of(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted(ROOT.glob(f"scratchgan/{folder}/*.py"))]


@pytest.mark.parametrize("path", files_of("train"), ids=lambda path: path.name)
def test_no_system_is_named_in_the_training(path: Path) -> None:
    words = "|".join({*system_names(), "gan", "points", "stylegan", "biggan", "cyclegan", "pix2pix", "progan"})
    found = [line for line in code_of(path) if re.search(rf"(?<![a-z_])({words})(?![a-z_])", line, re.IGNORECASE)]
    assert not found


# What asks which kind of data there is: a name of a kind, or how many axes a shape has.
KINDS = re.compile(
    r"POINT_SETS|NAMED_SETS|PointDataset|point_dataset|draws_images|[\'\"](points|toyfaces|mlp)[\'\"] *(==|in\b)|"
    r"(==|!=|in) *[\'\"](points|images|toyfaces|mlp)[\'\"]|len\([\w.]*shape\) *[=!<>]=? *\d|\.ndim *[=!<>]=? *[24]"
)
# A grid is of images, whatever made them, and an introduction leaves out the shape where it is one number.
ASKS = {"pictures.py": "images.ndim != 4", "train.py": "len(dataset.shape) > 1"}
ASKED = [path for path in files_of("train", "cli") if path.name != "data.py"]  # `scratchgan data` shows each kind


@pytest.mark.parametrize("path", ASKED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_kind_of_data_is_asked_for_in_the_training_and_the_commands(path: Path) -> None:
    asked = [line for line in code_of(path) if KINDS.search(line) and ASKS.get(path.name, " ") not in line]
    assert not asked


@pytest.mark.parametrize(
    "line",
    ["if run.data in POINT_SETS:", "if len(dataset.shape) == 1:", "if system.kind == 'points':", "if x.ndim == 4:"],
)
def test_such_a_question_is_noticed(line: str) -> None:
    assert KINDS.search(line)


def test_the_registry_alone_imports_by_name() -> None:
    """It reaches the systems, which stand above it, by their name as text: the one way up."""
    importing = {path.name for path in files_of("train") if "import_module" in path.read_text("utf-8")}
    assert importing == {"registry.py"}
