"""What a wheel carries: the package under the distribution's own name, grids and their schema."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GRIDS = sorted(path.name for path in (ROOT / "experiments").glob("*.yaml"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # a build leaves files beside its sources, which would go into the next wheel: it gets a copy
    sources = folder / "sources"
    sources.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in ("ablate", "experiments"):
        shutil.copytree(ROOT / name, sources / name, symlinks=True, ignore=unwanted)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["--quiet", "--disable-pip-version-check", "--wheel-dir", str(folder), str(sources)]
    subprocess.run(command, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_distribution_has_a_name_of_its_own(wheel: Path) -> None:
    """`ablate` is a stranger's program on the package index."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == "ablate-vision"
    assert wheel.name.startswith("ablate_vision-")


def test_a_wheel_carries_every_grid_and_the_schema(wheel: Path) -> None:
    assert len(GRIDS) >= 11
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for name in (*GRIDS, "grid.schema.json"):
            packed = archive.read(f"ablate/experiments/{name}")
            assert packed == (ROOT / "experiments" / name).read_bytes()
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "ablate").rglob("*.py")}
    assert len(modules) > 200
    assert modules == {name for name in names if name.endswith(".py")}


@pytest.mark.slow
def test_an_installed_wheel_plans_an_example_in_an_empty_folder(
    wheel: Path, tmp_path: Path
) -> None:
    """Without git, make or the repository: the grid comes from the wheel."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    empty = tmp_path / "empty"
    empty.mkdir()
    # the environment's own ablate is an editable install: PYTHONPATH comes before it
    environment = {**os.environ, "PYTHONPATH": str(site), "ABLATE_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "ablate", "plan", "smoke"],
        cwd=empty,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "3 arms" in done.stdout
