"""Arms that have two names and train the same: refused, or one arm would be counted twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ablate.errors import SpecError
from ablate.model.backbone_facts import Preprocessing, RecipeFacts
from ablate.recipe.canonical import canonical
from ablate.recipe.recipe import Recipe
from ablate.recipe.shown_part import SHOWN_FIELDS
from ablate.recipe.strategy import is_single
from ablate.study.record import ArmRecord
from ablate.study.trial import DataSpec

_SETTLED_FIELDS = frozenset({"freeze_depth", "lr_ratio", "batch_norm"})
"""Fields whose meaning depends on the depth in units: compared by what they mean there."""


def check_depths_differ(arms: Sequence[ArmRecord], facts: Mapping[str, RecipeFacts]) -> None:
    """Refuse two arms of one depth: `all` and the number of units are the same place.

    `facts` by arm_id. Raises SpecError.
    """
    # A grid of thousands of arms passes here, and their canonical forms take a while.
    if _has_a_word_for_each_depth(arms, facts):
        return
    seen: dict[str, str] = {}
    for arm in arms:
        of_arm = facts[arm.arm_id]
        key = _trained_as(arm.recipe, of_arm)
        if key in seen:
            raise SpecError(
                f"arms must differ, but {seen[key]!r} and {arm.name!r} both freeze "
                f"{of_arm.depth} of {of_arm.n_units} units of {arm.recipe.backbone}; "
                "name each freeze_depth once (all is the same as the number of units)"
            )
        seen[key] = arm.name


def check_images_differ(
    arms: Sequence[ArmRecord], facts: Mapping[str, RecipeFacts], *, data: DataSpec
) -> None:
    """Refuse two arms that are shown the same pixels: null, auto and a number can mean one size.

    `facts` by arm_id. Raises SpecError.
    """
    # Most grids leave it to the data, and the canonical forms of thousands of arms take a while.
    if not any(map(_says_how_images_are_shown, arms)):
        return
    seen: dict[str, str] = {}
    for arm in arms:
        shown = data.shown_to(arm.recipe)
        images = facts[arm.arm_id].preprocessing.as_shown(shown)
        key = _trained_on(arm.recipe, images)
        if key in seen:
            raise SpecError(
                f"arms must differ, but {seen[key]!r} and {arm.name!r} both show "
                f"{arm.recipe.backbone} the same pixels: {images.image_size} px from squares of "
                f"{images.store_side} px, view {images.view}, resized by {images.interpolation}; "
                "name each level once (null and auto can be what another level says)"
            )
        seen[key] = arm.name


def _says_how_images_are_shown(arm: ArmRecord) -> bool:
    return any(getattr(arm.recipe, name) is not None for name in SHOWN_FIELDS)


def _trained_on(recipe: Recipe, images: Preprocessing) -> str:
    """The same text for recipes that train alike on the same pixels."""
    fields = canonical(recipe)
    for name in SHOWN_FIELDS:
        fields.pop(name, None)
    pixels = (images.image_size, images.store_side, images.view, images.interpolation)
    return repr((sorted(fields.items(), key=str), pixels))


def _has_a_word_for_each_depth(arms: Iterable[ArmRecord], facts: Mapping[str, RecipeFacts]) -> bool:
    """Whether no depth is named in two ways.

    Then arms, which differ, differ in more than the name of a depth. Cheap, and careful: where it
    returns False, arms may differ all the same.
    """
    words: dict[tuple[str, int], object] = {}
    for arm in arms:
        of_arm = facts[arm.arm_id]
        word = arm.recipe.freeze_depth
        # With all units frozen some fields mean nothing, unless the canonical form knows of it.
        is_plain = is_single(arm.recipe) and (of_arm.depth < of_arm.n_units or word == "all")
        place = (arm.recipe.backbone, of_arm.depth)
        if not is_plain or words.setdefault(place, word) != word:
            return False
    return True


def _trained_as(recipe: Recipe, facts: RecipeFacts) -> str:
    """The same text for recipes that train the same network in the same way."""
    # Depths are counted in units here, however the file named them: -1, all, or a number.
    fields: dict[str, object] = {"depth": facts.depth}
    for name, value in canonical(recipe).items():
        if name not in _SETTLED_FIELDS:
            fields[name] = value
    is_trunk_free = facts.depth < facts.n_units
    if is_trunk_free:
        fields["batch_norm"] = recipe.batch_norm
    # lr_ratio is the trunk's learning rate over the head's: adapters sit in the trunk, too.
    if is_trunk_free or recipe.adapter_kind != "none":
        fields["lr_ratio"] = recipe.lr_ratio
    # By their text: values of one field can be of different types, which do not sort.
    return repr(sorted(fields.items(), key=str))
