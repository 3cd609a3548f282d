"""Which grid file a study was run from last: names alone do not tell files in two folders apart."""

from __future__ import annotations

from pathlib import Path

from ablate.files import write_text

SOURCE = "grid_file.txt"
"""In a study's folder: the absolute path of its grid file."""


def other_source(folder: Path, grid_file: Path) -> Path | None:
    """Remember `grid_file` for the study in `folder`; return the file that it was run from before.

    None where that is the same file, was moved, or says the same. Raises OSError where the folder
    cannot be written.
    """
    note = folder / SOURCE
    current = grid_file.absolute()
    former = _former_source(note)
    write_text(note, f"{current}\n")
    if former is None or former == current or _say_the_same(former, current):
        return None
    return former


def _former_source(note: Path) -> Path | None:
    """The file that is noted, where it is still there."""
    try:
        former = Path(note.read_text().strip())
        if former.is_file():
            return former
        return None
    except (OSError, ValueError):
        # Notes of a damaged disk are no reason to refuse a run; the next line writes a good one.
        return None


def _say_the_same(first: Path, second: Path) -> bool:
    try:
        return first.read_bytes() == second.read_bytes()
    except OSError:
        return True  # nobody can say that they differ
