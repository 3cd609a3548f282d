"""From a grid to its contact sheet: the one function behind `ablate views`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ablate.grid.grid_file import Grid
from ablate.workflow.folders import Folders
from ablate.workflow.plan.augmented_views import SheetRequest, check_out, describe, take_sheet
from ablate.workflow.plan.contact_sheet import write_sheet
from ablate.workflow.prepare.resolved import resolve
from ablate.workflow.run.watcher import Watcher


@dataclass(frozen=True, slots=True)
class DrawnViews:
    """A contact sheet that was written."""

    path: Path
    description: str
    """What is on it and what is not, in one line."""


def draw_views(
    grid: Grid,
    folders: Folders,
    sheet_request: SheetRequest,
    watcher: Watcher,
    *,
    out: Path | None = None,
    allow_fallback: bool = True,
) -> DrawnViews:
    """Draw train images under each policy of the grid, and write them as a PNG.

    Raises RequestError.
    """
    path = check_out(out or folders.home / "views" / f"{grid.name}.png")
    resolved = resolve(grid, folders, seeds=None, allow_fallback=allow_fallback, command="")
    watcher.data_found(resolved)
    with watcher.preparing() as on_progress:
        sheet = take_sheet(resolved, sheet_request, home=folders.home, on_progress=on_progress)
    write_sheet(sheet, path)
    return DrawnViews(path, describe(resolved, sheet_request, sheet))
