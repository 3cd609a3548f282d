"""The studies of a grid that were run here: how they stand, and MLflow's catching up with them. Needs neither data nor torch."""

from __future__ import annotations

import json
import re
import shlex
from datetime import timedelta
from pathlib import Path

import pandas as pd

from ablate.errors import SpecError
from ablate.grid.parse import nearest
from ablate.scheduling.status import StudyStatus, study_status
from ablate.scheduling.study_folder import JOURNAL, STUDY
from ablate.scheduling.sync import sync_study
from ablate.tracking.publisher import Unpublished
from ablate.workflow.folders import Places

_LONGEST_S = 3650 * 86400.0
_FOLDER_NAME = re.compile(
    r"(?P<grid>.+)-(torchvision-[A-Z]\w*|[a-z0-9_]+)-[0-9a-f]{12}(-(search|tune)-[0-9a-f]{6})?"
)
"""GRID-SOURCE-STUDY, and more for a pilot's folder."""
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(text: str, *, option: str) -> float:
    """`30m`, `1.5h`, `1h30m`, `90` (seconds) -> seconds. Raises SpecError naming the option."""
    if len(text) > 40:
        raise SpecError(
            f"{option} must be a time such as 90s, 30m, 1h30m or 2d, got {len(text)} characters"
        )
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip().lower(), re.ASCII)
    seconds = sum(float(number) * _SECONDS[unit or "s"] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text.strip().lower() or seconds <= 0:
        raise SpecError(f"{option} must be a time such as 90s, 30m, 1h30m or 2d, got {text!r}")
    if seconds > _LONGEST_S:
        raise SpecError(f"{option} must be at most 3650d, got {text!r}; leave it out for no limit")
    return seconds


def find_studies(places: Places, *, grid_name: str) -> list[Path]:
    """Folders of a grid's studies, one for each data set that it ran on, recognised by what they say they are.

    A folder whose study.json cannot be read counts by its name, so that whoever opens it says what is
    wrong. Raises SpecError where there is none.
    """
    root = places.home / "studies"
    folders = sorted(path.parent for path in root.glob(f"*/{JOURNAL}"))
    studies = [folder for folder in folders if _grid_of(folder) == grid_name]
    if studies:
        return studies
    known = sorted({name for name in map(_grid_of, folders) if name})
    raise SpecError(
        f"grid {grid_name} must have been run first, got no study of it in {root}; "
        f"run it with: make ablation GRID={shlex.quote(grid_name)}{nearest(grid_name, known)}"
    )


def _grid_of(folder: Path) -> str:
    """Name of the grid whose study is in a folder; empty where neither its study.json nor its name says one."""
    try:
        return str(json.loads((folder / STUDY).read_text())["record"]["grid_name"])
    except (OSError, ValueError, LookupError, TypeError):
        shape = _FOLDER_NAME.fullmatch(folder.name)
        return "" if shape is None else shape["grid"]


def grid_status(places: Places, *, grid_name: str) -> list[StudyStatus]:
    """How each study of a grid stands."""
    return [study_status(folder) for folder in find_studies(places, grid_name=grid_name)]


def sync_grid(places: Places, *, grid_name: str) -> dict[str, Unpublished]:
    """Publish what MLflow was not told of each study of a grid; return what is still missing, by study.

    Raises SpecError where the grid was never run, StoreError where the store is away.
    """
    folders = find_studies(places, grid_name=grid_name)
    from ablate.workflow.stores import (
        open_store,
    )  # mlflow takes seconds to import, and a status does not need it

    return {folder.name: sync_study(folder, open_store(places, grid_name)) for folder in folders}


def status_tables(status: StudyStatus) -> list[tuple[pd.DataFrame, str]]:
    """A study's status as tables with titles: states, slots, failures."""
    who = _who(status)
    rate = (
        "" if status.trials_per_hour is None else f"; {status.trials_per_hour:.0f} trials an hour"
    )
    word = "at least" if status.is_left_at_least else "about"
    left = "" if status.left_s is None else f", {word} {_span(status.left_s)} left"
    kind = {"search": " (search)", "tune": " (tuning)"}.get(status.stage, "")
    states = [{"state": state, "trials": count} for state, count in status.states.items()]
    tables = [
        (
            pd.DataFrame(states),
            f"{status.study}{kind}: {status.n_trials} trials, {status.n_attempts} attempts; {who}{rate}{left}",
        )
    ]
    if status.slots:
        doing = [
            {
                "slot": one.slot,
                "trial": one.trial,
                "attempt": one.attempt,
                "epochs": f"{one.n_epochs_done}/{one.n_epochs or '?'}",
                "for": _span(one.for_s),
            }
            for one in status.slots
        ]
        tables.append((pd.DataFrame(doing), "Slots"))
    if status.failures:
        failed = [
            {"trial": one.trial, "attempt": one.attempt, "why": one.line, "traceback": one.path}
            for one in status.failures
        ]
        tables.append((pd.DataFrame(failed), "Failed"))
    if status.damage:
        tables.append(
            (pd.DataFrame([{"what": status.damage, "then": "the next call mends it"}]), "Damage")
        )
    return tables


def status_notes(status: StudyStatus) -> list[str]:
    """What else is to be said of a study, a line each: attempts that repeat a trial and why, how far Optuna lags behind."""
    notes = []
    if status.repeats:
        why = ", ".join(f"{reason} ({count})" for reason, count in status.repeats.items())
        n_repeats = sum(status.repeats.values())
        notes.append(
            f"repeats: {n_repeats} of {status.n_attempts} attempts tried a trial again, after {why}"
        )
    if status.n_not_in_optuna:
        when = "soon" if status.conductor else "with the next call"
        notes.append(
            f"Optuna: {status.n_not_in_optuna} attempts that have ended are not in its storage yet; they come {when}"
        )
    return notes


def _who(status: StudyStatus) -> str:
    if status.conductor:
        return f"run by {status.conductor}"
    return "finished" if status.is_over else "nobody runs it; the same command goes on"


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
