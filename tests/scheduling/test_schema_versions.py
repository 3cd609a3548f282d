"""Studies that earlier versions of ablate left, and one of a later version.

`study_v1` and `study_v2` were written by the versions whose schema they are of: three trials each,
one of them with a failed attempt before.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.toy_conductor import ALL_TOLD, conduct, counts, journal, mlflow_runs
from support.toy_study import new_store_uri, toy_study

from ablate.checksum import sealed
from ablate.errors import StoreError
from ablate.reporting.pages.write import write_report
from ablate.scheduling.adopt import adopt
from ablate.scheduling.catch_up import sync_study
from ablate.scheduling.study_folder import JOURNAL, STUDY, STUDY_COPY, StudyFolder
from ablate.scheduling.study_status import study_status
from ablate.schema_version import SCHEMA_VERSION
from ablate.tracking.journal import attempts
from ablate.tracking.mlflow_store import MlflowStore

STUDIES = {1: Path(__file__).parent / "study_v1", 2: Path(__file__).parent / "study_v2"}
EARLIER = pytest.mark.parametrize("version", STUDIES)
NEWER = SCHEMA_VERSION + 1


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its name there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return new_store_uri(tmp_path / "store")


def test_there_is_a_study_of_every_version():
    assert list(STUDIES) == list(range(1, SCHEMA_VERSION + 1))
    for version, folder in STUDIES.items():
        lines = (folder / JOURNAL).read_bytes().splitlines()
        assert len(lines) == 15
        assert {json.loads(line).get("v", 1) for line in lines} == {version}


@pytest.mark.slow
@EARLIER
def test_an_earlier_study_is_opened_resumed_and_reported_and_no_trial_is_trained(
    version: int, tmp_path: Path, uri: str
):
    record, trials = study = toy_study(seeds=(0,))
    folder = tmp_path / "study"
    shutil.copytree(STUDIES[version], folder)
    before = content(folder)
    assert study_status(folder).states == {"COMPLETE": 3}

    store = MlflowStore(uri, "toy")
    summary, heard = conduct(folder, store=store, study=study)
    assert counts(summary) == (0, 3, 0)
    assert (heard, summary.unpublished, summary.damage) == ([], ALL_TOLD, "")
    assert (folder / JOURNAL).read_bytes() == before[JOURNAL]
    assert sorted(mlflow_runs(uri).values()) == ["FAILED", "FINISHED", "FINISHED", "FINISHED"]

    published = store.read_study(record.grid_name)
    paths = write_report(published, predictions=store.read_predictions, out=tmp_path / "report")
    scores = {
        attempt.started.trial_id: attempt.ended.outcome.metrics["test/macro_f1"]
        for attempt in attempts(journal(folder).read()).values()
        if attempt.ended is not None and attempt.ended.outcome is not None
    }
    assert scores.keys() == {trial.trial_id for trial in trials}
    (table,) = (path for path in paths.tables if path.name == "trials.csv")
    for trial_id, score in scores.items():
        (row,) = (line for line in table.read_text().splitlines() if trial_id in line)
        assert row.endswith(f",{score:.6g}")


@EARLIER
def test_a_plan_that_is_written_again_says_its_version(version: int, tmp_path: Path):
    folder = StudyFolder(tmp_path)
    earlier = StudyFolder(STUDIES[version]).read_plan()
    folder.write_plan(earlier)
    assert json.loads((tmp_path / STUDY).read_bytes())["schema_version"] == SCHEMA_VERSION
    assert folder.read_plan() == earlier


def _newer_line(folder: Path) -> str:
    values = {"event": "trial_paused", "trial_id": "a", "attempt": 1, "n": 0, "v": NEWER}
    with (folder / JOURNAL).open("a") as file:
        file.write(sealed(json.dumps(values, separators=(",", ":"))) + "\n")
    return f"line 16 of the journal {folder / JOURNAL}"


def _newer_plan(name: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        values = {"schema_version": NEWER, "rooms": ["of", "another", "form"]}
        (folder / name).write_text(sealed(json.dumps(values)))
        return str(folder / name)

    return make


def _publish(folder: Path, uri: str) -> object:
    return sync_study(folder, MlflowStore(uri, "toy"))


def _resume(folder: Path, uri: str) -> object:
    return conduct(folder, store=MlflowStore(uri, "toy"), study=toy_study(seeds=(0,)))


def _adopt(folder: Path, uri: str) -> object:
    record, _ = toy_study(seeds=(0,))
    return adopt(folder, MlflowStore(uri, "toy"), record, trial_ids=None)


@pytest.mark.parametrize("act", [_resume, _publish, _adopt])
@pytest.mark.parametrize(
    "make_newer",
    [_newer_line, _newer_plan(STUDY), _newer_plan(STUDY_COPY)],
    ids=["line", STUDY, STUDY_COPY],
)
def test_a_study_of_a_later_version_is_refused_in_one_line_before_anything_is_written(
    make_newer: Callable[[Path], str], act: Callable[[Path, str], object], tmp_path: Path, uri: str
):
    folder = tmp_path / "study"
    shutil.copytree(STUDIES[2], folder)
    place = make_newer(folder)
    before = content(folder)
    message = (
        f"{place} must have schema version {SCHEMA_VERSION} or older, it has version {NEWER}: "
        "a newer ablate wrote it; update ablate to open this study."
    )
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        act(folder, uri)
    assert content(folder) == before


@pytest.mark.parametrize("make_newer", [_newer_line, _newer_plan(STUDY)], ids=["line", STUDY])
def test_the_state_of_a_study_of_a_later_version_is_not_guessed(
    make_newer: Callable[[Path], str], tmp_path: Path
):
    folder = tmp_path / "study"
    shutil.copytree(STUDIES[2], folder)
    place = make_newer(folder)
    with pytest.raises(
        StoreError, match=f"^{re.escape(place)} must have schema version 2 or older"
    ):
        study_status(folder)
