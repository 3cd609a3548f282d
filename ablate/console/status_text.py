"""How the studies of a grid stand, as tables and lines."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.console.durations import about_left, clock_span
from ablate.console.tables import Rows
from ablate.scheduling.study_status import FailureStatus, StudyStatus
from ablate.workflow.after.report_status import ReportStatus
from ablate.workflow.after.studies import Standing

# `StudyStatus.stage` -> what stands behind the study's name; a study without a pilot has none.
_KINDS = {"search": " (search)", "tune": " (tuning)"}


def status_tables(status: StudyStatus) -> list[tuple[Rows, str]]:
    """A study's status as tables with titles: states, slots, failures, damage."""
    states = []
    # States without a trial are left out by whoever counted.
    for state, count in status.states.items():
        states.append({"state": state, "trials": count})
    tables: list[tuple[Rows, str]] = [(states, _title(status))]
    if status.slots:
        tables.append((_slot_rows(status), "Slots"))
    if status.failures:
        tables.append((_failure_rows(status.failures), "Failed"))
    # Last, and a table all the same: `ablate status` only looks, and mends nothing.
    if status.damage:
        tables.append(([{"what": status.damage, "then": "the next call mends it"}], "Damage"))
    return tables


def status_notes(standing: Standing) -> list[str]:
    """What else there is to say: repeated attempts and why, how far Optuna lags, the report."""
    status = standing.trials
    notes = []
    if status.repeats:
        reasons = [f"{reason} ({count})" for reason, count in status.repeats.items()]
        n_repeats = sum(status.repeats.values())
        notes.append(
            f"repeats: {n_repeats} of {status.n_attempts} attempts tried a trial again, "
            f"after {', '.join(reasons)}"
        )
    if status.n_not_in_optuna:
        # It follows the journal as MLflow does, while somebody runs the study.
        when = "with the next call"
        if status.conductor:
            when = "soon"
        notes.append(
            f"Optuna: {status.n_not_in_optuna} attempts that have ended are not in its storage "
            f"yet; they come {when}"
        )
    if status.awaits_second_stage:
        notes.append(
            "second stage: its arms are chosen once every trial has ended; the same command goes on"
        )
    if standing.report is not None:
        notes.append(_report_note(status.study, standing.report))
    return notes


def _report_note(study: str, report: ReportStatus) -> str:
    if report.problem:
        return f"report: {report.problem}"
    if not report.is_of_this_study:
        return f"report: {report.readme} is not of {study}, but of another study of the grid"
    # Most often a study that went on after its report was written.
    if report.n_lacking:
        return (
            f"report: {report.readme} lacks {report.n_lacking} completed trials; "
            "ablate report writes it again"
        )
    # Before the first complete trial there is a report, and no best arm.
    champion = report.champion or "none yet"
    return f"report: {report.readme} has every completed trial; champion: {champion}"


def _failure_rows(failures: Sequence[FailureStatus]) -> Rows:
    rows = []
    for failure in failures:
        rows.append(
            {
                "trial": failure.trial,
                "attempt": failure.attempt,
                "why": failure.line,
                "traceback": failure.path,
            }
        )
    return rows


def _title(status: StudyStatus) -> str:
    parts = [_who(status)]
    if status.trials_per_hour is not None:
        parts.append(f"{status.trials_per_hour:.0f} trials per hour")
    pace = "; ".join(parts)
    if status.left_s is not None:
        pace += f", {about_left(status.left_s, is_rough=status.is_left_rough)}"
    return (
        f"{status.study}{_KINDS.get(status.stage, '')}: {status.n_trials} trials, "
        f"{status.n_attempts} attempts; {pace}"
    )


def _who(status: StudyStatus) -> str:
    if status.conductor:
        return f"run by {status.conductor}"
    if status.is_over:
        return "finished"
    return "not running; repeat the command to resume"


def _slot_rows(status: StudyStatus) -> Rows:
    rows = []
    for slot in status.slots:
        # How many epochs there are is known once the first has ended.
        n_epochs = slot.n_epochs or "?"
        rows.append(
            {
                "slot": slot.slot,
                "trial": slot.trial,
                "attempt": slot.attempt,
                "epochs": f"{slot.n_epochs_done}/{n_epochs}",
                "for": clock_span(slot.for_s),
            }
        )
    return rows
