"""What names of classes tell: whether their signs are small, whether they may be mirrored."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Beginnings of words, as folders have them: `scratches`, `cracked`, `defekt`.
_SMALL_SIGNS = (
    "anomal",
    "blowhole",
    "break",
    "broken",
    "chip",
    "crack",
    "damage",
    "defec",
    "defek",
    "dent",
    "faul",
    "fray",
    "hole",
    "lesion",
    "malignan",
    "melanoma",
    "nodule",
    "nominal",
    "scratch",
    "spot",
    "stain",
    "tumor",
    "tumour",
)
_DIRECTED = ("left", "right", "arrow", "digit", "letter", "sign", "speed")
_WORD = re.compile(r"[a-z]+")


def seeks_small_signs(names: Iterable[str]) -> bool:
    """Whether some name of a class or folder speaks of a defect, a lesion or the like.

    Words say what images rarely show at a glance; they are a guess, and printed as one.
    """
    return any(_begins(name, _SMALL_SIGNS) for name in names)


def may_flip(names: Iterable[str]) -> bool:
    """False where classes are digits or letters, or speak of a direction."""
    n_names = 0
    n_characters = 0
    for name in names:
        if _begins(name, _DIRECTED):
            return False
        n_names += 1
        n_characters += len(name.strip()) == 1
    # Half: `A` to `Z` beside `space` and `nothing` are still letters.
    return n_characters <= n_names / 2


def _begins(name: str, beginnings: tuple[str, ...]) -> bool:
    return any(word.startswith(beginnings) for word in _WORD.findall(name.lower()))
