"""The architecture as a test.

Imports point only down the floors, and heavy libraries stay where they belong.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {
    "ablate.__main__": 10,
    "ablate.cli": 9,
    "ablate.api": 8,
    "ablate.console": 7,
    "ablate.exits": 6,
    "ablate.workflow": 6,
    "ablate.scheduling": 5,
    "ablate.reporting": 5,
    "ablate.testing": 3,
    "ablate.training": 3,
    "ablate.data": 2,
    "ablate.model": 2,
    "ablate.advice": 1,
    "ablate.metrics": 1,
    "ablate.tracking": 1,
    "ablate.grid": 0,
    "ablate.study": 0,
    "ablate.recipe": 0,
    "ablate._version": 0,
    "ablate.checksum": 0,
    "ablate.errors": 0,
    "ablate.files": 0,
    "ablate.in_order": 0,
    "ablate.leaving": 0,
    "ablate.quoting": 0,
    "ablate.schema_version": 0,
    "ablate.streams": 0,
    "ablate.targets": 0,
    "ablate.terminal": 0,
}
_BARE = {"ablate.errors", "ablate.in_order", "ablate.streams"}
GROUND: dict[str, set[str]] = {
    "ablate.recipe": _BARE,
    "ablate.schema_version": {"ablate.errors"},
    "ablate.study": {*_BARE, "ablate.recipe"},
    "ablate.grid": {*_BARE, "ablate.recipe", "ablate.study"},
    "ablate.targets": {*_BARE, "ablate.study"},
}
"""Floor 0 stands on itself.

Recipes use errors, orders and streams, studies use recipes, grids use both.
"""
MLFLOW_MODULES = (
    "attempts",
    "experiment",
    "files",
    "model",
    "publication",
    "reading",
    "runs",
    "store",
    "tables",
)
MODULES = sorted((ROOT / "ablate").rglob("*.py"))


WITHOUT_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "timm", "peft"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
"""


def _package(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {_module(path) for path in MODULES}


def _imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in NAMES else node.module or "" for name in inner}
    return found


def test_the_glob_finds_the_package() -> None:
    assert len(MODULES) > 40


@pytest.mark.parametrize("path", MODULES, ids=_module)
def test_an_import_points_only_down(path: Path) -> None:
    me = _package(_module(path))
    if me == "ablate":
        return
    for imported in _imports(path):
        other = _package(imported)
        if not other.startswith("ablate.") or other == me:
            continue
        assert FLOORS[other] < FLOORS[me] or other in GROUND.get(me, ()), (
            f"{_module(path)} (floor {FLOORS[me]}) imports {imported} (floor {FLOORS[other]})"
        )


@pytest.mark.parametrize("path", MODULES, ids=_module)
def test_a_module_is_not_longer_than_about_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 420


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "packages"),
    [
        (
            "mlflow",
            {
                *(f"ablate.tracking.mlflow_{name}" for name in MLFLOW_MODULES),
                "ablate.tracking.ui_server",
            },
        ),
        ("optuna", {"ablate.scheduling"}),
        ("torch", {"ablate.training", "ablate.model", "ablate.data", "ablate.workflow"}),
        ("seaborn", {"ablate.reporting"}),
        ("rich", {"ablate.cli", "ablate.console"}),
    ],
)
def test_a_library_is_imported_only_where_it_belongs(library: str, packages: set[str]) -> None:
    users = {
        _module(path)
        for path in MODULES
        if library in {name.split(".")[0] for name in _imports(path)}
    }
    assert users, f"nobody imports {library}: is the rule out of date?"
    strays = {
        user
        for user in users
        if not any(user == package or user.startswith(package + ".") for package in packages)
    }
    assert not strays


def test_there_is_no_circle() -> None:
    graph = {
        _module(path): {name for name in _imports(path) if name.startswith("ablate")}
        for path in MODULES
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module in done or module not in graph:
            return
        for other in graph[module]:
            visit(other, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "ablate.reporting.pages.write",
        "ablate.grid.expand",
        "ablate.tracking.mlflow_store",
        "ablate.workflow.after.reports",
    ],
)
def test_reporting_works_without_torch(module: str) -> None:
    subprocess.run(
        [sys.executable, "-c", f"{WITHOUT_TORCH}\nimport {module}"], check=True, cwd=ROOT
    )


def test_help_imports_nothing_heavy() -> None:
    heavy = ["torch", "timm", "mlflow", "optuna", "pandas", "seaborn", "numpy", "peft", "pydantic"]
    code = (
        f"import sys; import ablate.cli; print([name for name in {heavy} if name in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
        ).stdout.strip()
        == "[]"
    )
