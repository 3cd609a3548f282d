"""Arms are called by what differs from the baseline."""

from __future__ import annotations

from ablate.recipe.recipe import Recipe
from ablate.reporting.evidence.arm_names import difference_names, level_differences


def test_names_are_differences_and_unique(published) -> None:
    record = published.study.record
    names = difference_names(record)
    assert names[record.baseline_arm_id] == "baseline"
    assert len(set(names.values())) == len(record.arms)
    by_name = {arm.name: names[arm.arm_id] for arm in record.arms}
    assert by_name["freeze_depth=-1 lr_ratio=0.1 augment=light"] == "freeze_depth=-1 augment=light"
    assert by_name["freeze_depth=-1 lr_ratio=1.0 augment=none"] == "freeze_depth=-1 lr_ratio=1.0"


def test_every_difference_is_one_of_each_cell_that_is_nearest(published) -> None:
    """Against a loop over all pairs of cells."""
    record = published.study.record
    arms = {arm.arm_id: arm for arm in record.arms}
    first = arms[record.baseline_arm_id].cells[0]
    for arm_id, changes in level_differences(record).items():
        counts = []
        for cell in arms[arm_id].cells:
            counts.append(sum(str(cell[axis]) != str(level) for axis, level in first.items()))
        assert len(changes) == min(counts)


def test_without_a_baseline_arms_keep_their_names(published) -> None:
    record = published.study.record.model_copy(update={"baseline_arm_id": "none"})
    assert difference_names(record) == {arm.arm_id: arm.name for arm in record.arms}


def test_phases_are_named_as_in_the_names_of_arms(published) -> None:
    record = published.study.record
    phases = [{"epochs": 2, "freeze_depth": "all"}, {"epochs": 3, "freeze_depth": -1}]
    first, second = record.arms[:2]
    plain = first.model_copy(update={"cells": ({"phases": []},)})
    recipe = Recipe.model_validate({**second.recipe.model_dump(), "epochs": 5, "phases": phases})
    phased = second.model_copy(update={"recipe": recipe, "cells": ({"phases": phases},)})
    changed = record.model_copy(
        update={
            "axes": {"phases": ([], phases)},
            "arms": (plain, phased),
            "baseline_arm_id": plain.arm_id,
        }
    )
    assert difference_names(changed)[phased.arm_id] == "phases=2xall+3x-1"
