"""The studies of a grid that were run here: how they stand, and MLflow's catching up with them. Needs neither data nor torch."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pandas as pd

from ablate.errors import SpecError
from ablate.scheduling.status import StudyStatus, study_status
from ablate.scheduling.study_folder import JOURNAL
from ablate.scheduling.sync import sync_study
from ablate.tracking.publisher import Unpublished
from ablate.workflow.settings import Places

_LONGEST_S = 3650 * 86400.0
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(text: str, *, option: str) -> float:
    """`30m`, `1.5h`, `1h30m`, `90` (seconds) -> seconds. Raises SpecError naming the option."""
    if len(text) > 40:
        raise SpecError(f"{option} must be a time such as 90s, 30m, 1h30m or 2d, got {len(text)} characters")
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip().lower(), re.ASCII)
    seconds = sum(float(number) * _SECONDS[unit or "s"] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text.strip().lower() or seconds <= 0:
        raise SpecError(f"{option} must be a time such as 90s, 30m, 1h30m or 2d, got {text!r}")
    if seconds > _LONGEST_S:
        raise SpecError(f"{option} must be at most 3650d, got {text!r}; leave it out for no limit")
    return seconds


def find_studies(places: Places, *, grid_name: str) -> list[Path]:
    """Folders of a grid's studies, one for each data set that it ran on. Raises SpecError where there is none."""
    folders = sorted(path.parent for path in (places.home / "studies").glob(f"{grid_name}-*/{JOURNAL}"))
    if not folders:
        raise SpecError(
            f"grid {grid_name} must have been run before it has a status, got no study of it in {places.home / 'studies'}; run: make ablation GRID={grid_name}"
        )
    return folders


def grid_status(places: Places, *, grid_name: str) -> list[StudyStatus]:
    """How each study of a grid stands."""
    return [study_status(folder) for folder in find_studies(places, grid_name=grid_name)]


def sync_grid(places: Places, *, grid_name: str) -> dict[str, Unpublished]:
    """Publish what MLflow was not told of each study of a grid; return what is still missing, by study. Raises StoreError where the store is away."""
    from ablate.workflow.stores import open_store  # mlflow takes seconds to import, and a status does not need it

    folders = find_studies(places, grid_name=grid_name)
    return {folder.name: sync_study(folder, open_store(places, grid_name)) for folder in folders}


def status_tables(status: StudyStatus) -> list[tuple[pd.DataFrame, str]]:
    """A study's status as tables with titles: states, slots, failures."""
    who = f"run by {status.conductor}" if status.conductor else "nobody runs it; the same command goes on"
    rate = "" if status.trials_per_hour is None else f"; {status.trials_per_hour:.0f} trials an hour"
    left = "" if status.left_s is None else f", about {_span(status.left_s)} left"
    kind = {"search": " (search)", "tune": " (tuning)"}.get(status.stage, "")
    states = [{"state": state, "trials": count} for state, count in status.states.items()]
    tables = [(pd.DataFrame(states), f"{status.study}{kind}: {status.n_trials} trials, {status.n_attempts} attempts; {who}{rate}{left}")]
    if status.slots:
        doing = [
            {"slot": one.slot, "trial": one.trial, "attempt": one.attempt, "epochs": f"{one.n_epochs_done}/{one.n_epochs or '?'}", "for": _span(one.for_s)}
            for one in status.slots
        ]
        tables.append((pd.DataFrame(doing), "Slots"))
    if status.failures:
        failed = [{"trial": one.trial, "attempt": one.attempt, "why": one.line, "traceback": one.path} for one in status.failures]
        tables.append((pd.DataFrame(failed), "Failed"))
    if status.damage:
        tables.append((pd.DataFrame([{"what": status.damage, "then": "the next call mends it"}]), "Damage"))
    return tables


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
