"""Arms that have two names and train the same: refused, or one arm would be counted twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ablate.errors import SpecError
from ablate.model.backbone_facts import RecipeFacts
from ablate.recipe.canonical import canonical
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import is_single
from ablate.study.record import ArmRecord


def check_depths_differ(arms: Sequence[ArmRecord], facts: Mapping[str, RecipeFacts]) -> None:
    """`all` and the number of units are the same place: training both would count one arm twice."""
    if _has_a_word_for_each_depth(arms, facts):
        return
    seen: dict[str, str] = {}
    for arm in arms:
        rest = {
            name: value
            for name, value in canonical(arm.recipe).items()
            if name not in ("freeze_depth", "lr_ratio", "batch_norm")
        }
        depth = facts[arm.arm_id].depth
        key = repr(
            sorted(
                {
                    **rest,
                    "depth": depth,
                    **_rates(arm.recipe, depth < facts[arm.arm_id].n_units),
                }.items(),
                key=str,
            )
        )
        if key in seen:
            raise SpecError(
                f"arms must differ, but {seen[key]!r} and {arm.name!r} both freeze {depth} of {facts[arm.arm_id].n_units} units of {arm.recipe.backbone}; "
                "name each freeze_depth once (all is the same as the number of units)"
            )
        seen[key] = arm.name


def _has_a_word_for_each_depth(arms: Iterable[ArmRecord], facts: Mapping[str, RecipeFacts]) -> bool:
    """Whether no depth is named in two ways: then arms, which differ, differ in more than the name of a depth. Tells it cheaply; False may be either."""
    words: dict[tuple[str, int], object] = {}
    for arm in arms:
        own, word = facts[arm.arm_id], arm.recipe.freeze_depth
        is_plain = is_single(arm.recipe) and (own.depth < own.n_units or word == "all")
        if not is_plain or words.setdefault((arm.recipe.backbone, own.depth), word) != word:
            return False
    return True


def _rates(recipe: Recipe, is_trunk_free: bool) -> dict[str, object]:
    """The fields that matter only where something of the trunk learns."""
    fields: dict[str, object] = {"batch_norm": recipe.batch_norm} if is_trunk_free else {}
    return (
        {**fields, "lr_ratio": recipe.lr_ratio}
        if is_trunk_free or recipe.adapter_kind != "none"
        else fields
    )
