"""What data and recipe say together of how images are shown, and which of it makes another arm."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.recipe.recipe import Recipe
from ablate.recipe.shown_part import SHOWN_FIELDS, Shown
from ablate.study.trial import DataSpec, Trial, contradiction_on, without_repeats

LEVELS: dict[str, list[Any]] = {
    "image_size": [None, "auto", 96, 128],
    "view": [None, "crop", "squash", "pad"],
    "crop_share": [None, 0.875, 1.0],
    "interpolation": [None, "bilinear", "bicubic"],
}
RECIPES = st.fixed_dictionaries({name: st.sampled_from(LEVELS[name]) for name in LEVELS}).map(
    lambda fields: Recipe(**fields)
)
DATA = st.sampled_from(
    [
        DataSpec(source="textile"),
        DataSpec(source="textile", image_size=96),
        DataSpec(source="textile", image_size=96, view="pad"),
        DataSpec(source="textile", view="crop", crop_share=1.0),
    ]
)


FORMER_ID = "749f61e902c4d1fd"


def trial(data: DataSpec, recipe: Recipe) -> Trial:
    return Trial(
        task="classification",
        data=data,
        data_fingerprint="f",
        recipe=recipe,
        select_by="val/accuracy",
        seed=0,
    )


def test_a_recipe_comes_first_and_leaves_the_rest_to_the_data() -> None:
    data = DataSpec(source="textile", image_size=96, crop_share=1.0)
    assert data.shown_to(Recipe()) == Shown(96, "crop", 1.0)
    assert data.shown_to(Recipe(image_size=128)) == Shown(128, "crop", 1.0)
    assert data.shown_to(Recipe(image_size="auto")) == Shown("auto", "crop", 1.0)
    assert data.shown_to(Recipe(interpolation="box")).interpolation == "box"


def test_the_datas_crop_share_is_of_arms_that_see_the_middle_square() -> None:
    data = DataSpec(source="textile", crop_share=0.9)
    assert data.shown_to(Recipe(view="pad")) == Shown("auto", "pad", None)
    assert contradiction_on(data, Recipe(view="pad")) is None


@given(DATA, RECIPES, RECIPES)
def test_arms_are_the_same_exactly_where_images_are_shown_in_the_same_way(
    data: DataSpec, first: Recipe, second: Recipe
) -> None:
    are_same = data.shown_to(first) == data.shown_to(second)
    assert (trial(data, first).arm_id == trial(data, second).arm_id) == are_same
    assert (trial(data, first).shown == trial(data, second).shown) == are_same


@given(DATA, RECIPES)
def test_without_repeats_nothing_else_is_shown(data: DataSpec, recipe: Recipe) -> None:
    settled = without_repeats(recipe, data)
    assert data.shown_to(settled) == data.shown_to(recipe)
    assert without_repeats(settled, data) == settled
    for name in SHOWN_FIELDS:
        assert getattr(settled, name) in (None, getattr(recipe, name))


def test_a_recipe_that_says_nothing_keeps_its_former_id() -> None:
    data = DataSpec(source="textile", image_size=96)
    # as computed by the version before recipes had these fields
    assert trial(data, Recipe()).trial_id == FORMER_ID


@pytest.mark.parametrize(
    ("data", "recipe"),
    [
        (DataSpec(source="textile"), Recipe(view="squash", crop_share=1.0)),
        (DataSpec(source="textile", view="pad"), Recipe(crop_share=1.0)),
    ],
)
def test_a_share_of_whole_images_makes_no_sense(data: DataSpec, recipe: Recipe) -> None:
    assert contradiction_on(data, recipe) == (
        "crop_share is of the middle square, and whole images (view squash or pad) have none"
    )
    cropped = recipe.model_copy(update={"view": "crop"})
    assert contradiction_on(data, cropped) is None


def test_one_tile_is_no_tile_and_the_mean_is_the_usual_join() -> None:
    plain = DataSpec(source="textile")
    assert DataSpec(source="textile", tiles="1x1", tiles_join="max") == plain
    cut = DataSpec(source="textile", tiles="2x3")
    assert DataSpec(source="textile", tiles="2x3", tiles_join="mean") == cut
    assert cut.shown_to(Recipe()) == Shown("auto", tiles="2x3", tiles_join="mean")
    assert not {"tiles", "tiles_join"} & plain.model_dump().keys()


def test_tiles_and_their_join_make_other_trials() -> None:
    ids = set()
    for fields in ({}, {"tiles": "2x2"}, {"tiles": "1x4"}, {"tiles": "2x2", "tiles_join": "max"}):
        data = DataSpec.model_validate({"source": "textile", **fields})
        assert DataSpec.model_validate(data.model_dump(mode="json")) == data
        ids.add(trial(data, Recipe()).trial_id)
    assert len(ids) == 4


def test_a_join_without_tiles_is_refused() -> None:
    with pytest.raises(ValueError, match="tiles_join must be left out where images stay whole"):
        DataSpec(source="textile", tiles_join="mean")
