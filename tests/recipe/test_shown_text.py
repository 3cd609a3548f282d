"""How images are shown, in words."""

from __future__ import annotations

from typing import get_args

from ablate.data.square import INTERPOLATIONS
from ablate.recipe.recipe import Recipe
from ablate.recipe.shown_part import SHOWN_FIELDS, Interpolation, Shown, shown_text


def test_one_way_is_the_size_and_what_is_not_usual() -> None:
    texts = {
        Shown(224): "224",
        Shown("auto"): "auto",
        Shown(224, "squash"): "224 (whole images, squashed to a square)",
        Shown(224, "pad"): "224 (whole images on a grey square)",
        Shown(224, crop_share=1.0): "224 (crop share 1)",
        Shown(96, "pad", interpolation="box"): "96 (whole images on a grey square, resized by box)",
    }
    for shown, text in texts.items():
        assert str(shown) == text


def test_several_ways_are_named_once_each() -> None:
    sizes = [Shown(96), Shown(224), Shown(96)]
    assert shown_text(sizes) == "96 or 224"
    crossed = [Shown(96), Shown(96, "pad"), Shown(224), Shown(224, "pad")]
    assert shown_text(crossed) == (
        "96 or 224 (the middle square, or whole images on a grey square)"
    )


def test_the_words_for_interpolation_are_those_that_images_can_be_resized_by() -> None:
    assert set(get_args(Interpolation)) == set(INTERPOLATIONS)


def test_the_fields_are_those_of_a_recipe_and_say_nothing_by_themselves() -> None:
    for name in SHOWN_FIELDS:
        assert Recipe.model_fields[name].default is None
