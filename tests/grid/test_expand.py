"""Cells become arms: merged where they are the same, excluded where they make no sense."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ablate.grid.expand import expand, study_trials
from ablate.grid.grid_file import Exclusion, Grid
from ablate.recipe.canonical import canonical, contradiction
from ablate.recipe.recipe import Recipe
from ablate.study.trial import DataSpec, Trial

DATA = DataSpec(source="rendered_flowers")
AXES = {
    "freeze_depth": ("all", -1, 0),
    "lr_ratio": (0.1, 1.0),
    "augment": ("none", "light"),
    "lora_rank": (0, 8),
}


def _grid(**changes: object) -> Grid:
    fields: dict[str, Any] = {
        "task": "classification",
        "data": DATA,
        "base": Recipe(),
        "axes": AXES,
        "exclude": (
            Exclusion(when={"lora_rank": 8, "freeze_depth": [-1, 0]}, why="on a frozen trunk"),
        ),
        "seeds": (0, 1),
        "baseline": {"freeze_depth": "all", "augment": "none", "lora_rank": 0},
        "select_by": "val/macro_f1",
        "name": "g",
    }
    return Grid(**{**fields, **changes})


def test_equivalent_cells_are_merged_and_keep_every_name() -> None:
    expansion = expand(_grid(), data=DATA, fingerprint="f")
    probe = next(
        arm for arm in expansion.arms if arm.name == "freeze_depth=all augment=none lora_rank=0"
    )
    assert [cell["lr_ratio"] for cell in probe.cells] == [0.1, 1.0]
    assert probe.arm_id == expansion.baseline_arm_id
    assert len(expansion.arms) == 14
    assert len(expansion.excluded) == 8
    assert expansion.n_cells == 24


def test_a_level_that_is_left_out_is_named_as_the_grid_file_writes_it() -> None:
    grid = _grid(axes={"erase": [None, 0.25]}, exclude=(), baseline={"erase": None})
    assert [arm.name for arm in expand(grid, data=DATA, fingerprint="f").arms] == [
        "erase=null",
        "erase=0.25",
    ]


def test_a_contradiction_is_excluded_with_its_reason() -> None:
    expansion = expand(_grid(exclude=()), data=DATA, fingerprint="f")
    assert {cell.why for cell in expansion.excluded} == {
        "LoRA adapts the frozen units, and freeze_depth 0 leaves none"
    }
    assert all(
        cell.cell["freeze_depth"] == 0 and cell.cell["lora_rank"] == 8
        for cell in expansion.excluded
    )


def test_a_cut_study_is_balanced() -> None:
    grid = _grid()
    trials = study_trials(
        grid, expand(grid, data=DATA, fingerprint="f"), data=DATA, fingerprint="f", seeds=(0, 1)
    )
    assert len({trial.trial_id for trial in trials}) == len(trials) == 28
    for cut in range(len(trials)):
        counts = Counter(trial.arm_id for trial in trials[:cut])
        assert (
            max(counts.values(), default=0) - (min(counts.values()) if len(counts) == 14 else 0)
            <= 1
        )


RECIPES = st.builds(
    Recipe,
    freeze_depth=st.sampled_from(["all", -1, 0, 2]),
    lr_ratio=st.sampled_from([0.1, 1.0]),
    lora_rank=st.sampled_from([0, 4]),
    lora_alpha=st.sampled_from([None, 4.0, 8.0]),
    optimizer=st.sampled_from(["adamw", "sgd"]),
    momentum=st.sampled_from([0.0, 0.9]),
    batch_norm=st.sampled_from(["train", "frozen"]),
)


@given(RECIPES)
def test_the_canonical_form_is_a_recipe_of_the_same_canonical_form(recipe: Recipe) -> None:
    again = Recipe.model_validate({**canonical(recipe), "lora_rank": recipe.lora_rank})
    assert canonical(again) == canonical(recipe)


@given(RECIPES, RECIPES)
def test_arms_are_equal_exactly_when_their_canonical_forms_are(a: Recipe, b: Recipe) -> None:
    ids = [
        Trial(
            task="classification",
            data=DATA,
            data_fingerprint="f",
            recipe=one,
            select_by="val/nll",
            seed=0,
        ).arm_id
        for one in (a, b)
    ]
    assert (ids[0] == ids[1]) == (canonical(a) == canonical(b))


@given(
    st.fixed_dictionaries(
        {
            axis: st.lists(st.sampled_from(levels), min_size=1, unique=True).map(tuple)
            for axis, levels in AXES.items()
        }
    ),
    st.randoms(),
)
def test_every_cell_is_in_one_arm_or_excluded_and_names_are_unique(
    axes: dict[str, tuple[object, ...]], _: object
) -> None:
    expansion = expand(_grid(axes=axes, baseline={}, exclude=()), data=DATA, fingerprint="f")
    n_cells = 1
    for levels in axes.values():
        n_cells *= len(levels)
    assert (
        sum(len(arm.cells) for arm in expansion.arms) + len(expansion.excluded)
        == n_cells
        == expansion.n_cells
    )
    assert (
        len({arm.name for arm in expansion.arms})
        == len({arm.slug for arm in expansion.arms})
        == len(expansion.arms)
    )
    assert all(contradiction(arm.recipe) is None for arm in expansion.arms)


def test_the_seed_is_not_in_the_arm_and_everything_else_is() -> None:
    base = {
        "task": "classification",
        "data": DATA,
        "data_fingerprint": "f",
        "recipe": Recipe(),
        "select_by": "val/nll",
        "seed": 0,
    }
    trial = Trial(**base)
    assert Trial(**{**base, "seed": 1}).arm_id == trial.arm_id
    assert Trial(**{**base, "seed": 1}).trial_id != trial.trial_id
    for change in (
        {"data_fingerprint": "g"},
        {"select_by": "val/ece"},
        {"recipe": Recipe(epochs=7)},
        {"data": DataSpec(source="textile")},
    ):
        assert Trial(**{**base, **change}).arm_id != trial.arm_id
