"""Reports as commands write them.

Whose folder, what is uploaded, and what is said where nothing completed or nothing can be written.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import mlflow
import numpy as np
import pytest
from typer.testing import CliRunner

from ablate.cli import app
from ablate.errors import ReportError, StoreError
from ablate.reporting.pages.folder import MARK
from ablate.tracking.mlflow_store import MlflowStore
from ablate.workflow.after.pictures import made_or_kept
from ablate.workflow.after.report_folder import results_kept
from ablate.workflow.after.reports import arms_overview
from ablate.workflow.folders import find_folders

WriteGrid = Callable[..., Path]
OWN = {
    "docs/README.md": "my own words",
    "docs/cards/mine.md": "a card I wrote",
    "docs/figures/logo.png": "logo",
    "docs/private.txt": "private",
    ".env": "TOKEN=1",
}
ONE_ARM = ("  freeze_depth: [all, -1]\n  head_lr: [1.0e-3, 1.0e-2]", "  freeze_depth: [all, -1]")


def ask(*words: str, code: int = 0) -> str:
    """Run a command; return all that it said, but for what it imported on its way."""
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output + repr(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    # Whether a library has to be imported depends on the tests that ran before.
    lines = result.output.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("loading "))


def contents(folder: Path, *names: str) -> dict[str, str]:
    return {name: (folder / name).read_text() for name in names}


def uploaded(grid: str) -> set[str]:
    """Paths of the files that the study's run holds below report/."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(grid)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "tags.`ablate.kind` = 'study'")
    below = [
        client.list_artifacts(run.info.run_id, path)
        for path in ("report", "report/cards", "report/figures")
    ]
    return {
        one.path.removeprefix("report/") for listed in below for one in listed if not one.is_dir
    }


def test_a_folder_of_ones_own_is_refused_before_training_and_stays(
    desk: Path, write_grid: WriteGrid
) -> None:
    for name, content in OWN.items():
        (desk / name).parent.mkdir(parents=True, exist_ok=True)
        (desk / name).write_text(content)
    grid = write_grid("own")
    for folder, held in (
        (".", ".env"),
        ("docs", "README.md"),
        (str(desk / "docs" / "figures"), "logo.png"),
        ("/", None),
    ):
        said = ask("run", str(grid), "--report-dir", folder, code=2)
        if held is not None:
            assert said == (
                "grid own: Does it all hang together?\n"
                "error: the report folder must be empty or hold an earlier report of ablate, "
                f"{folder} holds {held} and no report; name another report folder\n"
            )
    for folder, what in (("home", "ABLATE_HOME"), ("data", "the data folder")):
        assert ask("run", str(grid), "--report-dir", folder, code=2) == (
            f"grid own: Does it all hang together?\nerror: the report folder must not be {what} "
            f"itself, {folder} is; name another report folder\n"
        )
    for folder, what in (
        ("data/new", "the data folder"),
        ("home/studies/x", "studies/ of ABLATE_HOME"),
    ):
        said = ask("run", str(grid), "--report-dir", folder, code=2)
        assert said.startswith(
            "grid own: Does it all hang together?\nerror: the report folder must lie outside "
            f"{what}, {folder} lies in "
        )
    assert contents(desk, *OWN) == OWN
    assert not (desk / "home").exists()


@pytest.fixture
def ran(desk: Path, write_grid: WriteGrid) -> Path:
    """The grid file of a study that was run, of one arm on either side."""
    grid = write_grid("reported", ONE_ARM)
    ask("run", str(grid), "--workers", "1", "--no-images")
    return grid


def full(*_: object, **__: object) -> None:
    """What a function that writes does on a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device", "/disk/x")


@pytest.mark.slow
def test_a_study_that_was_run(
    ran: Path, desk: Path, write_grid: WriteGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One training, looked at from all sides: it takes longer than all the rest."""
    _only_what_was_written_is_uploaded_or_removed(desk, write_grid)
    _no_folder_of_the_machine_is_told(desk)
    _a_full_disk_after_the_trials(ran, monkeypatch)


def _only_what_was_written_is_uploaded_or_removed(desk: Path, write_grid: WriteGrid) -> None:
    report = desk / "reports" / "reported"
    mine = {"notes.md": "mine", "cards/mine.md": "mine", "figures/logo.png": "mine"}
    for name, content in mine.items():
        (report / name).write_text(content)
    assert ask("report", "reported", "--no-images") == "report: reports/reported/README.md\n"
    assert contents(report, *mine) == mine
    here = {path.relative_to(report).as_posix() for path in report.rglob("*") if path.is_file()}
    assert (
        here - set(mine)
        == uploaded("reported")
        == {*json.loads((report / MARK).read_text())["files"], MARK}
    )
    assert ask("run", str(write_grid("other")), "--report-dir", str(report), code=2) == (
        "grid other: Does it all hang together?\n"
        f"error: the report folder must hold no report of another grid, {report} holds that of "
        "'reported', not of 'other'; name another report folder\n"
    )
    (desk / "docs").mkdir()
    (desk / "docs" / "README.md").write_text("mine")
    assert ask("report", "reported", "--report-dir", "docs", code=2) == (
        "error: the report folder must be empty or hold an earlier report of ablate, docs holds "
        "README.md and no report; name another report folder\n"
    )
    assert contents(desk, "docs/README.md") == {"docs/README.md": "mine"}


def _no_folder_of_the_machine_is_told(desk: Path) -> None:
    private = [str(desk), f"{Path.home()}/"]
    pages = [path for path in (desk / "reports" / "reported").rglob("*") if path.is_file()]
    assert len(pages) > 20
    found = [
        (path.name, folder)
        for path in pages
        for folder in private
        if folder.encode() in path.read_bytes()
    ]
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("reported")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 3
    told = [
        (name, value)
        for run in runs
        for name, value in {**run.data.params, **run.data.tags}.items()
    ]
    assert (
        found
        + [(name, value) for name, value in told if any(folder in value for folder in private)]
        == []
    )


def _a_full_disk_after_the_trials(grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {
        "page": "ablate.reporting.pages.write.write_file",
        "reading": "ablate.reporting.pages.write.compute_results",
        "upload": "shutil.copyfile",
    }
    errors = {
        "page": "the report folder must be writable, reports/reported/README.md is not: "
        "No space left on device; free it, or name another report folder",
        "reading": "a report needs room for what it reads and draws, /disk/x has none: "
        "No space left on device",
    }
    for place, function in places.items():
        with monkeypatch.context() as patched:
            patched.setattr(function, full)
            said = ask("run", str(grid), "--no-images", code=1 if place in errors else 0)
        assert "trials: 0 completed now, 2 before, 0 failed" in said, place
        if place in errors:
            again = f"ablate report {grid} --report-dir reports/reported --no-images"
            assert said.endswith(
                f"error: all trials that completed are kept, but {errors[place]}; once that is "
                f"mended: {again}\n"
            ), place
    assert ask("report", str(grid), "--no-images") == "report: reports/reported/README.md\n"


@pytest.mark.slow
def test_nothing_completed(desk: Path, write_grid: WriteGrid) -> None:
    grid = write_grid(
        "diverging", ("batch_size: 8", "batch_size: 8, optimizer: sgd, head_lr: 1.0e+30"), ONE_ARM
    )
    said = ask("run", str(grid), "--only-failed")
    assert (
        "nothing to do: no trial failed last time; without --only-failed the 2 left are run"
        in said.replace("\n", " ")
    )
    readme = desk / "reports" / "diverging" / "README.md"
    assert not readme.exists()
    said = ask("run", str(grid), "--workers", "1", code=1)
    assert "trials: 0 completed now, 0 before, 2 failed" in said
    assert "failed: freeze_depth=all, seed 0: " in said.replace("\n", " ")
    assert "Arms, mean ± SD over seeds" in said
    assert "report: reports/diverging/README.md" in said
    assert "No trial completed, so there is no best arm." in readme.read_text()
    study = MlflowStore(find_folders().tracking_uri, "diverging").read_study("diverging")
    first = {
        "arm": "freeze_depth=all (baseline)",
        "val/macro_f1": "-",
        "test/macro_f1": "-",
        "seeds": 0,
    }
    assert arms_overview(study).to_dict("records")[0] == first


def test_thumbnails_that_cannot_be_kept_are_shown_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does a damaged file of kept ones cost the report."""
    shown = {("test", "a"): np.zeros((2, 2, 3), dtype=np.uint8)}
    store = MlflowStore("sqlite:///nowhere.db", "g")
    monkeypatch.setattr(store, "log_thumbnails", full)
    assert made_or_kept(store, "p", lambda _: shown)([("test", "a")]) == shown
    for error in (StoreError("gone"), ValueError("no parquet file")):
        monkeypatch.setattr(store, "read_thumbnails", Mock(side_effect=error))
        assert made_or_kept(store, "p", None)([("test", "a")]) == {}
    full_disk = "[Errno 28] No space left on device: '/disk/x'"
    assert caplog.messages == [
        f"the study's run p must take its small images, it did not: {full_disk}; they are shown, "
        "and not kept for later reports",
        "the small images of the study's run p must be readable, they are not: gone; the report "
        "has none",
        "the small images of the study's run p must be readable, they are not: no parquet file; "
        "the report has none",
    ]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left", "/d/x"), "/d/x: No space left"),
        (OSError(errno.EIO, "bad"), "the disk: bad"),
        (StoreError("the store is away"), "the store is away"),
    ],
)
def test_what_fails_after_the_trials_names_the_command_that_does_it_again(
    error: Exception, told: str
) -> None:
    with pytest.raises(ReportError) as caught, results_kept(again="ablate report x"):
        raise error
    assert (
        str(caught.value)
        == f"all trials that completed are kept, but {told}; once that is mended: ablate report x"
    )
