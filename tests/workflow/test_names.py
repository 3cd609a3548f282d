"""Grids whose names begin alike, or seem to end in a suffix, are never taken for each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.toy_conductor import conduct
from support.toy_study import toy_study
from typer.testing import CliRunner

from ablate.cli import app
from ablate.errors import SpecError
from ablate.workflow import grid_names
from ablate.workflow.after.studies import find_studies
from ablate.workflow.folders import find_folders
from ablate.workflow.grid_names import find_grid, grid_name
from ablate.workflow.prepare.grid_source import other_source

NAMES = (
    "f",
    "f-x",
    "f-x-y",
    "f.v2",
    "F",
    "f-folder",
    "shoes",
    "shoes.v2",
    "shoes.v2.1",
    "sho*",
    "shoes-search",
)


def make_study(home: Path, name: str, *, study_id: str = "abc123abc123") -> Path:
    folder = home / "studies" / f"{name}-folder-{study_id}"
    conduct(folder, study=toy_study(grid_name=name, study_id=study_id))
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    for name in NAMES:
        make_study(folder, name)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_grid_has_its_own_studies_and_no_others(
    home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATE_HOME", str(home))
    assert [path.name for path in find_studies(find_folders(), grid_name=name)] == [
        f"{name}-folder-abc123abc123"
    ]
    for written in (
        name,
        f"{name}.yaml",
        f"{name}.yml",
        f"some/folder/{name}.yaml",
        f"{name}/",
        f"experiments/{name}",
    ):
        said = json.loads(CliRunner().invoke(app, ["status", written, "--json"]).stdout)
        assert [study["study"] for study in said] == [f"{name}-folder-abc123abc123"]


@pytest.mark.parametrize(
    "name", ["*", "f*", "shoe", "f-", "folder", "[f]", "f-folder-abc123abc123"]
)
def test_what_names_no_grid_finds_none(
    home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATE_HOME", str(home))
    for command in ("status", "sync"):
        result = CliRunner().invoke(app, [command, name])
        assert result.exit_code == 2
        assert (
            f"error: grid {name} must have been run first, got no study of it in" in result.stderr
        )


def test_the_nearest_name_is_offered(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_HOME", str(home))
    monkeypatch.chdir(home)
    with pytest.raises(SpecError) as caught:
        find_studies(find_folders(), grid_name="shoes.v3")
    assert str(caught.value) == (
        f"grid shoes.v3 must have been run first, got no study of it in {home / 'studies'}; "
        "run it with: ablate run shoes.v3; did you mean 'shoes.v2'?"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder_name", "grid"),
    [
        ("f-x-folder-abc123abc123", "f-x"),
        ("f-torchvision-CIFAR10-abc123abc123", "f"),
        ("f-rendered_flowers-abc123abc123-search-123abc", "f"),
        ("f-x-flowers102-abc123abc123-tune-123abc", "f-x"),
    ],
)
def test_a_study_that_cannot_be_read_counts_as_its_folder_says(
    tmp_path: Path, folder_name: str, grid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path))
    folder = make_study(tmp_path, "f").rename(tmp_path / "studies" / folder_name)
    for damage in ("", "{", "[]", '{"record": 3}', '{"record": {}}'):
        (folder / "study.json").write_text(damage)
        assert find_studies(find_folders(), grid_name=grid) == [folder]
        with pytest.raises(SpecError):
            find_studies(find_folders(), grid_name="f" if grid == "f-x" else "f-x")


def test_names_are_taken_as_run_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(grid_names, "packaged_grids", lambda: tmp_path / "no examples")
    (tmp_path / "experiments").mkdir()
    for file in ("shoes.yaml", "shoes.v2.yaml", "boots.yml", "odd.yaml.yml"):
        (tmp_path / "experiments" / file).write_text("")
    for written in (
        "shoes",
        "shoes.v2",
        "boots",
        "experiments/shoes.yaml",
        "shoes/",
        "odd.yaml",
        "experiments/shoes.v2.yaml/",
    ):
        assert grid_name(written) == find_grid(written).stem
    assert [
        grid_name(written)
        for written in ("gone.v1", "gone.yaml", "a/b.c/gone.v2.yml", "Shoes", "gone.YAML")
    ] == [
        *("gone.v1", "gone", "gone.v2", "Shoes", "gone.YAML"),
    ]
    for nothing in ("", "/", ".", "..", "a/.."):
        with pytest.raises(
            SpecError,
            match=r"^GRID must be a name in experiments/ \(boots, odd\.yaml, shoes, shoes\.v2\) "
            r"or the path of a \.yaml file, got ",
        ):
            grid_name(nothing)


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,12}", fullmatch=True),
    st.sampled_from(["", ".yaml", ".yml"]),
    st.sampled_from(["", "a/", "./a.b/"]),
)
def test_a_suffix_and_folders_are_all_that_is_cut_off(name: str, suffix: str, folder: str) -> None:
    if not name.endswith((".yaml", ".yml")):
        assert grid_name(f"{folder}{name}{suffix}") == name


def test_two_files_of_one_name_are_told_apart_and_a_moved_one_is_the_same(tmp_path: Path) -> None:
    here, there, study = tmp_path / "a" / "f.yaml", tmp_path / "b" / "f.yaml", tmp_path / "study"
    for file in (here, there):
        file.parent.mkdir()
        file.write_text("one")
    assert other_source(study, here) is None
    assert other_source(study, there) is None  # a copy
    here.write_text("another")
    assert other_source(study, here) == there
    assert other_source(study, here) is None
    here.rename(tmp_path / "f.yaml")
    assert other_source(study, tmp_path / "f.yaml") is None


@pytest.mark.slow
def test_reports_and_comparisons_are_of_the_grid_that_was_named(
    desk: Path, write_grid: Callable[..., Path], tracking_uri: str
) -> None:
    for name in ("boots", "boots.v2"):
        assert (
            CliRunner()
            .invoke(
                app,
                ["run", str(write_grid(name, ("freeze_depth: [all, -1]", "freeze_depth: [all]")))],
            )
            .exit_code
            == 0
        )
    before = (desk / "reports/boots/README.md").read_text()
    (desk / "reports/boots/README.md").write_text("kept")
    assert (
        CliRunner()
        .invoke(app, ["report", "boots.v2"])
        .stdout.endswith("report: reports/boots.v2/README.md\n")
    )
    assert (desk / "reports/boots/README.md").read_text() == "kept"
    assert "ablate run boots.v2" in (desk / "reports/boots.v2/README.md").read_text()
    assert "GRID=boots.v2" not in before
    compared = CliRunner().invoke(app, ["compare", "boots", "boots.v2.yaml"])
    assert compared.exit_code == 0, compared.stderr
    same = CliRunner().invoke(app, ["compare", "boots.v2", "boots.v2.yaml"])
    assert same.exit_code == 2
    for wrong in ("boots@", "boots.v2@nothing", "boots.v3"):
        result = CliRunner().invoke(app, ["compare", "boots", wrong])
        assert (result.exit_code, result.stderr[:7]) == (2, "error: ")
