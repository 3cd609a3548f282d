"""The tracking store as a command opens it: there, whole, and written again from the journals where its file was broken. Needs no torch."""

from __future__ import annotations

import logging
from pathlib import Path

from ablate.errors import StoreError
from ablate.scheduling.study_folder import JOURNAL, StudyFolder
from ablate.scheduling.sync import sync_study
from ablate.tracking.connectivity import BrokenStore
from ablate.tracking.mlflow_files import LackingFile
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.mlflow_tables import let_go
from ablate.tracking.records import PublishedStudy
from ablate.tracking.store_file import move_aside
from ablate.workflow.folders import MLFLOW, Places

_LOG = logging.getLogger(__name__)


def open_store(places: Places, grid_name: str) -> MlflowStore:
    """Return a grid's part of the tracking store, which answers.

    A default store that is damaged or half made is moved aside, said so, and written again from the journals of this home. Raises StoreError for whatever
    else keeps a store from opening.
    """
    store = _store(places, grid_name)
    inode = _inode(places)
    try:
        store.check_reachable()
    except BrokenStore as error:
        if not places.has_default_store:
            raise
        let_go(places.tracking_uri)
        aside = move_aside(places.home / MLFLOW, inode=inode)
        store = _store(places, grid_name)
        store.check_reachable()
        if aside is not None:
            _LOG.warning("%s", _said(aside, str(error), write_again(places)))
    return store


def _store(places: Places, grid_name: str) -> MlflowStore:
    return MlflowStore(places.tracking_uri, grid_name, artifact_root=places.artifact_root)


def _inode(places: Places) -> int:
    try:
        return (places.home / MLFLOW).stat().st_ino
    except OSError:
        return 0


def _said(aside: Path, why: str, written: list[str]) -> str:
    again = f"written again from the journals: {', '.join(written)}; reports made before cite the runs of the old file, ablate report GRID writes them anew"
    return f"the tracking store did not open and was moved to {aside} ({why}); a new one is in its place, {again if written else 'there was no journal yet'}"


def write_again(places: Places) -> list[str]:
    """Publish every study of the home, in the order in which they began; return their folders' names. What another process owns it publishes itself."""
    written = []
    for folder in sorted(_folders(places), key=_began):
        try:
            missing = sync_study(
                folder, _store(places, StudyFolder(folder).read_plan().record.grid_name)
            )
            written.append(folder.name + (f" (not whole: {missing.why})" if missing.why else ""))
        except StoreError as error:
            _LOG.warning("%s was not written again: %s", folder.name, error)
    return written


def _began(folder: Path) -> float:
    """When a study's first trial started, in seconds since 1970."""
    try:
        first, _ = next(StudyFolder(folder).journal.follow(0), (None, 0))
    except StoreError:
        return 0.0
    return 0.0 if first is None else first.at


def read_whole_study(places: Places, store: MlflowStore, *, study_id: str | None) -> PublishedStudy:
    """Read a grid's newest study, or the one named. Files that are gone from the store are written again first, where this home has the study's journal."""
    try:
        study = store.read_study(store.grid_name, study_id)
        if not store.lacks_files(study):
            return study
    except LackingFile:
        study = None
    if (
        not _write_files(
            places, store.grid_name, study_id=study.record.study_id if study else study_id
        )
        and study
    ):
        return study
    return store.read_study(store.grid_name, study_id)


def _write_files(places: Places, grid_name: str, *, study_id: str | None) -> bool:
    """Let the studies of a grid look through their runs in the store, or the one that is named; return whether there were any."""
    is_found = False
    for folder in _folders(places):
        try:
            record = StudyFolder(folder).read_plan().record
            if record.grid_name == grid_name and study_id in (None, record.study_id):
                is_found = True
                sync_study(folder, _store(places, grid_name))
        except StoreError as error:
            _LOG.warning("files of %s were not written again: %s", folder.name, error)
    return is_found


def _folders(places: Places) -> list[Path]:
    """The studies of a home that have begun."""
    return [path.parent for path in (places.home / "studies").glob(f"*/{JOURNAL}")]
