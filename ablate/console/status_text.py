"""How the studies of a grid stand, as tables and lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from ablate.scheduling.study_status import StudyStatus

Rows = Sequence[Mapping[str, object]]
_KINDS = {"search": " (search)", "tune": " (tuning)"}


def status_tables(status: StudyStatus) -> list[tuple[Rows, str]]:
    """A study's status as tables with titles: states, slots, failures, damage."""
    states = [{"state": state, "trials": count} for state, count in status.states.items()]
    tables: list[tuple[Rows, str]] = [(states, _title(status))]
    if status.slots:
        tables.append((_slot_rows(status), "Slots"))
    if status.failures:
        failed = [
            {
                "trial": failure.trial,
                "attempt": failure.attempt,
                "why": failure.line,
                "traceback": failure.path,
            }
            for failure in status.failures
        ]
        tables.append((failed, "Failed"))
    if status.damage:
        tables.append(([{"what": status.damage, "then": "the next call mends it"}], "Damage"))
    return tables


def status_notes(status: StudyStatus) -> list[str]:
    """What else there is to say of a study: repeated attempts and why, how far Optuna lags."""
    notes = []
    if status.repeats:
        reasons = [f"{reason} ({count})" for reason, count in status.repeats.items()]
        n_repeats = sum(status.repeats.values())
        notes.append(
            f"repeats: {n_repeats} of {status.n_attempts} attempts tried a trial again, "
            f"after {', '.join(reasons)}"
        )
    if status.n_not_in_optuna:
        when = "soon" if status.conductor else "with the next call"
        notes.append(
            f"Optuna: {status.n_not_in_optuna} attempts that have ended are not in its storage "
            f"yet; they come {when}"
        )
    return notes


def _title(status: StudyStatus) -> str:
    parts = [_who(status)]
    if status.trials_per_hour is not None:
        parts.append(f"{status.trials_per_hour:.0f} trials per hour")
    pace = "; ".join(parts)
    if status.left_s is not None:
        word = "at least" if status.is_left_at_least else "about"
        pace += f", {word} {_span(status.left_s)} left"
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
    return [
        {
            "slot": slot.slot,
            "trial": slot.trial,
            "attempt": slot.attempt,
            "epochs": f"{slot.n_epochs_done}/{slot.n_epochs or '?'}",
            "for": _span(slot.for_s),
        }
        for slot in status.slots
    ]


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
