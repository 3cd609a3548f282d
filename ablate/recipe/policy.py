"""The policy: how train images are varied, as one word that names the view in caches and plans."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

from ablate.recipe.recipe import Recipe

Flip = Literal["none", "horizontal", "vertical", "both"]
DIRECTED_SOURCES = frozenset(
    {
        "torchvision:MNIST",
        "torchvision:KMNIST",
        "torchvision:USPS",
        "torchvision:SVHN",
        "torchvision:GTSRB",
        "torchvision:RenderedSST2",
    }
)
"""Digits, letters, signs and text: mirrored they are other classes, or none."""
_FIELDS = ("flip", "color_jitter", "erase")
"""What may stand behind the level in a policy's word."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A recipe's fields on views, with `flip` settled."""

    augment: str | float
    flip: Flip
    color_jitter: float | None
    erase: float | None


def policy_word(recipe: Recipe, *, source: str) -> str:
    """The policy of a recipe on a data source: `none`, `light`, `0.4`.

    What differs from the level is named too: `light flip=none erase=0.5`.
    """
    augment = str(recipe.augment)
    if _is_off(recipe.augment):
        augment = "none"
    usual = _usual_flip(augment)
    flip: str = recipe.flip
    if flip == "auto":
        # digits, letters and signs mean something else in a mirror
        flip = "none" if source in DIRECTED_SOURCES else usual
    # What is as the level has it is left out: one policy has one word, and names one view.
    # In a fixed order, since the word is hashed into the keys of kept views.
    words = [augment]
    if flip != usual:
        words.append(f"flip={flip}")
    if recipe.color_jitter is not None:
        words.append(f"color_jitter={recipe.color_jitter}")
    if recipe.erase is not None:
        words.append(f"erase={recipe.erase}")
    return " ".join(words)


@lru_cache(maxsize=64)
def policy_of(word: str) -> Policy:
    """Inverse of `policy_word`."""
    augment, fields = _parts_of(word)
    return Policy(
        augment,
        flip=cast(Flip, fields.get("flip", _usual_flip(augment))),
        color_jitter=cast("float | None", fields.get("color_jitter")),
        erase=cast("float | None", fields.get("erase")),
    )


def _usual_flip(augment: str | float) -> Flip:
    """What a level brings along, so that no word has to name it."""
    if augment == "none":
        return "none"
    return "horizontal"


def recipe_of(word: str) -> Recipe:
    """A recipe with the policy of a word that somebody typed: `strong`, `light flip=none`.

    Raises ValueError for what is no policy.
    """
    augment, fields = _parts_of(word)
    return Recipe.model_validate({"augment": augment, **fields})


def level_of(word: str) -> str:
    """The level that a policy's word begins with, as it stands there; "" where it is empty."""
    words = word.split()
    if not words:
        return ""
    return words[0]


def _parts_of(word: str) -> tuple[str | float, dict[str, str | float]]:
    """The level or strength, and the fields that differ from it. Raises ValueError."""
    level, *rest = word.split()
    fields: dict[str, str | float] = {}
    for text in rest:
        name, value = text.split("=")
        if name not in _FIELDS:
            raise ValueError(f"{name} is no field of a policy")
        # the flip is a word, the two others are numbers
        fields[name] = value
        if name != "flip":
            fields[name] = float(value)
    return _number_or_word(level), fields


def _number_or_word(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def is_clean(recipe: Recipe) -> bool:
    """Whether train images are seen as val sees them."""
    return (
        _is_off(recipe.augment)
        # without augmentation "auto" flips nothing
        and recipe.flip in ("auto", "none")
        and not recipe.color_jitter
        and not recipe.erase
    )


def is_cropped(recipe: Recipe) -> bool:
    """Whether train images are random crops."""
    return not _is_off(recipe.augment)


def _is_off(augment: str | float) -> bool:
    # strength 0 goes none of the way from the clean image
    return augment in ("none", 0.0)
