"""Which folder a run may write its report to, asked before anything is started.

Needs neither pandas nor figures: those are imported while trials run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ablate.errors import ReportError, StoreError
from ablate.grid.grid_file import Grid
from ablate.reporting.pages.folder import check_folder
from ablate.workflow.folders import Folders

HOME_FOLDERS = ("activations", "artifacts", "data", "images", "looks", "studies", "views")
"""Folders that ABLATE_HOME may hold."""


def check_report_folder(folders: Folders, report_dir: Path, grid: Grid) -> None:
    """Make sure, before anything is started, that the grid's report may be written there.

    Writes nothing. Raises StoreError for a folder with files of the user, of another grid's report,
    or with another purpose.
    """
    others = other_purposes(folders)
    if grid.data.path is not None:
        others["the folder of the images"] = folders.data_dir / grid.data.path
    check_not_itself(folders, report_dir)
    check_folder(report_dir, grid_name=grid.name, others=others)


def other_purposes(folders: Folders) -> dict[str, Path]:
    """Folders that must not become a report's, nor hold it."""
    others = {}  # what the folder is -> its path
    for name in HOME_FOLDERS:
        others[f"{name}/ of ABLATE_HOME"] = folders.home / name
    # A data folder that holds the whole working folder would forbid every report.
    if Path.cwd().is_relative_to(folders.data_dir.resolve()):
        return others
    return {"the data folder": folders.data_dir, **others}


def check_not_itself(folders: Folders, report_dir: Path) -> None:
    """Raises StoreError for a report folder that is the home or the data folder."""
    # resolve: a link to the home is the home.
    for what, folder in (("ABLATE_HOME", folders.home), ("the data folder", folders.data_dir)):
        if report_dir.resolve() == folder.resolve():
            raise StoreError(
                f"the report folder must not be {what} itself, {report_dir} is; "
                "name another report folder"
            )


@contextmanager
def results_kept(*, again: str) -> Iterator[None]:
    """Turn what goes wrong after the trials into an error that names the way on.

    `again` is the command that repeats the block. Raises ReportError for a folder, a disk or a
    store that fails.
    """
    try:
        yield
    except OSError as error:
        what = f"{error.filename or 'the disk'}: {error.strerror or error}"
        raise ReportError(
            f"all trials that completed are kept, but {what}; once that is mended: {again}"
        ) from error
    except StoreError as error:
        raise ReportError(
            f"all trials that completed are kept, but {error}; once that is mended: {again}"
        ) from error
