"""What a study's report has and lacks, by its `report.json`: `ablate status` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ablate.errors import SpecError
from ablate.reporting.report_record import ReportRecord, read_report_record
from ablate.scheduling.study_status import StudyStatus
from ablate.tracking.events import TrialState

_COMPLETE = TrialState.COMPLETE.value


@dataclass(frozen=True, slots=True)
class ReportStatus:
    """The report in a grid's default folder, beside one of the grid's studies."""

    readme: Path
    is_of_this_study: bool
    """Whether it is not another study's of the same grid, on other data or with other seeds."""
    n_lacking: int = 0
    """Completed trials of the study that the report does not count; 0 for another study's."""
    champion: str | None = None
    """Name of the arm that it calls the best; None where it names none."""
    problem: str = ""
    """Why it could not be read; empty where it could."""


def report_status(folder: Path, study_id: str, status: StudyStatus) -> ReportStatus | None:
    """Compare the report in `folder` with a study; None where there is none that can be compared.

    A report that cannot be read is a `problem`, never an error: `ablate status` always answers.
    """
    readme = folder / "README.md"
    try:
        record = read_report_record(folder)
    except (SpecError, OSError) as error:
        return ReportStatus(readme, is_of_this_study=False, problem=str(error))
    # Reports from before report.json have no record; their prose is not parsed for one.
    if record is None:
        return None
    if record.study.study_id != study_id:
        return ReportStatus(readme, is_of_this_study=False)
    n_complete = status.states.get(_COMPLETE, 0)
    # Trials that another home trained are in the report and not in this home's journal.
    n_lacking = max(0, n_complete - _n_reported(record))
    champion = None
    if record.champion is not None:
        champion = record.champion.name
    return ReportStatus(readme, is_of_this_study=True, n_lacking=n_lacking, champion=champion)


def _n_reported(record: ReportRecord) -> int:
    # The study's folder counts all of them alike.
    states = [trial.state for trial in (*record.trials, *record.more_trials)]
    return states.count(_COMPLETE)
