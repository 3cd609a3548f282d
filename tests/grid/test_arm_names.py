from __future__ import annotations

from ablate.grid.arm_names import arm_name, level_word, unique_arm_names
from ablate.recipe.recipe import Recipe


def test_an_axis_that_cannot_matter_is_not_named() -> None:
    probe = Recipe(freeze_depth="all", lr_ratio=0.1)
    assert arm_name(("freeze_depth", "lr_ratio"), probe) == "freeze_depth=all"
    assert arm_name((), probe) == "base"


def test_no_phases_read_alike_in_a_grid_and_in_a_search() -> None:
    recipe = Recipe(phases=())
    assert arm_name(("phases",), recipe) == "phases=none"
    assert arm_name(("phases",), recipe, n_digits=4) == "phases=none"


def test_numbers_are_shortened_where_it_is_asked_for() -> None:
    recipe = Recipe(head_lr=0.0123456789)
    assert arm_name(("head_lr",), recipe) == "head_lr=0.0123456789"
    assert arm_name(("head_lr",), recipe, n_digits=4) == "head_lr=0.01235"


def test_levels_are_spelled_as_yaml_spells_them() -> None:
    assert [level_word(level) for level in (None, True, "none", 3)] == ["null", "true", "none", "3"]


def test_names_that_would_be_equal_carry_their_ids() -> None:
    recipe = Recipe(head_lr=0.1)
    names = unique_arm_names(("head_lr",), {"a": recipe, "b": recipe, "c": Recipe(head_lr=0.2)})
    assert names == {"a": "head_lr=0.1 (a)", "b": "head_lr=0.1 (b)", "c": "head_lr=0.2"}
