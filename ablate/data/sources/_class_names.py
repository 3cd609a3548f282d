"""Names of classes: two that a reader would take for one are refused, not trained as two."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from ablate.errors import DataError

_NUMBER = re.compile(r"\d+(\.\d*)?")
_MAX_DIGITS = 300
"""A float holds numbers of about so many digits; longer ones are compared as text."""


def check_class_names(names: Iterable[str], *, where: str) -> None:
    """Raise DataError where two names differ in case, blanks, Unicode form or zeros alone."""
    seen: dict[str, str] = {}
    for name in sorted(set(names)):
        other = seen.setdefault(_in_one_spelling(name), name)
        if other != name:
            raise DataError(
                f"classes must differ in more than case, blanks, Unicode form or zeros, {where} "
                f"has {other!r} and {name!r}; give both one name, or names that differ."
            )


def _in_one_spelling(name: str) -> str:
    # NFKC, as macOS decomposes accents and some keyboards type full-width letters.
    words = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
    # `07`, `7` and `7.0` are one class that spreadsheets wrote in three ways.
    if _NUMBER.fullmatch(words) and len(words) < _MAX_DIGITS:
        return f"{float(words):.17g}"
    return words


def positions_of(names: Iterable[str], position: Mapping[str, int]) -> tuple[int, ...]:
    """Return the positions of the labels of one image, sorted.

    The order of labels in a cell means nothing, and the fingerprint must not see it.
    """
    positions = []
    for name in names:
        positions.append(position[name])
    return tuple(sorted(positions))


def in_label_order(labels: Iterable[str]) -> list[str]:
    """Return labels sorted; those that are all numbers as numbers: 2 before 10."""
    texts = list(labels)
    if all(map(_is_number, texts)):
        return sorted(texts, key=int)
    return sorted(texts)


def _is_number(label: str) -> bool:
    # isdigit() alone takes superscripts too, which int() refuses.
    return label.isascii() and label.isdigit()
