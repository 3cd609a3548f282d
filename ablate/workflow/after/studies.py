"""The studies of a grid that were run here: how they stand, and publishing what MLflow missed.

Needs neither data nor torch.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import SpecError
from ablate.grid.wording import nearest
from ablate.scheduling.catch_up import sync_study
from ablate.scheduling.study_folder import JOURNAL, STUDY, StudyFolder
from ablate.scheduling.study_status import StudyStatus, planned_status
from ablate.tracking.publisher import Unpublished
from ablate.workflow.after.report_status import ReportStatus, report_status
from ablate.workflow.commands import run_command
from ablate.workflow.folders import Folders

_FOLDER_NAME = re.compile(
    r"(?P<grid>.+)-(torchvision-[A-Z]\w*|[a-z0-9_]+)-[0-9a-f]{12}(-(search|tune)-[0-9a-f]{6})?"
)
"""GRID-SOURCE-STUDY, and more for a pilot's folder."""


def find_studies(folders: Folders, *, grid_name: str) -> list[Path]:
    """Folders of a grid's studies, one for each data set that it ran on.

    A folder whose study.json cannot be read counts by its name, so that whoever opens it says what
    is wrong. Raises SpecError where there is none.
    """
    root = folders.home / "studies"
    grid_of = {}
    # By the journal: a folder without one was prepared, and never run.
    for journal in sorted(root.glob(f"*/{JOURNAL}")):
        grid_of[journal.parent] = _grid_of(journal.parent)
    studies = []
    for folder, name in grid_of.items():
        if name == grid_name:
            studies.append(folder)
    if studies:
        return studies
    # Grids that were run here, and not those in experiments/: none of these has a study yet.
    known = sorted({name for name in grid_of.values() if name})
    raise SpecError(
        f"grid {grid_name} must have been run first, got no study of it in {root}; "
        f"run it with: {run_command(grid_name)}{nearest(grid_name, known)}"
    )


# What `StudyPlan.to_json` begins with. The whole file has megabytes, and may be one of hundreds.
_BEGINNING = re.compile(
    rb'\{"schema_version":\d+,"record":\{"study_id":"[^"\\]*","grid_name":"(?P<grid>[\w.-]+)",'
)


def _grid_of(folder: Path) -> str:
    """Name of the grid whose study is in a folder; empty where nothing there says one."""
    try:
        with (folder / STUDY).open("rb") as file:
            beginning = _BEGINNING.match(file.read(1 << 10))
        if beginning is not None:
            return beginning["grid"].decode()
        return str(json.loads((folder / STUDY).read_text())["record"]["grid_name"])
    # Damaged: the name of the folder says at least whose it is.
    except (OSError, ValueError, LookupError, TypeError):
        shape = _FOLDER_NAME.fullmatch(folder.name)
        if shape is None:
            return ""
        return shape["grid"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a study stands: its trials, and what was written of them."""

    trials: StudyStatus
    report: ReportStatus | None
    """None where there is no report in the grid's folder, and for a pilot, which has none."""


def grid_status(folders: Folders, *, grid_name: str) -> list[Standing]:
    """How each study of a grid stands. A report is looked for in `reports/<grid>`."""
    standings = []
    for folder in find_studies(folders, grid_name=grid_name):
        plan = StudyFolder(folder).read_plan()
        trials = planned_status(folder, plan)
        report = None
        if not trials.stage:
            study_id = plan.record.study_id
            report = report_status(Path("reports") / grid_name, study_id, trials)
        standings.append(Standing(trials, report))
    return standings


def sync_grid(folders: Folders, *, grid_name: str) -> dict[str, Unpublished]:
    """Publish what MLflow missed of each study of a grid; return what is still missing, by study.

    Raises SpecError where the grid was never run, StoreError where the store does not answer.
    """
    studies = find_studies(folders, grid_name=grid_name)
    # mlflow takes seconds to import, and a status does not need it.
    from ablate.workflow.stores import open_store

    missing = {}
    for folder in studies:
        # A store for each study: it remembers the runs of the one that it publishes.
        missing[folder.name] = sync_study(folder, open_store(folders, grid_name))
    return missing
