"""`ablate views`: train images as each augmentation policy of a grid would show them.

They are taken from the image store and by the functions that trials use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.augment import clean, views
from ablate.data.augment_levels import POLICIES
from ablate.data.store import ImageStore
from ablate.errors import SpecError, StoreError
from ablate.grid.wording import nearest
from ablate.model.backbone import preprocessing_of
from ablate.model.backbone_facts import Preprocessing
from ablate.recipe.policy import is_cropped, level_of, policy_word, recipe_of
from ablate.recipe.recipe import Recipe
from ablate.study.record import ArmRecord
from ablate.study.view_identity import CLEAN
from ablate.targets import Targets
from ablate.workflow.plan.contact_sheet import Group, Sheet
from ablate.workflow.plan.find_arm import find_arm
from ablate.workflow.prepare.image_stores import Progress, store_for
from ablate.workflow.prepare.resolved import Resolved
from ablate.workflow.prepare.writable import check_writable


@dataclass(frozen=True)
class SheetRequest:
    """What a sheet is to show."""

    policies: tuple[Recipe, ...] = ()
    """Recipes whose views are shown beside those of the grid's arms."""
    n_images: int = 6
    n_epochs: int = 2
    backbone: str | None = None
    """Whose image size and interpolation; None: the first by name."""
    arm: str | None = None
    """Whose image size and view, as `ablate plan` names it; None: the first of the backbone."""


def read_policy(words: str) -> Recipe:
    """`strong`, `0.4`, `light flip=none` -> a recipe with that policy. Raises SpecError."""
    try:
        return recipe_of(words)
    except ValueError:  # pydantic's ValidationError is one, too
        # A policy that is right stands with something wrong behind it: nothing to guess then.
        level = level_of(words)
        guess = ""
        if level not in POLICIES:
            guess = nearest(level, POLICIES)
        raise SpecError(
            f"--policy must be one of {', '.join(POLICIES)}, or a strength from 0 to 1, "
            "with flip=, color_jitter= or erase= behind it where they are wanted, "
            f"got {words!r}{guess}"
        ) from None


def check_out(path: Path) -> Path:
    """Return the path when a PNG can be written there; its folder is made. Raises StoreError."""
    what = ""
    if path.is_dir():
        what = ", which is a folder"
    if path.suffix.lower() != ".png" or path.is_dir():
        raise StoreError(f"--out must be the path of a .png file, got {path}{what}")
    check_writable(path.parent)
    return path


def shown_policies(resolved: Resolved, more: Sequence[Recipe]) -> dict[str, Recipe]:
    """Policy word -> a recipe that has it: of the arms, of the pilot's, and of `more`.

    In their order, each once; without `none`, which is clean.
    """
    recipes = [arm.recipe for arm in resolved.arms_to_check]
    shown: dict[str, Recipe] = {}
    for recipe in (*recipes, *more):
        # The source settles `flip: auto`: digits are not mirrored, whoever asks.
        shown[policy_word(recipe, source=resolved.data.source)] = recipe
    shown.pop(CLEAN, None)
    return shown


def choose_backbone(resolved: Resolved, wanted: str | None) -> str:
    """Return the backbone that is wanted, else the first by name.

    Raises SpecError for one that the grid does not have.
    """
    names = backbones_of(resolved)
    if wanted is None:
        return names[0]
    if wanted not in names:
        raise SpecError(
            f"--backbone must be a backbone of the grid ({', '.join(names)}), "
            f"got {wanted!r}{nearest(wanted, names)}"
        )
    return wanted


def choose_arm(resolved: Resolved, request: SheetRequest) -> ArmRecord:
    """Return the arm whose images are shown: the one asked for, else the backbone's first.

    Raises SpecError for one that the grid does not have.
    """
    arms = resolved.arms_to_check
    if request.arm is not None:
        return find_arm(arms, request.arm, otherwise="")
    backbone = choose_backbone(resolved, request.backbone)
    return next(arm for arm in arms if arm.recipe.backbone == backbone)


def backbones_of(resolved: Resolved) -> list[str]:
    """The backbones of all arms, by name."""
    # By name, not in the grid's order: the first one is the default of `--backbone`.
    return sorted({arm.recipe.backbone for arm in resolved.arms_to_check})


def take_sheet(
    resolved: Resolved, request: SheetRequest, *, home: Path, on_progress: Progress
) -> Sheet:
    """Decode what is not in the image store yet, and draw the views of the grid's first seed.

    The store is the one that a run of the grid makes and reads, unless a policy that is asked for
    beside has crops and no arm has any. Raises SpecError, DataError, StoreError.
    """
    recipe = choose_arm(resolved, request).recipe
    policies = shown_policies(resolved, request.policies)
    shown = resolved.data.shown_to(recipe)
    wanted = preprocessing_of(recipe.backbone, image_size=shown.image_size).as_shown(shown)
    store = store_for(
        wanted,
        resolved.data_set,
        home=home,
        has_crops=any(map(is_cropped, policies.values())),
        on_progress=on_progress,
    )
    seed = resolved.record.seeds[0]
    drawing = _Drawing(store, wanted, spread(store.targets("train"), request.n_images), seed)
    groups = [drawing.clean_group()]
    for word in policies:
        groups.append(drawing.group(word, n_epochs=request.n_epochs))
    title = (
        f"{resolved.grid.name}: train images of {resolved.data.source}, seed {seed}, "
        f"{wanted.image_size} px for {recipe.backbone}{_tiles_words(wanted)}"
    )
    return Sheet(title, drawing.row_names(), tuple(groups))


def _tiles_words(wanted: Preprocessing) -> str:
    """What a row is, where it is not an image."""
    if wanted.tiles is None:
        return ""
    return f", one of {wanted.tiles} tiles of each image"


@dataclass(frozen=True)
class _Drawing:
    """The chosen train images, as different policies show them."""

    store: ImageStore
    wanted: Preprocessing
    rows: Sequence[int]
    """Positions of images in train."""
    seed: int

    def clean_group(self) -> Group:
        """The images as val is seen: what every view starts from."""
        train = self.store.split("train")
        drawn = clean(train.images, self._shown_rows(), image_size=self.wanted.image_size)
        return Group("clean", ("as in val",), _tiles([drawn]))

    def group(self, word: str, *, n_epochs: int) -> Group:
        """One column per epoch: views differ between epochs, and not between runs."""
        train = self.store.split("train")
        captions = []
        drawn = []
        for epoch in range(n_epochs):
            captions.append(f"epoch {epoch + 1}")
            of_epoch = views(
                train.images,
                self._shown_rows(),
                policy=word,
                image_size=self.wanted.image_size,
                interpolation=self.wanted.interpolation,
                seed=self.seed,
                epoch=epoch,
                fine=train.fine,
            )
            drawn.append(of_epoch)
        return Group(word, tuple(captions), _tiles(drawn))

    def _shown_rows(self) -> list[int]:
        """Of each image its row, or one of its tiles: another one from image to image."""
        n_tiles = self.store.split("train").n_tiles
        rows = []
        for number, image in enumerate(self.rows):
            rows.append(image * n_tiles + number % n_tiles)
        return rows

    def row_names(self) -> tuple[str, ...]:
        """The classes that each image has."""
        membership = self.store.targets("train").membership()
        names = []
        for row in self.rows:
            classes = []
            for index in np.flatnonzero(membership[row]):
                classes.append(self.store.class_names[index])
            names.append(", ".join(classes) or "no label")
        return tuple(names)


def describe(resolved: Resolved, request: SheetRequest, sheet: Sheet) -> str:
    """What is on a sheet and what is not, in one line."""
    words = [group.name for group in sheet.groups[1:]]
    shown = f"{len(sheet.rows)} train images, clean"
    if words:
        parts = [f"{shown} and under {', '.join(words)} in {request.n_epochs} epochs"]
    else:
        parts = [shown, "no arm varies them; --policy light would show what that does"]
    arm = choose_arm(resolved, request)
    names = backbones_of(resolved)
    if len(names) > 1:
        parts.append(
            f"for {arm.recipe.backbone}, one of {len(names)} backbones; "
            f"--backbone chooses ({', '.join(names)})"
        )
    # A dictionary, since they keep the order of the grid.
    ways = dict.fromkeys(resolved.data.shown_to(one.recipe) for one in resolved.arms_to_check)
    if len(ways) > 1:
        parts.append(
            f"as images are shown in arm {arm.name}, {resolved.data.shown_to(arm.recipe)}, "
            f"one of {len(ways)} ways; --arm chooses"
        )
    # Mixed images are made of a batch, after the views of its images: no sheet can show them.
    mixing = []
    for name in ("mixup", "cutmix"):
        strengths = [getattr(arm.recipe, name) for arm in resolved.arms_to_check]
        if any(strengths):  # 0 mixes nothing
            mixing.append(name)
    if mixing:
        parts.append(f"mixing ({', '.join(mixing)}) is not shown")
    return "; ".join(parts)


def spread(targets: Targets, n_images: int) -> list[int]:
    """Choose rows of train spread over the classes, in turn one of each and ordered by class.

    All rows where there are no more; images without a label are a class of their own. Of more
    classes than images, some evenly apart.
    """
    membership = targets.membership()
    has_no_label = membership.sum(axis=1) == 0
    columns = np.column_stack([membership, has_no_label])
    classes = []
    for column in columns.T:
        rows = np.flatnonzero(column).tolist()
        # A class without a train image has no turn.
        if rows:
            classes.append(rows)
    turns = _turns(len(classes), n_images)
    # Round after round each class gives its next image, until there are enough.
    # row -> its class; an image of several labels stands for the class whose turn it was
    chosen: dict[int, int] = {}
    while len(chosen) < min(n_images, len(targets)):
        for turn in turns:
            unseen = [row for row in classes[turn] if row not in chosen]
            if unseen and len(chosen) < n_images:
                chosen[unseen[0]] = turn
    return sorted(chosen, key=lambda row: (chosen[row], row))


def _turns(n_classes: int, n_images: int) -> list[int]:
    """The order in which classes give an image: first some evenly apart, then the others."""
    n_first = min(n_images, n_classes)
    # The others come after them: they fill up where the first have too few images.
    first = [i * n_classes // n_first for i in range(n_first)]
    return list(dict.fromkeys([*first, *range(n_classes)]))


def _tiles(drawn: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Views of (rows, 3, side, side) each -> (rows, views, side, side, 3)."""
    # Pillow has the colours last, torch has them first.
    return np.stack([images.permute(0, 2, 3, 1).numpy() for images in drawn], axis=1)
