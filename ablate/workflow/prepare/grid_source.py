"""Which grid file a study was run from last: names alone do not tell two files in two folders apart."""

from __future__ import annotations

from pathlib import Path

from ablate.files import write_text

SOURCE = "grid_file.txt"
"""In a study's folder: the absolute path of its grid file."""


def other_source(folder: Path, grid_file: Path) -> Path | None:
    """Remember `grid_file` for the study in `folder`; return the file that it was run from before, if that is another one.

    A file that was moved, or that says the same, is no other one. Raises OSError where the folder cannot be written.
    """
    note, here = folder / SOURCE, grid_file.absolute()
    try:
        before = Path(note.read_text().strip())
        is_other = before != here and before.is_file() and before.read_bytes() != here.read_bytes()
    except (OSError, ValueError):
        is_other = False
    write_text(note, f"{here}\n")
    return before if is_other else None
