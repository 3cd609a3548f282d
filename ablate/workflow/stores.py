"""The tracking store as a command opens it: whole, or written again from the journals.

Needs no torch.
"""

from __future__ import annotations

import logging
from pathlib import Path

from ablate.errors import StoreError
from ablate.scheduling.catch_up import sync_study
from ablate.scheduling.study_folder import JOURNAL, StudyFolder
from ablate.tracking.connectivity import BrokenStore
from ablate.tracking.mlflow_files import LackingFile
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.mlflow_tables import let_go
from ablate.tracking.records import PublishedStudy
from ablate.tracking.store_file import move_aside
from ablate.workflow.folders import MLFLOW, Folders

_LOG = logging.getLogger(__name__)


def open_store(folders: Folders, grid_name: str) -> MlflowStore:
    """Return a grid's part of the tracking store, which answers.

    A default store that is damaged or half made is moved aside, with a warning, and written again
    from the journals of this home. Raises StoreError for whatever else keeps a store from opening.
    """
    store = _store(folders, grid_name)
    # Taken before the store is tried: another process may put a new file in its place meanwhile.
    inode = _inode(folders)
    try:
        store.check_reachable()
    except BrokenStore as error:
        if not folders.has_default_store:
            raise
        # An open connection would go on writing to the file after it was renamed.
        let_go(folders.tracking_uri)
        aside = move_aside(folders.home / MLFLOW, inode=inode)
        store = _store(folders, grid_name)
        store.check_reachable()
        # None: another process moved it first, and writes the journals again itself.
        if aside is not None:
            written = write_again(folders)
            _LOG.warning("%s", _moved_aside(aside, str(error), written))
    return store


def write_again(folders: Folders) -> list[str]:
    """Publish every study of the home, in the order in which they began.

    Returns the names of their folders. What another process owns it publishes itself.
    """
    written = []
    # In the order of their beginning: the newest study is the newest in the new file, too.
    for folder in sorted(_studies(folders), key=_began):
        try:
            grid_name = StudyFolder(folder).read_record().grid_name
            missing = sync_study(folder, _store(folders, grid_name))
        except StoreError as error:
            _LOG.warning("%s was not written again: %s", folder.name, error)
            continue
        incomplete = ""
        # Said, and no reason to stop: the next sync of that study goes on.
        if missing.why:
            incomplete = f" (incomplete: {missing.why})"
        written.append(f"{folder.name}{incomplete}")
    return written


def read_whole_study(
    folders: Folders, store: MlflowStore, *, study_id: str | None
) -> PublishedStudy:
    """Read a grid's newest study, or the one named.

    Files that are gone from the store are written again first, where this home has the study's
    journal.
    """
    study: PublishedStudy | None = None
    try:
        study = store.read_study(store.grid_name, study_id)
        if not store.lacks_files(study):
            return study
        # From here on this study, not whatever is newest after its files were written.
        study_id = study.record.study_id
    except LackingFile:
        pass  # so broken that it cannot be read at all: the journal may mend it
    is_here = _write_files(folders, store.grid_name, study_id=study_id)
    if study is not None and not is_here:
        return study
    return store.read_study(store.grid_name, study_id)


def _store(folders: Folders, grid_name: str) -> MlflowStore:
    return MlflowStore(folders.tracking_uri, grid_name, artifact_root=folders.artifact_root)


def _inode(folders: Folders) -> int:
    try:
        # (Where there is none: no file has the inode 0: the store is then taken for another one,
        # and left alone.)
        return (folders.home / MLFLOW).stat().st_ino
    except OSError:
        return 0


def _moved_aside(aside: Path, why: str, written: list[str]) -> str:
    if written:
        result = (
            f"written again from the journals: {', '.join(written)}; "
            "reports made before cite the runs of the old file, "
            "ablate report GRID writes them again"
        )
    else:
        result = "there was no journal yet"
    return (
        f"the tracking store did not open and was moved to {aside} ({why}); "
        f"a new one is in its place, {result}"
    )


def _began(folder: Path) -> float:
    """When a study's first trial started, in seconds since 1970."""
    try:
        # The first line alone: journals can be large.
        first, _ = next(StudyFolder(folder).journal.follow(0), (None, 0))
    except StoreError:
        return 0.0
    if first is None:
        return 0.0
    return first.at


def _write_files(folders: Folders, grid_name: str, *, study_id: str | None) -> bool:
    """Mend the runs of a grid's studies, or of the one named; return whether there were any."""
    is_here = False
    for folder in _studies(folders):
        try:
            record = StudyFolder(folder).read_record()
            if record.grid_name == grid_name and study_id in (None, record.study_id):
                is_here = True
                sync_study(folder, _store(folders, grid_name))
        except StoreError as error:
            _LOG.warning("files of %s were not written again: %s", folder.name, error)
    return is_here


def _studies(folders: Folders) -> list[Path]:
    """Folders of the studies of a home that have begun."""
    journals = (folders.home / "studies").glob(f"*/{JOURNAL}")
    return [journal.parent for journal in journals]
