"""A report beside its study: whether it is the study's, and which trials it lacks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ablate.console.status_text import status_notes
from ablate.errors import SpecError
from ablate.reporting.report_record import NAME, ReportRecord, ReportTrial
from ablate.scheduling.study_status import StudyStatus
from ablate.workflow.after import report_status as module
from ablate.workflow.after.report_status import ReportStatus, report_status
from ablate.workflow.after.studies import Standing

FOLDER = Path("reports/flowers")
README = FOLDER / "README.md"


def standing(*, n_complete: int) -> StudyStatus:
    return StudyStatus(
        study="flowers-shared-abc",
        stage="",
        conductor=None,
        n_trials=n_complete,
        states={"COMPLETE": n_complete} if n_complete else {},
        n_attempts=n_complete,
        trials_per_hour=None,
        left_s=None,
        is_left_rough=False,
        slots=(),
        failures=(),
        repeats={},
        n_not_in_optuna=None,
    )


def record_with(*states: str) -> ReportRecord:
    trials = []
    for seed, state in enumerate(states):
        trials.append(
            ReportTrial(arm_id="a", seed=seed, state=state, trial_id=f"t{seed}", run_id=None)
        )
    # Whatever else a report says does not matter here.
    values: dict[str, Any] = {
        "study": SimpleNamespace(study_id="abc"),
        "arms": (SimpleNamespace(arm_id="a", name="depth=1"),),
        "champion_arm_id": "a",
        "trials": tuple(trials),
    }
    return ReportRecord.model_construct(**values)


@pytest.mark.parametrize(
    ("n_complete", "study_id", "expected", "note"),
    [
        (
            2,
            "abc",
            ReportStatus(README, True, 0, "depth=1"),
            "report: reports/flowers/README.md has every completed trial; champion: depth=1",
        ),
        (
            5,
            "abc",
            ReportStatus(README, True, 3, "depth=1"),
            "report: reports/flowers/README.md lacks 3 completed trials; "
            "ablate report writes it again",
        ),
        (1, "abc", ReportStatus(README, True, 0, "depth=1"), None),
        (
            5,
            "xyz",
            ReportStatus(README, False),
            "report: reports/flowers/README.md is not of flowers-shared-abc, "
            "but of another study of the grid",
        ),
    ],
)
def test_a_report_beside_a_study(
    n_complete: int,
    study_id: str,
    expected: ReportStatus,
    note: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = record_with("COMPLETE", "FAILED", "COMPLETE")
    monkeypatch.setattr(module, "read_report_record", lambda folder: record)
    trials = standing(n_complete=n_complete)
    report = report_status(FOLDER, study_id, trials)
    assert report == expected
    if note is not None:
        assert status_notes(Standing(trials, report)) == [note]


def test_without_a_report_nothing_is_said(tmp_path: Path) -> None:
    trials = standing(n_complete=1)
    assert report_status(tmp_path, "abc", trials) is None
    assert status_notes(Standing(trials, None)) == []


def test_a_damaged_report_is_said_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{")
    trials = standing(n_complete=1)
    report = report_status(tmp_path, "abc", trials)
    assert report is not None
    assert "it is damaged" in report.problem
    assert status_notes(Standing(trials, report)) == [f"report: {report.problem}"]


def test_a_newer_report_is_named_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise SpecError("a newer ablate wrote it: update ablate")

    monkeypatch.setattr(module, "read_report_record", refuse)
    report = report_status(tmp_path, "abc", standing(n_complete=1))
    assert report is not None
    assert report.problem == "a newer ablate wrote it: update ablate"
