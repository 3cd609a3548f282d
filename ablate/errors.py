"""Every error that `ablate` raises on purpose.

AblateError
├── RequestError        what was asked cannot be done; nothing was started (exit code 2)
│   ├── SpecError       the grid file, or a combination that it asks for
│   ├── DataError       the images, their labels or their splits
│   ├── WeightsError    pretrained weights that are not available or do not fit
│   └── StoreError      a folder or tracking store that cannot be used
│       └── StudyStopped    one that failed after the study began; what ended is kept (exit code 1)
├── ReportError         the report or the model failed; a command makes it again (exit code 1)
├── TrialError          one trial cannot go on; the trial fails, the study goes on (exit code 1)
└── CheckFailed         an invariant of ablate does not hold: a bug here, never the user's mistake

A message says what must hold, what came, where, and the way out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


class AblateError(Exception):
    """Root of the tree, so that a caller can catch everything that ablate says on purpose."""


class RequestError(AblateError):
    """What was asked cannot be done. Nothing was started and nothing was lost."""


class SpecError(RequestError):
    """A grid file, or something that it asks for, is wrong."""


class DataError(RequestError):
    """The images, their labels or their splits are missing or wrong."""


class WeightsError(RequestError):
    """Pretrained weights are not available, or do not fit the backbone."""


class StoreError(RequestError):
    """A folder or a tracking store cannot be used."""


class StudyStopped(StoreError):
    """A study that had begun cannot go on, e.g. because its disk is full.

    What has ended is kept, and the same command resumes.
    """


class ReportError(AblateError):
    """A report or a model could not be made after the trials.

    They are kept, and the message names the command that makes it.
    """


class TrialError(AblateError):
    """One trial cannot go on. The trial is recorded as failed and the study goes on."""


class CheckFailed(AblateError):
    """An invariant of ablate itself is broken. Please report it with the traceback."""


def some(names: Sequence[str], *, most: int) -> str:
    """Return the first `most` names of a list in one line, and how many more there are."""
    shown = ", ".join(names[:most])
    n_more = len(names) - most
    if n_more <= 0:
        return shown
    return f"{shown} and {n_more} more"


def plural(n: int, noun: str) -> str:
    """`1 seed`, `2 seeds`, `2 classes`."""
    if n == 1:
        return f"{n} {noun}"
    if noun.endswith("s"):
        return f"{n} {noun}es"
    return f"{n} {noun}s"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; empty where it has no message."""
    lines = str(error).splitlines()
    if not lines:
        return ""
    return lines[0]


_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories: control characters, bytes that are not UTF-8, and breaks."""


def is_printable(name: str) -> bool:
    """Whether a name is Unicode without control characters and line breaks."""
    return not any(unicodedata.category(letter) in _UNPRINTABLE for letter in name)


def escaped(name: str, *, most: int = 200) -> str:
    r"""Return a name as it can be printed anywhere, `fa\xe7ade.png`.

    A long one is cut in the middle.
    """
    text = "".join(map(_escaped_letter, name))
    if len(text) <= most:
        return text
    # In the middle: the beginning says where, and the end of a file's name which.
    return f"{text[: most // 2]}...{text[-most // 2 :]} ({len(name)} characters)"


def _escaped_letter(letter: str) -> str:
    if is_printable(letter):
        return letter
    if "\udc80" <= letter <= "\udcff":  # a byte that is not UTF-8, as os.fsdecode keeps it
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")
