"""Remembered answers as small JSON files, and what tells that a file was changed since."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from ablate.files import write_text


def read_answer(path: Path) -> dict[str, Any] | None:
    """What was remembered under a path; None where nothing was, or it cannot be read."""
    try:
        answer = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(answer, dict):
        return None
    return answer


def write_answer(path: Path, answer: dict[str, Any]) -> None:
    """Remember an answer. A home that takes no files costs time, not the plan."""
    with suppress(OSError):
        write_text(path, json.dumps(answer))


def stamps_of(file: Path | None) -> dict[str, list[int] | None]:
    """Absolute path -> what changes when the file is written, or another takes its name.

    None where it is not there; without a file there is nothing to stamp.
    """
    if file is None:
        return {}
    try:
        stat = file.stat()
    except (OSError, ValueError):
        return {str(file.absolute()): None}
    # Size and time of writing can be set to what they were; the time of change cannot.
    stamp = [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    return {str(file.absolute()): stamp}
