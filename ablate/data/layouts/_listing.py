"""Everything that lies below a folder: images by their names, other files, and what is odd.

Nothing is refused here and no file is opened: whoever looks at a stranger's folder names what is
odd, and goes on with the rest.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablate.data.sources._kinds import (
    NAMED_IMAGES,
    UNREADABLE_SUFFIXES,
    is_left_behind,
    is_left_behind_folder,
)
from ablate.errors import DataError, escaped, is_printable

MOST_FILES = 300_000
"""Larger trees are refused: they are a disk, not a data set."""
ODD = {
    "names that are not UTF-8": "rename them",
    "links that lead nowhere, in a circle or out of the folder": "copy the files",
    "pipes, sockets or devices": "remove them",
    "files and folders that cannot be read": "give yourself the right to read them",
    "empty files": "fetch them again",
    "images of kinds that cannot be read here": "convert them, for example to PNG",
}
"""Kind of what is left out of a listing -> the way out."""
_NAMES, _LINKS, _SPECIAL, _CLOSED, _EMPTY, _UNREADABLE = ODD


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies below a folder. Paths are POSIX, relative to it, sorted."""

    root: Path
    images: tuple[str, ...]
    """Regular files that are called as images."""
    others: tuple[str, ...]
    """Regular files of other names: tables, annotations."""
    odd: Mapping[str, Sequence[str]]
    """A key of `ODD` -> what is left out, as it can be printed."""

    def path(self, name: str) -> Path:
        """The path of a file."""
        return self.root / name

    def others_ending(self, *suffixes: str) -> list[str]:
        """The files that are no images and have one of these suffixes, in lower case."""
        names = []
        for name in self.others:
            if name.lower().endswith(suffixes):
                names.append(name)
        return names


def list_folder(root: Path) -> Listing:
    """List a folder. Raises DataError where it is none, cannot be read or holds too much."""
    if not root.is_dir():
        raise DataError(
            f"FOLDER must be a folder that holds images, got '{escaped(str(root))}', which is none."
        )
    # resolved: image paths are compared with those of links
    walk = _Walk(root.resolve())
    walk.enter(walk.root, above=frozenset())
    odd = {}
    for kind, names in walk.odd.items():
        if names:
            odd[kind] = tuple(sorted(names))
    return Listing(walk.root, tuple(sorted(walk.images)), tuple(sorted(walk.others)), odd)


@dataclass
class _Walk:
    root: Path
    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    odd: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in ODD})

    def enter(self, folder: Path, *, above: frozenset[tuple[int, int]]) -> None:
        """List one folder and those in it; `above` are the folders that lead to it."""
        try:
            status = folder.stat()
            with os.scandir(folder) as opened:
                # The order of a folder differs between file systems.
                entries = sorted(opened, key=lambda entry: entry.name)
        except OSError:
            self._note(_CLOSED, folder)
            return
        # By identity: a link in a circle gives ever longer paths.
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            self._note(_LINKS, folder)
            return
        for entry in entries:
            self._take(entry, above=above | {identity})

    def _take(self, entry: os.DirEntry[str], *, above: frozenset[tuple[int, int]]) -> None:
        path = Path(entry.path)
        if not is_printable(entry.name):
            self._note(_NAMES, path)
        elif entry.is_symlink() and not self._leads_inside(path):
            self._note(_LINKS, path)
        elif _is_folder(entry):
            if not is_left_behind_folder(entry.name):
                self.enter(path, above=above)
        elif not is_left_behind(entry.name):
            self._take_file(entry, path)

    def _leads_inside(self, path: Path) -> bool:
        # The grid file's folder is the data folder, and sources follow links below that alone.
        try:
            return path.resolve(strict=True).is_relative_to(self.root.parent)
        except (OSError, RuntimeError):
            return False

    def _take_file(self, entry: os.DirEntry[str], path: Path) -> None:
        try:
            status = entry.stat()
        except OSError:
            self._note(_CLOSED, path)
            return
        suffix = path.suffix.lower()
        odd = _oddity(path, status, suffix)
        if odd is not None:
            self._note(odd, path)
        elif suffix in NAMED_IMAGES:
            self.images.append(self._name(path))
        else:
            self.others.append(self._name(path))
        self._check_count()

    def _check_count(self) -> None:
        # On the way, not at the end: listing a whole disk takes hours.
        if len(self.images) + len(self.others) > MOST_FILES:
            raise DataError(
                f"FOLDER must hold at most {MOST_FILES:,} files, '{escaped(str(self.root))}' holds "
                "more; give the folder of one data set."
            )

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _note(self, kind: str, path: Path) -> None:
        self.odd[kind].append(escaped(self._name(path)))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _oddity(path: Path, status: os.stat_result, suffix: str) -> str | None:
    """Why a file is left out, as far as its name and status show."""
    if not stat.S_ISREG(status.st_mode):
        return _SPECIAL
    if suffix in UNREADABLE_SUFFIXES:
        return _UNREADABLE
    if not os.access(path, os.R_OK):
        return _CLOSED
    # Empty notes and marks beside images say nothing of the images.
    if status.st_size == 0 and suffix in NAMED_IMAGES:
        return _EMPTY
    return None
