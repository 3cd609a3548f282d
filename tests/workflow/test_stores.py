"""The tracking store as commands meet it.

Not there yet, broken, away in the middle, without its files.
"""

from __future__ import annotations

import io
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ablate.cli import app
from ablate.console.after_run import show_unpublished
from ablate.errors import StoreError
from ablate.scheduling.summary import StudySummary
from ablate.tracking.events import Event, TrialEnded
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.publisher import Unpublished
from ablate.workflow.folders import check_utf8, find_folders
from ablate.workflow.stores import open_store

WriteGrid = Callable[..., Path]
TWO = (("[all, -1]", "[all]"),)
"""Two trials."""


def ablate(*words: str, code: int = 0) -> str:
    """What a command prints in words, its lines joined: the console folds them."""
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code, result.output + str(result.exception)
    return re.sub(r"\s+", " ", result.output)


@pytest.fixture
def at_home(desk: Path, tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with its default store, which is copied: making one takes seconds."""
    MlflowStore(tracking_uri, "any").check_reachable()
    home = desk / "home"
    home.mkdir()
    with (
        sqlite3.connect(tracking_uri.removeprefix("sqlite:///")) as source,
        sqlite3.connect(home / "mlflow.db") as copy,
    ):
        source.backup(copy)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    return home


@pytest.mark.slow
def test_a_broken_store_is_moved_aside_and_written_again_from_every_journal(
    at_home: Path, write_grid: WriteGrid, caplog: pytest.LogCaptureFixture
) -> None:
    ablate("run", str(write_grid("two", *TWO)))
    path = at_home / "mlflow.db"
    former = path.read_bytes()
    path.write_bytes(former[: len(former) // 3])
    assert "report: reports/two/README.md" in ablate("report", "two")
    (aside,) = at_home.glob("mlflow.db.broken-*")
    assert aside.read_bytes() == former[: len(former) // 3]
    studies = ", ".join(folder.name for folder in sorted((at_home / "studies").iterdir()))
    said = (
        f"the tracking store did not open and was moved to {aside} (the tracking store's file "
        "must be a SQLite database that can be written, "
        f"'sqlite:///{path}' is not: database disk image is malformed; set MLFLOW_TRACKING_URI "
        "to another place.); a new one is in its place, written again "
        f"from the journals: {studies}; reports made before cite the runs of the old file, "
        "ablate report GRID writes them again"
    )
    assert [record.getMessage() for record in caplog.records] == [said]
    assert "every number is what the store gives" in ablate("verify", "reports/two")


def test_a_broken_store_that_somebody_named_stays_where_it_is(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = desk / "mine.db"
    path.write_bytes(b"no database" * 1000)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    said = (
        "error: the tracking store's file must be a SQLite database that can be written, "
        f"'sqlite:///{path}' is not: file is not a database; "
        "set MLFLOW_TRACKING_URI to another place. "
    )
    assert ablate("report", "any", code=2) == said
    assert path.read_bytes() == b"no database" * 1000


@pytest.mark.slow
def test_mlflow_refusing_to_write_keeps_what_was_trained(
    at_home: Path, write_grid: WriteGrid
) -> None:
    with sqlite3.connect(at_home / "mlflow.db") as connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'not today'); "
            "END"
        )
    grid = write_grid("refused", *TWO)
    said = ablate("run", str(grid), code=1)
    assert re.search(
        r"trials: 2 completed now, 0 before, 0 failed "
        r"note: 2 trials are kept in the study's journal and are not whole in MLflow yet "
        r"\(MlflowException: .*\), .* "
        r"error: all trials that completed are kept, but the experiment 'refused' of .*; once "
        r"that is mended: "
        rf"ablate sync {grid} && ablate report {grid} --report-dir reports/refused $",
        said,
    )
    with sqlite3.connect(at_home / "mlflow.db") as connection:
        connection.execute("DROP TRIGGER refuse")
    assert "all is published" in ablate("sync", str(grid))
    assert "report: reports/refused/README.md" in ablate("report", str(grid))


@pytest.mark.slow
def test_mlflow_away_in_the_middle_keeps_what_was_trained(
    desk: Path, write_grid: WriteGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = write_grid("away", *TWO)
    monkeypatch.setattr("ablate.scheduling.conductor.PATIENCE_S", 0.3)
    publish, check = MlflowStore.publish, MlflowStore.check_reachable
    ended: set[str] = set()

    def flaky(store: MlflowStore, event: Event, **where: Any) -> None:
        if isinstance(event, TrialEnded):
            ended.add(event.trial_id)
        if len(ended) > 1:
            raise ConnectionError("connection refused")
        publish(store, event, **where)

    def unreachable(store: MlflowStore) -> None:
        if len(ended) > 1:
            raise StoreError("the server went away")
        check(store)

    with monkeypatch.context() as away:
        away.setattr(MlflowStore, "publish", flaky)
        away.setattr(MlflowStore, "check_reachable", unreachable)
        said = ablate("run", str(grid), "--workers", "1", code=1)
    assert (
        "trials: 2 completed now, 0 before, 0 failed note: 1 trials are kept in the study's "
        "journal "
        "and are not whole in MLflow yet (ConnectionError: connection refused), so the report "
        "may lack them; "
        f"publish them with: ablate sync {grid} && ablate report {grid} "
        "error: all trials that completed are kept, but the server went away; once that is mended: "
        f"ablate sync {grid} && ablate report {grid} --report-dir reports/away "
    ) in said
    assert "all is published" in ablate("sync", str(grid))


def test_a_report_that_may_lack_trials_says_so() -> None:
    """MLflow came back for the report, or took all but a few."""
    console = Console(file=io.StringIO(), width=1000)
    summary = StudySummary(
        2,
        0,
        0,
        0,
        0,
        0,
        (),
        Unpublished(n_attempts=1, why="ConnectionError: connection refused"),
        "",
    )
    show_unpublished(console, summary, grid="shoes")
    assert console.file.getvalue() == (  # type: ignore[attr-defined]
        "note: 1 trials are kept in the study's journal and are not whole in MLflow yet "
        "(ConnectionError: connection refused), so the report may lack them; "
        "publish them with: ablate sync shoes && ablate report shoes\n"
    )


@pytest.mark.slow
def test_deleted_files_and_lost_journals_are_made_good_by_the_command_that_needs_them(
    at_home: Path, write_grid: WriteGrid
) -> None:
    grid = write_grid("lost", *TWO)
    ablate("run", str(grid))
    for command in (["report", str(grid)], ["sync", str(grid)], ["run", str(grid)]):
        shutil.rmtree(at_home / "artifacts")
        ablate(*command)
        assert len(list((at_home / "artifacts").rglob("predictions.parquet"))) == 2
    assert len(list((at_home / "artifacts").rglob("MLmodel"))) == 1, (
        "the champion is logged again by the command that has its network"
    )
    before = (Path("reports/lost") / "README.md").read_bytes()
    shutil.rmtree(at_home / "studies")
    said = ablate("run", str(grid))
    assert (
        "2 trials were found in MLflow that this home did not know; they are taken over and not "
        "trained again" in said
    )
    assert "trials: 0 completed now, 2 before, 0 failed" in said
    assert (Path("reports/lost") / "README.md").read_bytes() == before
    shutil.rmtree(at_home / "artifacts")
    ablate("report", str(grid))
    assert (Path("reports/lost") / "README.md").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a #1 b", "what?", "100%41", "wörk@home;x=1"])
def test_a_home_may_have_any_name(
    name: str, desk: Path, tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATE_HOME", str(desk / name))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (desk / name).mkdir()
    MlflowStore(tracking_uri, "any").check_reachable()
    shutil.copy(tracking_uri.removeprefix("sqlite:///"), desk / name / "mlflow.db")
    assert find_folders().has_default_store
    open_store(find_folders(), "any")
    assert sorted(path.name for path in (desk / name).iterdir()) == ["mlflow.db"]
    assert sorted(path.name for path in desk.iterdir()) == sorted(["data", name])


def test_a_home_that_is_not_utf8_is_refused() -> None:
    said = (
        r"the path of ABLATE_HOME must be UTF-8, b'/tmp/caf\xe9' is not: MLflow cannot name "
        r"files there; "
        "rename the folder, or set ABLATE_HOME to another place."
    )
    with pytest.raises(StoreError, match=f"^{re.escape(said)}$"):
        check_utf8(Path("/tmp/caf\udce9"))
