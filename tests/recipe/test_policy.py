"""A policy's word names a view in caches and plans: one policy has one word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.recipe.policy import level_of, policy_of, policy_word, recipe_of
from ablate.recipe.recipe import Recipe

SOURCE = "folder"
shares = st.none() | st.floats(0, 1)
recipes = st.builds(
    Recipe,
    augment=st.sampled_from(["none", "light", "strong", "augmix"]) | st.floats(0, 1),
    flip=st.sampled_from(["auto", "none", "horizontal", "vertical", "both"]),
    color_jitter=shares,
    erase=shares,
)


@given(recipes)
def test_a_word_says_what_its_recipe_asks_for(recipe: Recipe) -> None:
    policy = policy_of(policy_word(recipe, source=SOURCE))
    # A strength of 0 is `none`: two words for one view would compute it twice.
    augment = "none" if recipe.augment == 0 else recipe.augment
    assert policy.augment == augment
    assert (policy.color_jitter, policy.erase) == (recipe.color_jitter, recipe.erase)
    if recipe.flip != "auto":
        assert policy.flip == recipe.flip


@given(recipes)
def test_a_recipe_of_a_word_has_that_word(recipe: Recipe) -> None:
    word = policy_word(recipe, source=SOURCE)
    assert policy_word(recipe_of(word), source=SOURCE) == word


@pytest.mark.parametrize(
    ("recipe", "source", "word"),
    [
        (Recipe(augment="light"), SOURCE, "light"),
        (Recipe(augment="light"), "torchvision:MNIST", "light flip=none"),
        (Recipe(augment="light", flip="horizontal"), SOURCE, "light"),
        (Recipe(augment=0.4, erase=0.5), SOURCE, "0.4 erase=0.5"),
        (Recipe(augment=0.0, flip="both"), SOURCE, "none flip=both"),
        (Recipe(augment="none", color_jitter=0.3), SOURCE, "none color_jitter=0.3"),
    ],
)
def test_words_of_kept_views_stay_as_they_are(recipe: Recipe, source: str, word: str) -> None:
    assert policy_word(recipe, source=source) == word


@pytest.mark.parametrize(
    "word", ["", "lihgt", "1.5", "inf", "nan", "light flip", "light flip=up", "light mixup=0.2"]
)
def test_what_is_no_policy_is_refused(word: str) -> None:
    with pytest.raises(ValueError):
        recipe_of(word)


def test_the_level_is_the_first_word() -> None:
    assert [level_of(word) for word in ("light flip=none", "0.4", "")] == ["light", "0.4", ""]
