"""Standard output and error as ablate uses them.

No reader that has gone, full disk or narrow encoding ends a study.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from typing import TextIO

# What our own texts hold beyond ASCII, for terminals of the C locale.
_PLAIN = {
    "±": "+-",
    "×": "x",
    "→": "->",
    "…": "...",
    "–": "-",
    "—": "-",
    "≤": "<=",
    "≥": ">=",
    "·": ".",
}
_ERRORS = "ablate.plain"
"""Name of the handler that writes characters which an encoding lacks."""
_BEFORE = "replace"
"""What stands in for it until it is registered."""


class PatientStream(io.TextIOWrapper):
    """Text for whoever reads it.

    Once it cannot be written (`| head` has ended, a disk is full), the rest goes nowhere.
    """

    def write(self, text: str) -> int:
        """Return the characters taken, as if they had been written."""
        try:
            super().write(text)
        except OSError:
            self._forget()
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, or forget it."""
        try:
            super().flush()
        except OSError:
            self._forget()

    def _forget(self) -> None:
        """Point the stream at nothing; what it still holds goes there too."""
        # The descriptor itself is pointed elsewhere, so that C libraries that write to it do not
        # fail either.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            super().flush()


def ensure_utf8() -> None:
    """Begin again with UTF-8 for files where the locale has another encoding.

    Reports, grids and names hold more than ASCII. The terminal keeps its own encoding.
    """
    # The usual case: nothing to do.
    if sys.getfilesystemencoding().lower() in ("utf-8", "utf8"):
        return
    encoding = "utf-8"
    if sys.stdout:  # None where it was closed
        encoding = f"{sys.stdout.encoding}:{_BEFORE}"
    os.environ.setdefault("PYTHONIOENCODING", encoding)
    os.environ["PYTHONUTF8"] = "1"
    # Python reads the variable at its start alone, so the same program starts again, in place.
    command = [sys.executable, *sys.orig_argv[1:]]
    os.execv(sys.executable, command)  # noqa: S606  no shell


def be_patient() -> None:
    """Make standard output and error such streams; open again those that were closed."""
    codecs.register_error(_ERRORS, _in_plain_characters)
    # Else the next file that is opened takes the place of a closed one.
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = _patient(sys.stdout, 1)
    sys.stderr = _patient(sys.stderr, 2)


def _patient(stream: TextIO | None, descriptor: int) -> PatientStream:
    if not isinstance(stream, io.TextIOWrapper):  # closed
        return PatientStream(
            io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False)),
            encoding="utf-8",
            errors=_ERRORS,
        )
    encoding = stream.encoding
    line_buffering = stream.line_buffering
    write_through = stream.write_through
    # From here on the old stream is of no use: its buffer belongs to the new one.
    return PatientStream(
        stream.detach(),
        encoding=encoding,
        errors=_ERRORS,
        line_buffering=line_buffering,
        write_through=write_through,
    )


def _in_plain_characters(error: UnicodeError) -> tuple[str, int]:
    """Characters that an encoding lacks, in those that every encoding has."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    plain = ""
    # Python hands over a whole run of characters that it cannot encode.
    for character in error.object[error.start : error.end]:
        plain += _PLAIN.get(character, "?")
    return plain, error.end
