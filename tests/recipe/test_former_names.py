"""Fields that were called otherwise are read under both names, and hashed under the first one."""

from __future__ import annotations

import hashlib
import json

import pytest
from pydantic import ValidationError

from ablate.recipe.former_names import FORMER_NAMES, with_current_names, with_first_names
from ablate.recipe.recipe import Recipe
from ablate.study.pilot_record import Pilot
from ablate.study.record import ArmRecord, ExcludedCell
from ablate.study.trial import DataSpec, Trial

FORMER = {"lora_rank": 4, "lora_units": 2, "lora_targets": ["a"], "lora_dropout": 0.1}
CURRENT = {"lora_rank": 4, "adapter_units": 2, "adapter_targets": ["a"], "adapter_dropout": 0.1}


def test_the_current_names_are_fields_and_the_former_ones_are_not() -> None:
    assert set(FORMER_NAMES.values()) <= Recipe.model_fields.keys()
    assert not FORMER_NAMES.keys() & Recipe.model_fields.keys()


def test_a_recipe_is_read_under_both_names() -> None:
    assert Recipe.model_validate(FORMER) == Recipe.model_validate(CURRENT)
    assert Recipe.model_validate_json(json.dumps(FORMER)) == Recipe.model_validate(CURRENT)


def test_both_names_at_once_are_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate({"lora_units": 2, "adapter_units": 2})
    assert caught.value.errors()[0]["msg"] == (
        "Value error, is the former name of adapter_units, which is given too; keep adapter_units"
    )


def test_names_change_and_change_back_in_their_order() -> None:
    assert list(with_current_names(FORMER).items()) == list(CURRENT.items())
    assert list(with_first_names(CURRENT).items()) == list(FORMER.items())
    assert with_current_names("auto") == "auto"


def test_a_trial_keeps_its_id() -> None:
    trial = Trial(
        task="classification",
        data=DataSpec(source="textile"),
        data_fingerprint="f",
        recipe=Recipe.model_validate(CURRENT),
        select_by="val/macro_f1",
        seed=3,
    )
    # As the first version wrote it, field by field.
    identity = {
        "data": {
            "fractions": None,
            "image_size": "auto",
            "path": None,
            "sizes": None,
            "source": "textile",
            "split_seed": None,
        },
        "data_fingerprint": "f",
        "recipe": {
            "augment": "none",
            "backbone": "tf_efficientnet_lite0",
            "batch_size": 32,
            "class_weights": "none",
            "epochs": 6,
            "freeze_depth": "all",
            "head_lr": 0.001,
            "label_smoothing": 0.0,
            "lora_alpha": 4.0,
            "lora_dropout": 0.1,
            "lora_rank": 4,
            "lora_targets": ["a"],
            "lora_units": 2,
            "lr_ratio": 0.1,
            "optimizer": "adamw",
            "patience": None,
            "precision": "auto",
            "schedule": "cosine",
            "warmup": 0.1,
            "weight_decay": 0.01,
            "weights": "auto",
        },
        "seed": 3,
        "select_by": "val/macro_f1",
        "task": "classification",
    }
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    assert trial.trial_id == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_records_of_before_are_read_under_the_current_names() -> None:
    arm = ArmRecord.model_validate(
        {
            "arm_id": "a",
            "name": "lora_units=2",
            "recipe": FORMER,
            "cells": [{"lora_units": 2, "augment": "none"}],
            "tuned": {"lora_dropout": 0.1},
        }
    )
    assert arm.cells == ({"adapter_units": 2, "augment": "none"},)
    assert arm.tuned == {"adapter_dropout": 0.1}
    assert arm.name == "lora_units=2"
    excluded = ExcludedCell.model_validate({"cell": {"lora_units": 2}, "why": "slow"})
    assert excluded.cell == {"adapter_units": 2}
    pilot = Pilot.model_validate(
        {
            "kind": "search",
            "study_id": "s",
            "seed": 1000,
            "n_asked": 1,
            "objectives": ["val/macro_f1"],
            "space": {"lora_units": "1 to 4"},
        }
    )
    assert pilot.space == {"adapter_units": "1 to 4"}
