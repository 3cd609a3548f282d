"""Words of messages: values of a file as they are shown, and the nearest valid word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

_MAX_SHOWN = 80
"""Characters of a value in a message."""
_MAX_LEVELS_SHOWN = 20
_MAX_COMPARED = 100
"""Characters of a word that is compared with others."""
_FAR = 0.5
"""Below this share of common characters (difflib's ratio, 0 to 1) a guess would mislead."""


def nearest(word: object, candidates: Iterable[object]) -> str:
    """`; did you mean 'light'?` for a word that is close to a candidate, else an empty text."""
    # difflib takes time in the square of the length, and no valid word is long.
    if len(str(word)) > _MAX_COMPARED:
        return ""
    close = difflib.get_close_matches(str(word), list(map(str, candidates)), n=1, cutoff=_FAR)
    if not close:
        return ""
    return f"; did you mean {close[0]!r}?"


def shown(value: Any) -> str:
    """A value of the file in a message, shortened where it is long."""
    text = repr(value)
    if len(text) > _MAX_SHOWN:
        text = text[: _MAX_SHOWN - 3] + "..."
    return text


def shown_levels(levels: Sequence[Any]) -> str:
    """The levels of an axis in one line; of many only the first."""
    words = ", ".join(map(shown, levels[:_MAX_LEVELS_SHOWN]))
    n_more = len(levels) - _MAX_LEVELS_SHOWN
    if n_more > 0:
        words = f"{words} and {n_more} more"
    return words
