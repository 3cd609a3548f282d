"""Names of grid files: a grid's name also names its MLflow experiment, folders and report."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from ablate.errors import SpecError

MAX_BYTES = 100
"""Of a name in UTF-8: a study's folder adds source and id, and file systems take 255 bytes."""
# \w holds the letters and digits of every script; no leading dot, dash or underscore, since such
# names are hidden files or options of commands.
_VALID = re.compile(r"[^\W_][\w.-]*")


def check_name(path: Path) -> None:
    """Check that a grid can have the name of its file. Letters and digits of every script can.

    Raises SpecError.
    """
    name = path.stem
    # surrogateescape: names that are no valid UTF-8 reach Python with surrogates in them.
    if len(name.encode(errors="surrogateescape")) > MAX_BYTES:
        raise SpecError(
            f"{str(path)[:200]!r}: the name of a grid file must have at most {MAX_BYTES} bytes, "
            f"got {name[:60]!r}...; it names the experiment, folders and the report: "
            "rename the file"
        )
    # macOS writes decomposed letters (NFD): the same visible name would be two experiments.
    if not _VALID.fullmatch(name) or not unicodedata.is_normalized("NFC", name):
        raise SpecError(
            f"{_shown(path)}: the name of a grid file must be letters, digits, '_', '-' and '.' "
            f"and begin with a letter or digit, got {name!r}; it names the experiment, folders "
            f"and the report: rename the file, e.g. to {valid_name(name)}{path.suffix}"
        )


def valid_name(name: str) -> str:
    """Return a name that a grid may have, and that reads like this one."""
    composed = unicodedata.normalize("NFC", name)
    # A run of what is not allowed becomes one underscore: "my grid (2)" reads my_grid_2.
    words = re.sub(r"[^\w.-]+", "_", composed).strip("_.-")
    if not _VALID.fullmatch(words):
        return "my_grid"  # nothing was left of it that a name may have
    return words


def _shown(path: Path) -> str:
    """The path in one line of a message."""
    shown = str(path)
    if not shown.isprintable():
        shown = repr(shown)
    return shown
