"""The policy: how train images are varied, as one word that names the view in caches and plans."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

from ablate.recipe.recipe import Recipe

Flip = Literal["none", "horizontal", "vertical", "both"]
DIRECTED_SOURCES = frozenset(
    f"torchvision:{name}" for name in ("MNIST", "KMNIST", "USPS", "SVHN", "GTSRB", "RenderedSST2")
)
"""Digits, letters, signs and text: mirrored they are other classes, or none."""


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
    # The word is a part of cache keys: equal views must give equal words, and only they.
    augment = str(recipe.augment)
    if _is_off(recipe.augment):
        augment = "none"  # 0.0 too, so that both spellings share one cache
    words = [augment]
    flip = _settled_flip(recipe, source)
    if flip != _usual_flip(augment):
        words.append(f"flip={flip}")
    if recipe.color_jitter is not None:
        words.append(f"color_jitter={recipe.color_jitter}")
    if recipe.erase is not None:
        words.append(f"erase={recipe.erase}")
    return " ".join(words)


def _settled_flip(recipe: Recipe, source: str) -> Flip:
    """The flip of a recipe, with `auto` settled by the data."""
    if recipe.flip != "auto":
        return recipe.flip
    if source in DIRECTED_SOURCES or _is_off(recipe.augment):
        return "none"
    return "horizontal"


def _usual_flip(augment: str) -> Flip:
    """What a level flips where nothing else is said."""
    return "none" if augment == "none" else "horizontal"


@lru_cache(maxsize=64)
def policy_of(word: str) -> Policy:
    """Inverse of `policy_word`."""
    augment, *settings = word.split()
    fields = dict(setting.split("=") for setting in settings)
    level: str | float = augment
    if augment[0].isdigit():
        level = float(augment)
    return Policy(
        augment=level,
        flip=cast(Flip, fields.get("flip", _usual_flip(augment))),
        color_jitter=_number(fields.get("color_jitter")),
        erase=_number(fields.get("erase")),
    )


def _number(written: str | None) -> float | None:
    return None if written is None else float(written)


def is_clean(recipe: Recipe) -> bool:
    """Whether train images are seen as val sees them."""
    # Falsy covers both null, which follows `augment`, and an explicit 0.
    return (
        _is_off(recipe.augment)
        and recipe.flip in ("auto", "none")
        and not recipe.color_jitter
        and not recipe.erase
    )


def is_cropped(recipe: Recipe) -> bool:
    """Whether train images are random crops."""
    return not _is_off(recipe.augment)


def _is_off(augment: str | float) -> bool:
    return augment in ("none", 0.0)
