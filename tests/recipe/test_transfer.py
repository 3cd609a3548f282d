"""Penalties that hold a trunk: where they matter, what they need, and what identifies them."""

from __future__ import annotations

from typing import Any

import pytest

from ablate.recipe.canonical import canonical, contradiction, relevant
from ablate.recipe.recipe import Recipe
from ablate.recipe.transfer import (
    PENALTIES,
    needs_rows_of_features,
    penalties_of,
    source_recipe,
    uses_source_classifier,
)

ALL: dict[str, Any] = {"lwf": 1.0, "co_tuning": 2.0, "delta": 3.0, "bss": 4.0}


def test_off_they_are_no_part_of_a_recipe() -> None:
    for depth in ("all", -1, 0):
        plain = canonical(Recipe(freeze_depth=depth))
        assert plain.keys().isdisjoint({*PENALTIES, "lwf_temperature", "bss_k"})
        idle = Recipe(freeze_depth=depth, lwf_temperature=9.0, bss_k=3)
        assert canonical(idle) == plain


@pytest.mark.parametrize(
    "fields",
    [
        {"freeze_depth": "all"},
        {"freeze_depth": "all", "classifier": "ridge"},
        {"phases": [{"epochs": 1, "freeze_depth": "all"}, {"epochs": 2, "freeze_depth": "all"}]},
    ],
    ids=str,
)
def test_of_a_probe_they_are_left_out(fields: dict[str, Any]) -> None:
    """Its features are what they are, so it is one trial with and without."""
    held = Recipe(**fields, **ALL, lwf_temperature=5.0, bss_k=2)
    assert canonical(held) == canonical(Recipe(**fields))
    assert penalties_of(held) == {}
    assert not uses_source_classifier(held)
    assert contradiction(held) is None
    # even where the weights have no classifier, as nothing asks for it
    assert contradiction(Recipe(**fields, **ALL, weights="none")) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"freeze_depth": -1},
        {"freeze_depth": 0},
        {"strategy": "lp_ft", "freeze_depth": 0},
        {"freeze_depth": "all", "lora_rank": 2},
    ],
    ids=str,
)
def test_where_features_move_they_count(fields: dict[str, Any]) -> None:
    held = Recipe(**fields, **ALL, lwf_temperature=5.0, bss_k=2)
    assert penalties_of(held) == ALL
    assert {*PENALTIES, "lwf_temperature", "bss_k"} <= set(relevant(held))
    forms = [canonical(held.model_copy(update={name: 9})) for name in (*PENALTIES, "bss_k")]
    assert all(form != canonical(held) for form in forms)


def test_what_a_penalty_needs() -> None:
    needs = {}
    for name in PENALTIES:
        recipe = Recipe.model_validate({"freeze_depth": -1, name: 1.0})
        needs[name] = (uses_source_classifier(recipe), needs_rows_of_features(recipe))
    assert needs == {
        "lwf": (True, True),
        "co_tuning": (True, True),
        "delta": (False, False),
        "bss": (False, True),
    }


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"lwf": 1.0, "weights": "none"},
            "lwf and co_tuning hold on to the pretrained classifier, and weights: none has none",
        ),
        (
            {"co_tuning": 1.0, "pooling": "max"},
            "lwf and co_tuning use the pretrained classifier, which knows features of its own "
            "pooling: auto",
        ),
        (
            {"bss": 1.0, "bss_k": 8, "batch_size": 8},
            "bss shrinks the smallest singular values of a batch, and bss_k of batch_size or more "
            "are all of them",
        ),
        ({"delta": 1.0, "weights": "none", "pooling": "max"}, None),
        ({"bss": 1.0, "bss_k": 7, "batch_size": 8, "weights": "none"}, None),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_excluded_with_its_reason(
    fields: dict[str, Any], reason: str | None
) -> None:
    assert contradiction(Recipe(freeze_depth=-1, **fields)) == reason


def test_the_source_is_the_same_network_for_every_arm() -> None:
    changed: dict[str, Any] = {
        "freeze_depth": -1,
        "lora_rank": 2,
        "drop_path": 0.1,
        "dropout": 0.1,
        "augment": "strong",
        "mixup": 0.2,
        "shots": 5,
        "erase": 0.1,
        **ALL,
    }
    kept: dict[str, Any] = {
        "backbone": "resnet18",
        "weights": "hub",
        "precision": "bf16",
        "head_lr": 0.5,
    }
    source = source_recipe(Recipe(**kept, **changed))
    assert source == Recipe(**kept)
    assert contradiction(source) is None
