"""Imports only point down."""

import ast
from pathlib import Path

import pytest

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
    "inspect": 7,
    "metrics": 8,
    "quiz": 8,
    "cli": 9,
    "__main__": 10,
}
ALONE = {"gradcheck", "kernels"}  # these need nothing of the rest


def part_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    if relative.parts[0] == "kernels":
        return "kernels"
    return relative.parts[1].removesuffix(".py")


def imported_parts(path: Path) -> list[tuple[int, str]]:
    """The parts of scratchgan that a module imports when it is loaded (not inside functions or for type checkers)."""
    relative = path.relative_to(ROOT).with_suffix("")
    module = ("scratchgan", *relative.parts) if relative.parts[0] == "kernels" else relative.parts
    package = module[:-1]
    found: list[tuple[int, str]] = []

    def visit(body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.Import):
                names = [alias.name.split(".") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = list(package[: len(package) - node.level + 1]) if node.level else []
                base += node.module.split(".") if node.module else []
                names = [[*base, alias.name] for alias in node.names]
            elif isinstance(node, (ast.If, ast.Try)):
                if "TYPE_CHECKING" not in ast.unparse(getattr(node, "test", node)):
                    visit(node.body)
                continue
            else:
                continue
            found.extend((node.lineno, name[1]) for name in names if name[0] == "scratchgan" and len(name) > 1)

    visit(ast.parse(path.read_text("utf-8")).body)
    return found


SOURCES = [
    path
    for path in sorted([*ROOT.glob("kernels/**/*.py"), *ROOT.glob("scratchgan/**/*.py")])
    if path != ROOT / "scratchgan" / "__init__.py"
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_point_down(path: Path) -> None:
    part = part_of(path)
    for line, other in imported_parts(path):
        where = f"{path.relative_to(ROOT)}:{line} imports {other}"
        if other == part or other.startswith("_"):
            continue
        assert part not in ALONE, f"{where}, but {part} needs nothing of the rest"
        assert part in FLOORS, f"{part} is not in FLOORS: say where it stands"
        if other in FLOORS:  # else it is a public name of scratchgan/__init__.py
            allowed = FLOORS[other] < FLOORS[part]
            assert allowed, f"{where}, which is not below it"


def test_every_module_is_found() -> None:
    assert len(SOURCES) > 30
    assert {"kernels", "ops", "autograd"} <= {part_of(path) for path in SOURCES}
