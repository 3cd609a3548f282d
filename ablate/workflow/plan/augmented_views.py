"""`ablate views`: train images as each augmentation policy of a grid would show them, taken from the image store and the views that trials take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from ablate.data.augment import clean, views
from ablate.data.augment_levels import POLICIES
from ablate.data.build_store import build_store
from ablate.errors import SpecError, StoreError
from ablate.grid.wording import nearest
from ablate.model.backbone import preprocessing_of
from ablate.recipe.policy import is_cropped, policy_word
from ablate.recipe.recipe import Recipe
from ablate.targets import Targets
from ablate.workflow.plan.contact_sheet import Group, Sheet
from ablate.workflow.prepare.prepared import Progress, Resolved, check_writable

_BESIDE = ("flip", "color_jitter", "erase")
"""Fields that may stand behind a level, as `policy_word` writes them."""


@dataclass(frozen=True)
class Wish:
    """What is asked of a sheet."""

    policies: tuple[Recipe, ...] = ()
    """Recipes whose views are shown beside those of the grid's arms."""
    n_images: int = 6
    n_epochs: int = 2
    backbone: str | None = None
    """Whose image size and interpolation; None: the first by name."""


def read_policy(words: str) -> Recipe:
    """`strong`, `0.4`, `light flip=none` -> a recipe with that policy. Raises SpecError."""
    augment, *beside = words.split() or [""]
    try:
        fields = dict(one.split("=") for one in beside)
        numbers = {
            name: value if name == "flip" else float(value) for name, value in fields.items()
        }
        if not fields.keys() <= set(_BESIDE):
            raise ValueError(fields)
        return Recipe.model_validate(
            {"augment": augment if augment in POLICIES else float(augment), **numbers}
        )
    except (ValueError, ValidationError):
        raise SpecError(
            f"--policy must be one of {', '.join(POLICIES)}, or a strength from 0 to 1, with flip=, color_jitter= or erase= behind it where they are wanted, "
            f"got {words!r}{nearest(augment, POLICIES) if augment not in POLICIES else ''}"
        ) from None


def check_out(path: Path) -> Path:
    """Return the path when a PNG can be written there; its folder is made. Raises StoreError."""
    if path.suffix.lower() != ".png" or path.is_dir():
        raise StoreError(
            f"--out must be the path of a .png file, got {path}{', which is a folder' if path.is_dir() else ''}"
        )
    check_writable(path.parent)
    return path


def shown_policies(resolved: Resolved, more: Sequence[Recipe]) -> dict[str, Recipe]:
    """Policy word -> a recipe that has it: of the arms in their order, of the pilot's, and of what is asked for beside. Without `none`, which is clean."""
    recipes = (*(arm.recipe for arm in resolved.arms_to_check), *more)
    found = {policy_word(recipe, source=resolved.data.source): recipe for recipe in recipes}
    return {word: recipe for word, recipe in found.items() if word != "none"}


def choose_backbone(resolved: Resolved, wanted: str | None) -> str:
    """Return the backbone that is wanted, else the first by name. Raises SpecError for one that the grid has not."""
    names = backbones_of(resolved)
    if wanted is None:
        return names[0]
    if wanted not in names:
        raise SpecError(
            f"--backbone must be a backbone of the grid ({', '.join(names)}), got {wanted!r}{nearest(wanted, names)}"
        )
    return wanted


def backbones_of(resolved: Resolved) -> list[str]:
    """The backbones of all arms, by name."""
    return sorted({arm.recipe.backbone for arm in resolved.arms_to_check})


def take_sheet(resolved: Resolved, wish: Wish, *, home: Path, on_progress: Progress) -> Sheet:
    """Decode what is not in the image store yet, and draw the views of the grid's first seed.

    The store is the one that a run of the grid makes and reads, unless a policy that is asked for beside has crops and no arm has any.
    Raises SpecError, DataError, StoreError.
    """
    backbone, policies = (
        choose_backbone(resolved, wish.backbone),
        shown_policies(resolved, wish.policies),
    )
    wanted = preprocessing_of(backbone, image_size=resolved.data.image_size)
    store = build_store(
        resolved.data_set,
        home=home,
        side=wanted.store_side,
        interpolation=wanted.interpolation,
        fine=wanted.fine_side if any(map(is_cropped, policies.values())) else None,
        on_progress=lambda done, total: on_progress("decoding images", done, total),
    )
    train, seed = store.split("train"), resolved.record.seeds[0]
    targets = store.targets("train")
    rows = spread(targets, wish.n_images)

    def group(word: str) -> Group:
        drawn = [
            views(
                train.images,
                rows,
                policy=word,
                image_size=wanted.image_size,
                interpolation=wanted.interpolation,
                seed=seed,
                epoch=epoch,
                fine=train.fine,
            )
            for epoch in range(wish.n_epochs)
        ]
        return Group(
            word, tuple(f"epoch {epoch + 1}" for epoch in range(wish.n_epochs)), _tiles(drawn)
        )

    return Sheet(
        title=f"{resolved.grid.name}: train images of {resolved.data.source}, seed {seed}, {wanted.image_size} px for {backbone}",
        rows=tuple(_row_name(targets, row, store.class_names) for row in rows),
        groups=(
            Group(
                "clean",
                ("as in val",),
                _tiles([clean(train.images, rows, image_size=wanted.image_size)]),
            ),
            *map(group, policies),
        ),
    )


def describe(resolved: Resolved, wish: Wish, sheet: Sheet) -> str:
    """What is on a sheet and what is not, in one line."""
    words, names = [group.name for group in sheet.groups[1:]], backbones_of(resolved)
    parts = [
        f"{len(sheet.rows)} train images, clean"
        + (f" and under {', '.join(words)} in {wish.n_epochs} epochs" if words else "")
    ]
    if not words:
        parts.append("no arm varies them; --policy light would show what that does")
    if len(names) > 1:
        parts.append(
            f"for {choose_backbone(resolved, wish.backbone)}, one of {len(names)} backbones; --backbone chooses ({', '.join(names)})"
        )
    mixing = [
        name
        for name in ("mixup", "cutmix")
        if any(getattr(arm.recipe, name) for arm in resolved.arms_to_check)
    ]
    if mixing:
        parts.append(f"mixing ({', '.join(mixing)}) is not shown")
    return "; ".join(parts)


def spread(targets: Targets, n_images: int) -> list[int]:
    """Choose rows of train spread over the classes, in turn one of each and ordered by class.

    All rows where there are no more; images without a label are a class of their own. Of more
    classes than images, some evenly apart.
    """
    membership = targets.membership()
    columns = np.column_stack([membership, membership.sum(axis=1) == 0])
    classes = [rows.tolist() for rows in map(np.flatnonzero, columns.T) if len(rows)]
    n_first = min(n_images, len(classes))
    turns = list(
        dict.fromkeys(
            [i * len(classes) // n_first for i in range(n_first)] + list(range(len(classes)))
        )
    )
    chosen: dict[int, int] = {}
    while len(chosen) < min(n_images, len(targets)):
        for turn in turns:
            row = next((row for row in classes[turn] if row not in chosen), None)
            if row is not None and len(chosen) < n_images:
                chosen[row] = turn
    return sorted(chosen, key=lambda row: (chosen[row], row))


def _row_name(targets: Targets, row: int, class_names: Sequence[str]) -> str:
    """The classes that an image has."""
    (positions,) = np.nonzero(targets.membership()[row])
    return ", ".join(class_names[position] for position in positions.tolist()) or "no label"


def _tiles(drawn: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Views of (rows, 3, side, side) each -> (rows, views, side, side, 3)."""
    return np.stack([one.permute(0, 2, 3, 1).numpy() for one in drawn], axis=1)
