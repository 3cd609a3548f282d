"""Words that people chose (folders, titles, questions, messages), quoted for their place.

Whatever they hold, they stay words: no element, no link, no formula, no second line, and no text
that runs the other way.
"""

from __future__ import annotations

import re

REPLACEMENT = "\ufffd"
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e"
    "\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)
"""Control characters, marks that turn the direction of what follows, and halves of characters.

No file can hold the last.
"""
# What no file can hold in UTF-8; a cell keeps all other characters as they are.
_HALVES = re.compile("[\ud800-\udfff]")
# A backslash does not help against these: HTML is passed through, and a cell ends at a bar.
_ENTITIES = {"<": "&lt;", ">": "&gt;", "|": "&#124;", "&": "&amp;"}
_MARKUP = re.compile(r"[\\`*\[\]<>|~$#]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")
"""What Markdown reads wherever it stands; an underscore inside a word is none of it."""
# What Markdown reads only at the start of a line: a list, a heading's underline, a number.
_BLOCK_START = re.compile(
    r"^(?:(?P<mark>[-+=:])(?=[\s=:+-]|$)|(?P<number>\d{1,9})(?P<dot>[.)])(?=\s|$))"
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What spreadsheets take for the beginning of a formula, full-width forms too."""
_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_NUMBERS = re.compile(rf"{_NUMBER}(?:\|{_NUMBER})*(?: x (?:{_NUMBER}|\w[\w.]*)(?:\|{_NUMBER})*)*")
"""A number, or levels of axes that begin with one: `-1`, `-1|0`, `-1 x light`.

Nothing that a spreadsheet could compute.
"""
# What ends a path in running text.
_STOP = r"\s/\\'\"`:;,()<>|"
_QUOTED_PATH = re.compile(
    r"(?P<quote>['\"])(?:/|[A-Za-z]:[\\/])[^'\"\n]*[\\/](?P<name>[^/\\'\"\n]+)[\\/]?(?P=quote)"
)
_PATH = re.compile(
    rf"(?<![\w:/.~…\\-])(?:/|[A-Za-z]:[\\/])(?:[^{_STOP}]+[\\/])+(?P<name>[^{_STOP}]*)"
)
_FILE_URI = re.compile(rf"\b(?P<scheme>[a-z][a-z+]*):///+(?:[^{_STOP}]+/)*(?P<name>[^{_STOP}]*)")


def one_line(text: str) -> str:
    """The text on one line, with one space for every run of white space.

    A replacement character stands for what cannot be seen.
    """
    return _UNSEEN.sub(REPLACEMENT, " ".join(text.split()))


def text(words: str) -> str:
    """Markdown that shows just these words, wherever it stands.

    In a line of prose, a heading, a cell of a table or an alt text.
    """
    quoted = _MARKUP.sub(_quoted_mark, one_line(words))
    return _BLOCK_START.sub(_without_block, quoted)


def _quoted_mark(match: re.Match[str]) -> str:
    # Entities where Markdown passes HTML through, or ends a table's cell, in spite of a backslash.
    mark = match[0]
    return _ENTITIES.get(mark, f"\\{mark}")


def _without_block(match: re.Match[str]) -> str:
    if match["mark"]:
        return f"\\{match['mark']}"
    return f"{match['number']}\\{match['dot']}"


def code(name: str) -> str:
    """A code span of Markdown, for names: nothing inside it is read as Markdown.

    A backtick becomes an apostrophe.
    """
    line = one_line(name).replace("`", "'")
    if "\\|" in line:  # dialects disagree on what ends a table's cell there
        return text(line)
    return f"`{line or ' '}`"


def cell(value: str) -> str:
    """A cell of a CSV file that no spreadsheet takes for a formula: an apostrophe goes before it.

    Numbers stay as they are.
    """
    printed = _HALVES.sub(REPLACEMENT, value)
    if _is_formula(printed):
        return f"'{printed}"
    return printed


def from_cell(printed: str) -> str:
    """Inverse of `cell`."""
    # Only an apostrophe that `cell` put there: one before plain words is the words' own.
    if printed.startswith("'") and _is_formula(printed[1:]):
        return printed[1:]
    return printed


def _is_formula(value: str) -> bool:
    # Behind apostrophes too, so that a name that begins with one comes back as it was.
    return value.lstrip("' ").startswith(_FORMULA_STARTS) and _NUMBERS.fullmatch(value) is None


def without_folders(message: str) -> str:
    """The message with the last name alone of every absolute path in it.

    Where a machine keeps its files is nobody's business.
    """
    # Quoted paths first: they alone may hold spaces, and what is left of them would match again.
    message = _QUOTED_PATH.sub(r"\g<quote>…/\g<name>\g<quote>", message)
    message = _FILE_URI.sub(r"…/\g<name>", message)
    return _PATH.sub(r"…/\g<name>", message)
