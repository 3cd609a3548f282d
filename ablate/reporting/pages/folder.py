"""Which folder a report may be written to: an empty one, or one that holds an earlier report.

That must be a report of the same grid; what else lies there stays as it is. A report leaves a mark:
the grid, and a digest of each file that it wrote. Only what a mark lists is ever replaced, removed
or uploaded.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ablate.errors import StoreError
from ablate.reporting.pages.old_report import unmarked_report

MARK = ".ablate-report.json"
SUBFOLDERS = ("figures", "cards")
_WRITTEN = re.compile(
    r"README\.md|report\.html|report\.json|\w+\.csv|cards/[^/\\]+\.md|figures/[^/\\]+\.(?:svg|png)"
)
"""The names that a report gives to its files."""
# the mark too: a mark alone is what an interrupted first report leaves
_LITTER = frozenset({".DS_Store", ".gitignore", ".gitkeep", "Thumbs.db", "desktop.ini", MARK})
"""Files that say nothing of what a folder is for."""
_WAY_OUT = "name another report folder"


class Mark(BaseModel):
    """What a report leaves in its folder: whose it is, and which files are its own."""

    # strict: this file decides what is removed, so what looks odd is no mark
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    grid: str
    files: dict[str, str]
    """Path below the folder -> SHA-256 of what was written, in hex; empty where it is not known."""


def read_mark(out: Path) -> Mark | None:
    """The mark in a folder; for a report of a version without marks, one made from its README.

    None where there is no report. Raises OSError.
    """
    path = out / MARK
    # a link would let another folder's mark speak for this one
    if path.is_symlink() or not path.is_file():
        return _mark_of_the_unmarked(out)
    try:
        mark = Mark.model_validate_json(path.read_bytes())
    except ValidationError:
        return _mark_of_the_unmarked(out)
    # Files of a mark get removed: a mark that was edited, or forged, must not name another's files.
    files = {}
    for name, digest in mark.files.items():
        if _WRITTEN.fullmatch(name):
            files[name] = digest
    return mark.model_copy(update={"files": files})


def _mark_of_the_unmarked(out: Path) -> Mark | None:
    report = unmarked_report(out)
    if report is None:
        return None
    # no digests: old reports kept none, so an edited file cannot be told from a written one
    return Mark(grid=report.grid_name, files=dict.fromkeys(report.files, ""))


def write_mark(out: Path, mark: Mark) -> None:
    """Leave the mark. Raises OSError."""
    write_file(out / MARK, f"{mark.model_dump_json(indent=1)}\n".encode())


def check_folder(out: Path, *, grid_name: str, others: Mapping[str, Path]) -> Mark:
    """Make sure that `out` may hold a report of `grid_name`; return its mark, or a new one.

    Writes nothing. `others`: what folders of the machine are for -> the folder; none of them may
    become a report's. Raises StoreError for a folder that holds files and no report of the grid,
    or that serves another purpose.
    """
    # first: a cache or a data folder is refused whatever lies in it
    check_purpose(out, others)
    try:
        return _mark_for(out, grid_name=grid_name)
    except OSError as error:
        raise cannot_be_written(error, Path(error.filename or out)) from error


def claim_folder(out: Path, *, grid_name: str, others: Mapping[str, Path]) -> Mark:
    """As `check_folder`, and leave the mark there.

    From then on the folder is this report's, whatever else is put into it. Also raises StoreError
    for a folder that cannot be written.
    """
    mark = check_folder(out, grid_name=grid_name, others=others)
    try:
        for name in (".", *SUBFOLDERS):
            folder = out / name
            folder.mkdir(parents=True, exist_ok=True)
            # now, not after an hour of rendering: a full or read-only disk shows here
            _check_writable(folder)
        write_mark(out, mark)
    except OSError as error:
        raise cannot_be_written(error, Path(error.filename or out)) from error
    return mark


def _mark_for(out: Path, *, grid_name: str) -> Mark:
    _check_leads_to_a_folder(out)
    for name in SUBFOLDERS:
        _check_subfolder(out / name)
    mark = read_mark(out)
    # no report of ours: only an empty folder may become one
    if mark is None:
        stranger = first_file(out)
        if stranger is not None:
            raise StoreError(
                "the report folder must be empty or hold an earlier report of ablate, "
                f"{out} holds {stranger} and no report; {_WAY_OUT}"
            )
        return Mark(grid=grid_name, files={})
    if mark.grid != grid_name:
        raise StoreError(
            "the report folder must hold no report of another grid, "
            f"{out} holds that of {mark.grid!r}, not of {grid_name!r}; {_WAY_OUT}"
        )
    return mark


def _check_leads_to_a_folder(out: Path) -> None:
    """The nearest of `out` and its parents that is there must be a folder."""
    for folder in (out, *out.parents):
        # `exists` follows links: one that leads nowhere is there all the same
        is_there = folder.exists() or folder.is_symlink()
        if is_there and not folder.is_dir():
            raise StoreError(
                "the report folder must be a folder, "
                f"{folder} is a file or leads nowhere; free it, or {_WAY_OUT}"
            )
        if is_there:
            return


def _check_subfolder(folder: Path) -> None:
    rule = f"{folder.name}/ of a report must be a folder of its own"
    if folder.is_symlink():
        raise StoreError(f"{rule}, {folder} is a link; remove the link, or {_WAY_OUT}")
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{rule}, {folder} is a file; move the file, or {_WAY_OUT}")


def check_purpose(out: Path, others: Mapping[str, Path]) -> None:
    """Raise StoreError where `out` is a folder that serves another purpose, or lies in one."""
    # resolved, so that neither `..` nor a link leads into one of the others
    place = out.resolve()
    for purpose, folder in others.items():
        if place.is_relative_to(folder.resolve()):
            raise StoreError(
                f"the report folder must lie outside {purpose}, {out} lies in {folder}; {_WAY_OUT}"
            )


def first_file(out: Path) -> str | None:
    """Path below `out` of a file that somebody keeps there.

    None for a folder that is empty, holds nothing but empty folders, or is not there.
    """
    return next(_files(out), None)


def _files(out: Path) -> Iterator[str]:
    # os.walk, because Path.rglob passes over folders that it may not read
    for folder, subfolders, names in os.walk(out, onerror=_refuse):
        subfolders.sort()  # in place: `walk` goes on in this order
        # A link to a folder is something that somebody keeps; `walk` lists it, and does not follow.
        links = [name for name in subfolders if Path(folder, name).is_symlink()]
        for name in sorted([*names, *links]):
            if name not in _LITTER:
                yield Path(folder, name).relative_to(out).as_posix()


def _refuse(error: OSError) -> None:
    # a folder that is not there, or goes away meanwhile, holds nothing
    if not isinstance(error, FileNotFoundError):
        raise error


def check_in_the_way(out: Path, mark: Mark, names: Collection[str]) -> None:
    """Raise StoreError where one of `names` would replace a link or a file of no report."""
    for name in names:
        path = out / name
        if path.is_symlink():
            raise StoreError(
                f"a report must write files of its own, {path} is a link; "
                f"remove the link, or {_WAY_OUT}"
            )
        # listed in the mark means written by a report: only that may be replaced
        if path.exists() and (name not in mark.files or not path.is_file()):
            raise StoreError(
                f"a report must not replace what it did not write, {path} is such a file; "
                f"move it, or {_WAY_OUT}"
            )


def remove_stale(out: Path, mark: Mark, names: Collection[str]) -> None:
    """Remove files of an earlier report that the new one, of files `names`, no longer has.

    Files that somebody has edited since stay. Raises OSError.
    """
    for name, digest in mark.files.items():
        path = out / name
        # a link in the place of our file is somebody's, wherever it leads
        if name in names or path.is_symlink() or not path.is_file():
            continue
        # unchanged, or of a time without digests: what was edited is never removed
        if digest in ("", digest_of(path.read_bytes())):
            path.unlink()


def set_aside_edited(out: Path, mark: Mark, names: Collection[str]) -> dict[str, Path]:
    """Rename those of `names` that somebody changed after a report had written them.

    Returns name -> where it is now. Raises OSError.
    """
    moved = {}
    for name in names:
        path = out / name
        written = mark.files.get(name)
        # an empty digest says nothing, so nothing is set aside by it
        if written and path.is_file() and digest_of(path.read_bytes()) != written:
            moved[name] = path.rename(_free_name(path))
    return moved


def _free_name(path: Path) -> Path:
    """`<name>.edited`, or the first of `<name>.edited2`, ... that is free."""
    candidate = path.with_name(f"{path.name}.edited")
    for number in itertools.count(2):
        # a link that leads nowhere does not exist, yet its name is taken
        if not candidate.exists() and not candidate.is_symlink():
            break
        candidate = path.with_name(f"{path.name}.edited{number}")
    return candidate


def digest_of(content: bytes) -> str:
    """SHA-256 of a text, in hex, whatever the ends of its lines."""
    # git may have written them as CRLF: such a file was edited by nobody
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def write_file(path: Path, content: bytes) -> None:
    """The file appears whole or not at all; no other name of the old one is touched.

    Raises OSError, and leaves nothing half-way.
    """
    # in the same folder, so that `replace` is one step on one file system
    half = path.with_name(f".{path.name}.ablate-part")
    half.unlink(missing_ok=True)  # of a process that was killed
    try:
        # x: a link that somebody put there meanwhile is not followed
        with half.open("xb") as file:
            file.write(content)
        half.replace(path)
    except OSError:
        half.unlink(missing_ok=True)
        raise


def _check_writable(folder: Path) -> None:
    # by writing, not by asking: permissions, quotas and read-only disks all show in it
    probe = folder / f".ablate-write-test-{os.getpid()}"
    write_file(probe, b"")
    probe.unlink()


def cannot_be_written(error: OSError, path: Path) -> StoreError:
    """What is said of a folder or file that cannot be written."""
    return StoreError(
        f"the report folder must be writable, {path} is not: {error.strerror or error}; "
        f"free it, or {_WAY_OUT}"
    )
