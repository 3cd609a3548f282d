"""The version of the form in which a study is kept: its journal, its plan, a trial's description.

    1  plain JSON
    2  JSON with checksums; the lines of a journal count those of their attempt

Every form is read by all later versions of ablate. A form that is newer than this program is
refused before anything is written: what it says may mean something that this program does not know.
"""

from __future__ import annotations

from ablate.errors import StoreError

# Counted up by hand whenever what is stored changes its meaning.
SCHEMA_VERSION = 2
KEY = "schema_version"
"""Where a file of one JSON object says its version; files without it are older than the key."""


class NewerSchema(StoreError):
    """A file that a later version of ablate wrote."""


def check_schema(version: object, *, place: str) -> None:
    """Raise NewerSchema where `place`, a file or a line of one, is of a later version.

    Whatever is no number of a version is left to whoever checks the other values of the file.
    """
    # `type`, since True is an int too.
    if type(version) is int and version > SCHEMA_VERSION:
        raise newer_schema(version, place=place)


def newer_schema(version: object, *, place: str) -> NewerSchema:
    """The error for `place`, which says that its form is of `version`.

    A version that this program knows stands beside content that it does not know: a later version
    of ablate changed the form and forgot to count.
    """
    found = "content that this ablate does not know"
    if type(version) is int and version > SCHEMA_VERSION:
        found = f"version {version}"
    return NewerSchema(
        f"{place} must have schema version {SCHEMA_VERSION} or older, it has {found}: "
        "a newer ablate wrote it; update ablate to open this study."
    )
