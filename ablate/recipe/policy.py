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
    usual = "none" if _is_off(recipe.augment) else "horizontal"
    flip = recipe.flip if recipe.flip != "auto" else "none" if source in DIRECTED_SOURCES else usual
    augment = "none" if _is_off(recipe.augment) else str(recipe.augment)
    words = [augment, f"flip={flip}" if flip != usual else ""]
    words += [
        f"{name}={value}"
        for name, value in (("color_jitter", recipe.color_jitter), ("erase", recipe.erase))
        if value is not None
    ]
    return " ".join(word for word in words if word)


@lru_cache(maxsize=64)
def policy_of(word: str) -> Policy:
    """Inverse of `policy_word`."""
    augment, *rest = word.split()
    fields = dict(one.split("=") for one in rest)
    flip = cast(Flip, fields.get("flip", "none" if augment == "none" else "horizontal"))
    jitter, erase = (
        float(fields[name]) if name in fields else None for name in ("color_jitter", "erase")
    )
    return Policy(float(augment) if augment[0].isdigit() else augment, flip, jitter, erase)


def is_clean(recipe: Recipe) -> bool:
    """Whether train images are seen as val sees them."""
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
