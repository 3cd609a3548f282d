"""What an unquoted word of a grid file is.

Null, true or false, a number in decimal digits, else text. Dates, octal and hexadecimal numbers and
1:30 stay text.
"""

from __future__ import annotations

import re
from typing import Any

MAX_DIGITS = 100
"""Characters of a number: no field takes longer ones, and Python converts only a few thousand."""
# A key without a value (`weights:`) is null too.
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE_WORDS = ("yes", "true", "on")
_FALSE_WORDS = ("no", "false", "off")


def _spellings(words: tuple[str, ...], value: bool) -> dict[str, bool]:
    """YAML 1.1 takes each of these words in three spellings: `yes`, `Yes`, `YES`."""
    spellings: dict[str, bool] = {}
    for word in words:
        spellings |= {word: value, word.title(): value, word.upper(): value}
    return spellings


_BOOLS = _spellings(_TRUE_WORDS, True) | _spellings(_FALSE_WORDS, False)
# ASCII digits alone: \d would take every script's. Underscores may group digits: 10_000.
_INT = re.compile(r"[-+]?(0|[1-9]\d*(_\d+)*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\d+(_\d+)*(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
# Digits without a point or an exponent that are no int either: they begin with zeros.
_NO_FLOAT = re.compile(r"[-+]?[\d_]+", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# Versions of YAML disagree on these (010 is 8 in 1.1 and 10 in 1.2), so they stay text; where a
# number is wanted, the message says how to write it.
_LEADING_ZEROS = re.compile(r"[-+]?0[\d_]+", re.ASCII)
_OTHER_BASE = re.compile(r"[-+]?0[xXbBoO][\da-fA-F_]+", re.ASCII)
_SEXAGESIMAL = re.compile(r"[-+]?\d+(:\d+)+(\.\d*)?", re.ASCII)
_COMMA = re.compile(r"[-+]?\d+,\d+", re.ASCII)


def plain_value(word: str) -> Any:
    """Return what an unquoted word stands for.

    `1e-3` is a number, as in YAML 1.2 (PyYAML reads it as text); `yes` and `no` are switches, as
    in YAML 1.1. Raises ValueError for a number of more than `MAX_DIGITS` characters.
    """
    if word in _NULLS:
        return None
    if word in _BOOLS:
        return _BOOLS[word]
    number = _number_type(word)
    if number is None:
        return word
    if len(word) > MAX_DIGITS:
        raise ValueError(f"must be a number of at most {MAX_DIGITS} characters, got {len(word)}")
    digits = word.replace("_", "").lower()
    # YAML writes `.inf` and `.nan`, Python reads `inf` and `nan`.
    return number(digits.replace(".inf", "inf").replace(".nan", "nan"))


def _number_type(word: str) -> type[int] | type[float] | None:
    """Which type reads the word as a number, None where it is text."""
    if _INT.fullmatch(word):
        return int
    # `007` fits the pattern of a float but may be an id: it stays text, and gets a hint below.
    if _FLOAT.fullmatch(word) and not _NO_FLOAT.fullmatch(word):
        return float
    if _NOT_FINITE.fullmatch(word):
        return float
    return None


def number_hint(value: Any) -> str:
    """How to write a text that was meant as a number, for the end of a sentence; else empty."""
    if not isinstance(value, str) or len(value) > MAX_DIGITS:
        return ""
    if _number_type(value) is not None:
        return "; write numbers without quotes"
    if _LEADING_ZEROS.fullmatch(value):
        return "; write numbers without leading zeros"
    if _OTHER_BASE.fullmatch(value) or _SEXAGESIMAL.fullmatch(value):
        return "; write numbers in decimal digits"
    if _COMMA.fullmatch(value):
        return "; the decimal separator is a point"
    return ""
