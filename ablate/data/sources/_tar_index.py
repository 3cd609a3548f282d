"""Where the files of a tar lie in it: headers are read, nothing is unpacked.

A name in an archive is never a path here, so none can lead anywhere; links, devices and sparse
files, whose size is a claim, are refused.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from ablate.data.sources._archived import Fetch
from ablate.data.sources._shards import Shard
from ablate.errors import DataError, escaped, is_printable

_BLOCK = 512
"""Bytes; a tar ends with blocks of zeros, or with the file."""
_MAX_HEADER = 2**20
"""Bytes of one header, with the long names and times that it may carry."""
_PACKED = {b"\x1f\x8b": "gunzip", b"BZ": "bunzip2", b"\xfd7": "unxz", b"(\xb5": "unzstd"}
"""First two bytes of a packed file -> what unpacks it."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a shard."""

    shard: Shard
    name: str
    """POSIX path in the shard."""
    start: int
    """Position of its first byte."""
    n_bytes: int

    @property
    def where(self) -> str:
        """How errors call it."""
        return f"'{escaped(self.name)}' of {self.shard.name}"


class _Headers(io.FileIO):
    """A shard of which headers alone are read; they may claim to be of any length."""

    def read(self, size: int | None = -1) -> bytes:
        """See `io.FileIO.read`."""
        if size is None or not 0 <= size <= _MAX_HEADER:
            raise ValueError(f"a header of {size} bytes")
        return super().read(size) or b""


def members_of(shard: Shard) -> Iterator[Member]:
    """Yield the files of a shard, in its order.

    Raises DataError where it is no whole, unpacked tar, or holds something else than files.
    """
    try:
        # "r:" is a tar that is not packed: in a packed one, nothing can be read where it lies.
        with _Headers(shard.path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            n_all = shard.path.stat().st_size
            while (entry := tar.next()) is not None:
                # Of a million samples, the list of all headers would outweigh everything else.
                tar.members.clear()  # type: ignore[attr-defined]
                if not entry.isdir():
                    yield _member(shard, entry, n_all)
            end = tar.offset
    except DataError:
        raise
    except Exception as error:  # tarfile raises ValueError and others for odd headers
        raise DataError(_no_tar_text(shard)) from error
    _check_end(shard, end)


def _member(shard: Shard, entry: tarfile.TarInfo, n_all: int) -> Member:
    name = entry.name
    if not is_printable(name) or PurePosixPath(name).is_absolute() or ".." in name.split("/"):
        raise DataError(
            f"names in a shard must be relative paths, printable and without '..', {shard.name} "
            f"has '{escaped(name)}'; make the shard again."
        )
    if not entry.isreg() or entry.issparse():
        raise DataError(
            f"a shard must hold plain files only, '{escaped(name)}' of {shard.name} is a link, a "
            "device or sparse; make the shard again."
        )
    if entry.offset_data + entry.size > n_all:
        raise DataError(_cut_off_text(shard))
    return Member(shard, str(PurePosixPath(name)), entry.offset_data, entry.size)


def _check_end(shard: Shard, end: int) -> None:
    """Check that nothing but zeros follows: tarfile takes a damaged header for the end."""
    with shard.path.open("rb") as file:
        file.seek(end)
        following = file.read(_BLOCK)
    if following.strip(b"\0"):
        raise DataError(
            f"a shard must be a whole tar file, {shard.name} has a damaged header at byte {end}; "
            "copy it again."
        )


def _no_tar_text(shard: Shard) -> str:
    with shard.path.open("rb") as file:
        head = file.read(2)
    if head in _PACKED:
        return (
            f"a shard must be a tar file that is not packed, {shard.name} is; images in it are "
            f"packed already: unpack it with {_PACKED[head]}."
        )
    return _cut_off_text(shard)


def _cut_off_text(shard: Shard) -> str:
    return f"a shard must be a whole tar file, {shard.name} is not, or was cut off; copy it again."


def fetch_of(member: Member) -> Fetch:
    """Return a call that reads a file of a shard: from its place, by a file of its own."""
    # A file for each call: threads read at once, and a shared one has one position.
    return partial(_read, member.shard.path, member.start, member.n_bytes, member.where)


def read_text(member: Member, *, most: int) -> str:
    """Return the text of a small file. Raises DataError where it is larger, or not UTF-8."""
    if member.n_bytes > most:
        raise DataError(
            f"a label must have at most {most} bytes, {member.where} has {member.n_bytes}."
        )
    try:
        return fetch_of(member)().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"a label must be in UTF-8, {member.where} is not.") from error


def _read(path: Path, start: int, n_bytes: int, where: str) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(n_bytes)
    except OSError as error:
        raise DataError(f"{where} must be readable, it is not ({error.strerror}).") from error
    if len(content) < n_bytes:
        raise DataError(f"{where} must be whole, its shard became shorter; copy it again.")
    return content
