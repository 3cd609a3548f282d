"""Paths that were written by hand: below their folder, and below the data folder where links lead.

Who writes a grid file or an index may name what lies below its folder and nothing else. Links are
followed, but only to files below the data folder, which the person who runs the study chooses.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from ablate.errors import DataError, escaped, is_printable


def below(root: Path, relative: str, *, what: str, data_dir: Path | None = None) -> Path:
    """Return `root / relative` without "." and ".."; links are kept in it, and it may not exist.

    `data_dir` is where links may lead to, `root` where None. Raises DataError for a path that
    leaves `root`, that a link leads out of `data_dir`, or that no path can be.
    """
    # First, because messages show the name, and control characters would run in the terminal.
    if not is_printable(relative):
        raise DataError(
            f"{what} must be UTF-8 without control characters, got '{escaped(relative)}'; "
            "rename it."
        )
    # normpath removes ".." without following links, unlike resolve: the path keeps its spelling.
    spelled = Path(os.path.normpath(resolved(root) / relative))
    path = _spelled_below(spelled, root, is_absolute=Path(relative).is_absolute())
    if path is None:
        raise DataError(
            f"{what} must stay below its folder, got '{escaped(relative)}'; "
            "move the files there, or point the data folder higher."
        )
    # Spelled below is not enough: a link on the way may lead anywhere.
    check_link(path, relative, what=what, data_dir=data_dir or root)
    return path


def relative_to(path: Path, root: Path) -> str:
    """Return the POSIX path below `root` of a path that `below` gave."""
    # `below` resolves the root, so this must, too.
    return path.relative_to(resolved(root)).as_posix()


def portable(path: str, *, data_dir: Path, what: str) -> str:
    """Return a path as records keep it: below the data folder, since a machine's folders are not.

    Raises DataError where it lies outside.
    """
    return relative_to(below(data_dir, path, what=what), data_dir)


def check_link(path: Path, name: str, *, what: str, data_dir: Path) -> None:
    """Check that `path` lies below `data_dir` after all links.

    Raises DataError with the target.
    """
    try:
        # Not strict: a file that is missing has a message of its own, elsewhere.
        target = path.resolve()
    except (OSError, RuntimeError) as error:
        raise DataError(f"{what} must not be a link in a circle, got '{escaped(name)}'.") from error
    if not target.is_relative_to(resolved(data_dir)):
        raise DataError(outside_text(name, target, what=what, data_dir=data_dir))


def outside_text(name: str, target: Path, *, what: str, data_dir: Path) -> str:
    """The message for a link that leads out of the data folder, with the options that admit it."""
    # The least folder that holds both: as data folder it would admit the link.
    shared = Path(os.path.commonpath([target.parent, resolved(data_dir)]))
    way_out = "copy the files"
    if what == "data.path":
        way_out = (
            f"give --data-dir {escaped(str(target.parent))} (make: DATA_DIR=...) and "
            f"data.path: {escaped(target.name)}, or {way_out}"
        )
    # The root of the file system is shared by all, and no data folder.
    elif shared != Path(shared.anchor):
        way_out = (
            f"give --data-dir {escaped(str(shared))} (make: DATA_DIR=...) with data.path from "
            f"there, or {way_out}"
        )
    return (
        f"{what} must stay below the data folder {escaped(str(data_dir))}, "
        f"but '{escaped(name)}' is a link to {escaped(str(target))}, which lies outside; {way_out}."
    )


def _spelled_below(path: Path, root: Path, *, is_absolute: bool) -> Path | None:
    """`path` as it is called below `root`; None outside.

    An absolute path may go through links: `/data/x` where `/data` is a link to the root.
    """
    base = resolved(root)
    if path.is_relative_to(base):
        return path
    # The root as it was written, where it is or goes through a link itself.
    as_given = Path(os.path.normpath(root.absolute()))
    if path.is_relative_to(as_given):
        return base / path.relative_to(as_given)
    # Of the folder only: the last part may be a link, which `check_link` judges.
    folder = resolved(path.parent)
    if is_absolute and folder.is_relative_to(base):
        return folder / path.name
    return None


@lru_cache(maxsize=8)
def resolved(root: Path) -> Path:
    """`root` without links. Raises DataError.

    Cached: a source asks once per file, and each look-up costs a system call per path component.
    """
    try:
        return root.resolve()
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"the data folder must not be a link in a circle, got '{escaped(str(root))}'; "
            "repair it, or give another one with --data-dir."
        ) from error
