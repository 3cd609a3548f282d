"""Where a study and its pilot keep their journals, attempts and logs."""

from __future__ import annotations

from pathlib import Path

from ablate.study.record import StudyRecord
from ablate.workflow.folders import Folders


def study_folder(record: StudyRecord, folders: Folders) -> Path:
    """The study's own folder; that of its pilot is beside it."""
    # `torchvision:MNIST` has a colon, which not every file system takes.
    source = record.data.source.replace(":", "-")
    return folders.home / "studies" / f"{record.grid_name}-{source}-{record.study_id}"


def pilot_folder_of(folder: Path, record: StudyRecord) -> Path:
    """Where a pilot keeps its journal: beside the `folder` of the study that it prepares."""
    assert record.stage is not None
    # Six digits of its id: an edited search is another pilot, with a journal of its own.
    return folder.with_name(f"{folder.name}-{record.stage.kind}-{record.study_id[:6]}")
