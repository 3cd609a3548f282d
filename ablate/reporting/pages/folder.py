"""Which folder a report may be written to: an empty one, or one that holds an earlier report of the same grid. What else lies there stays as it is.

A report leaves a mark: the grid, and a digest of each file that it wrote. Only what a mark lists is ever replaced, removed or uploaded.
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
_LITTER = frozenset({".DS_Store", ".gitignore", ".gitkeep", "Thumbs.db", "desktop.ini", MARK})
"""Files that say nothing of what a folder is for."""


class Mark(BaseModel):
    """What an earlier report of ours says of the folder that it is in."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    grid: str
    files: dict[str, str]
    """Path below the folder -> SHA-256 of what was written, in hex; empty where it is not known."""


def read_mark(out: Path) -> Mark | None:
    """The mark in a folder, or what a report from before there were marks wrote; None where there is neither. Raises OSError."""
    path = out / MARK
    if path.is_symlink() or not path.is_file():
        return _mark_of_the_unmarked(out)
    try:
        mark = Mark.model_validate_json(path.read_bytes())
    except ValidationError:
        return _mark_of_the_unmarked(out)
    return mark.model_copy(
        update={
            "files": {
                name: digest for name, digest in mark.files.items() if _WRITTEN.fullmatch(name)
            }
        }
    )


def _mark_of_the_unmarked(out: Path) -> Mark | None:
    found = unmarked_report(out)
    return (
        None if found is None else Mark(grid=found.grid_name, files=dict.fromkeys(found.files, ""))
    )


def write_mark(out: Path, mark: Mark) -> None:
    """Leave the mark. Raises OSError."""
    write_file(out / MARK, f"{mark.model_dump_json(indent=1)}\n".encode())


def check_folder(out: Path, *, grid_name: str, others: Mapping[str, Path]) -> Mark:
    """Make sure that `out` may hold a report of `grid_name`; return the mark that is there, or a new one. Writes nothing.

    `others`: what folders of the machine are for -> the folder; none of them may become a report's. Raises StoreError for a folder that holds files and no
    report of the grid, or that serves another purpose.
    """
    check_purpose(out, others)
    try:
        return _mark_for(out, grid_name=grid_name)
    except OSError as error:
        raise cannot_be_written(error, Path(error.filename or out)) from error


def claim_folder(out: Path, *, grid_name: str, others: Mapping[str, Path]) -> Mark:
    """The same, and leave the mark there, so that what others put into the folder later does not make it theirs. Raises StoreError for what cannot be
    written too."""
    mark = check_folder(out, grid_name=grid_name, others=others)
    try:
        for folder in (out, *(out / name for name in SUBFOLDERS)):
            folder.mkdir(parents=True, exist_ok=True)
            _check_writable(folder)
        write_mark(out, mark)
    except OSError as error:
        raise cannot_be_written(error, Path(error.filename or out)) from error
    return mark


def _mark_for(out: Path, *, grid_name: str) -> Mark:
    for folder in (out, *out.parents):
        if folder.exists() or folder.is_symlink():
            if not folder.is_dir():
                raise StoreError(
                    f"the report folder must be a folder, {folder} is a file or leads nowhere; free it, or name another report folder"
                )
            break
    for name in SUBFOLDERS:
        _check_subfolder(out / name)
    mark = read_mark(out)
    if mark is None:
        stranger = first_file(out)
        if stranger is not None:
            raise StoreError(
                f"the report folder must be empty or hold an earlier report of ablate, {out} holds {stranger} and no report; name another report folder"
            )
        return Mark(grid=grid_name, files={})
    if mark.grid != grid_name:
        raise StoreError(
            f"the report folder must hold no report of another grid, {out} holds that of {mark.grid!r}, not of {grid_name!r}; name another report folder"
        )
    return mark


def _check_subfolder(folder: Path) -> None:
    if folder.is_symlink():
        raise StoreError(
            f"{folder.name}/ of a report must be a folder of its own, {folder} is a link; remove the link, or name another report folder"
        )
    if folder.exists() and not folder.is_dir():
        raise StoreError(
            f"{folder.name}/ of a report must be a folder of its own, {folder} is a file; move the file, or name another report folder"
        )


def check_purpose(out: Path, others: Mapping[str, Path]) -> None:
    """Raise StoreError where `out` is one of the folders that serve another purpose, or lies in one."""
    place = out.resolve()
    for purpose, folder in others.items():
        if place.is_relative_to(folder.resolve()):
            raise StoreError(
                f"the report folder must lie outside {purpose}, {out} lies in {folder}; name another report folder"
            )


def first_file(out: Path) -> str | None:
    """Path below `out` of a file that somebody keeps there; None for a folder that is empty, holds nothing but empty folders, or is not there."""
    return next(_files(out), None)


def _files(out: Path) -> Iterator[str]:
    for folder, subfolders, names in os.walk(out, onerror=_refuse):
        subfolders.sort()
        links = [name for name in subfolders if Path(folder, name).is_symlink()]
        for name in sorted([*names, *links]):
            if name not in _LITTER:
                yield Path(folder, name).relative_to(out).as_posix()


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def check_in_the_way(out: Path, mark: Mark, names: Collection[str]) -> None:
    """Raise StoreError where one of `names` would replace a file that no report wrote, or a link."""
    for name in names:
        path = out / name
        if path.is_symlink():
            raise StoreError(
                f"a report must write files of its own, {path} is a link; remove the link, or name another report folder"
            )
        if path.exists() and (name not in mark.files or not path.is_file()):
            raise StoreError(
                f"a report must not replace what it did not write, {path} is such a file; move it, or name another report folder"
            )


def remove_stale(out: Path, mark: Mark, names: Collection[str]) -> None:
    """Remove what an earlier report wrote, nobody has changed since, and the new one, of files `names`, does not have. Raises OSError."""
    for name, digest in mark.files.items():
        path = out / name
        if name in names or path.is_symlink() or not path.is_file():
            continue
        if digest in ("", digest_of(path.read_bytes())):
            path.unlink()


def set_aside_edited(out: Path, mark: Mark, names: Collection[str]) -> dict[str, Path]:
    """Rename those of `names` that somebody changed after a report had written them; return name -> where it is now. Raises OSError."""
    moved = {}
    for name in names:
        path = out / name
        if (
            mark.files.get(name)
            and path.is_file()
            and digest_of(path.read_bytes()) != mark.files[name]
        ):
            moved[name] = path.rename(_free_name(path))
    return moved


def _free_name(path: Path) -> Path:
    candidates = (
        path.with_name(f"{path.name}.edited{number}")
        for number in itertools.chain([""], itertools.count(2))
    )
    return next(one for one in candidates if not one.exists() and not one.is_symlink())


def digest_of(content: bytes) -> str:
    """SHA-256 in hex; the ends of lines do not count, which a version control may have changed."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def write_file(path: Path, content: bytes) -> None:
    """The file appears whole or not at all; no other name of the old one is touched. Raises OSError, and leaves nothing half-way."""
    half = path.with_name(f".{path.name}.ablate-part")
    half.unlink(missing_ok=True)
    try:
        with half.open("xb") as file:
            file.write(content)
        half.replace(path)
    except OSError:
        half.unlink(missing_ok=True)
        raise


def _check_writable(folder: Path) -> None:
    probe = folder / f".ablate-write-test-{os.getpid()}"
    write_file(probe, b"")
    probe.unlink()


def cannot_be_written(error: OSError, path: Path) -> StoreError:
    """What is said of a folder or file that cannot be written."""
    return StoreError(
        f"the report folder must be writable, {path} is not: {error.strerror or error}; free it, or name another report folder"
    )
