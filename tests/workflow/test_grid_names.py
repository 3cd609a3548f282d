"""Example grids of the package are found where the working folder has none of that name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.errors import SpecError
from ablate.workflow import grid_names
from ablate.workflow.grid_names import find_grid, words_for


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of examples as the package has it; the working folder is empty."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "flowers.yaml").write_text("")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(grid_names, "packaged_grids", lambda: folder)
    return folder


def test_an_example_is_found_by_its_name(package: Path) -> None:
    assert find_grid("flowers") == package / "flowers.yaml"


def test_a_grid_of_the_working_folder_comes_first(package: Path) -> None:
    Path("experiments").mkdir()
    Path("experiments/flowers.yml").write_text("")
    assert find_grid("flowers") == Path("experiments/flowers.yml")


def test_examples_are_among_the_known_names(package: Path) -> None:
    with pytest.raises(SpecError) as caught:
        find_grid("flower")
    assert str(caught.value) == (
        "GRID must be a name in experiments/ (flowers) or the path of a .yaml file, "
        "got 'flower'; did you mean 'flowers'?"
    )


def test_a_package_without_examples_is_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(grid_names, "packaged_grids", lambda: tmp_path / "nowhere")
    with pytest.raises(SpecError, match="there are none here"):
        find_grid("flowers")


def test_a_command_names_the_file_where_the_name_is_not_enough(package: Path) -> None:
    assert words_for("flowers", find_grid("flowers")) == "flowers"
    assert words_for("flowers", None) == "flowers"
    own = Path("elsewhere/flowers.yaml")
    own.parent.mkdir()
    own.write_text("")
    assert words_for("flowers", own) == "flowers.yaml"
    assert words_for("mine", own.with_name("mine.yaml")) == "mine.yaml"
