"""What arms are called: the axes that matter for them, each with its level."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ablate.recipe.canonical import relevant
from ablate.recipe.levels import level_text
from ablate.recipe.recipe import Recipe


def arm_name(axes: Sequence[str], recipe: Recipe, *, n_digits: int | None = None) -> str:
    """Name an arm by its levels of `axes`, those left out that cannot matter for it.

    `n_digits` shortens numbers: a sampler's are long fractions, unlike levels that a grid lists.
    """
    # Fields that can change what this recipe trains: without an adapter `lora_alpha` cannot.
    matter = relevant(recipe)
    words: list[str] = []
    for axis in axes:
        if axis in matter:
            words.append(f"{axis}={level_word(getattr(recipe, axis), n_digits)}")
    # No axis matters for it, or there is none: it is the recipe of `base` as it stands.
    return " ".join(words) or "base"


def unique_arm_names(axes: Sequence[str], recipes: Mapping[str, Recipe]) -> dict[str, str]:
    """arm_id -> name; names are unique.

    Levels that are lists of text can read alike, `[a, b]` and `[a+b]`: such arms carry their ids.
    """
    names = {}
    for arm_id, recipe in recipes.items():
        names[arm_id] = arm_name(axes, recipe)
    counts = Counter(names.values())
    for arm_id, name in names.items():
        if counts[name] > 1:
            names[arm_id] = f"{name} ({arm_id})"
    return names


def level_word(level: Any, n_digits: int | None = None) -> str:
    """A level in a name: `level_text`, with numbers to `n_digits` where given.

    Lists are always in their short form, since names that read alike get ids beside them.
    """
    if isinstance(level, tuple):
        return "+".join(map(str, level)) or "none"
    if isinstance(level, float) and n_digits is not None:
        return f"{level:.{n_digits}g}"
    return level_text(level)
