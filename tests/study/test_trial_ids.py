"""Ids of trials: kept once computed, never carried over to another trial."""

from __future__ import annotations

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from ablate.recipe.canonical import canonical
from ablate.recipe.former_names import with_first_names
from ablate.recipe.recipe import Recipe
from ablate.study.trial import DataSpec, Trial

DATA = DataSpec(source="folder", classes={"good": ["a"], "bad": ["*"]})


def _trial(recipe: Recipe, seed: int = 0) -> Trial:
    return Trial(
        task="classification",
        data=DATA,
        data_fingerprint="f" * 64,
        recipe=recipe,
        select_by="val/macro_f1",
        seed=seed,
    )


def _by_definition(trial: Trial) -> tuple[str, str]:
    """The ids as sha256 of one JSON text."""
    identity = {
        "task": trial.task,
        "data": trial.data.model_dump(mode="json", exclude={"fallback"}),
        "data_fingerprint": trial.data_fingerprint,
        "recipe": with_first_names(canonical(trial.recipe)),
        "select_by": trial.select_by,
    }
    digests = []
    for values in (identity, {**identity, "seed": trial.seed}):
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        digests.append(hashlib.sha256(text.encode()).hexdigest())
    return digests[0][:12], digests[1][:16]


@given(
    lr=st.floats(1e-6, 1.0),
    depth=st.sampled_from(["all", -1, 0]),
    seed=st.integers(0, 2**31),
    name=st.text(max_size=5),
)
def test_ids_are_those_of_one_json_text(lr: float, depth: str | int, seed: int, name: str) -> None:
    recipe = Recipe(head_lr=lr, freeze_depth=depth, adapter_targets=(name,))
    trial = _trial(recipe, seed)
    assert (trial.arm_id, trial.trial_id) == _by_definition(trial)
    another = _trial(recipe, seed + 1)
    assert another.arm_id == trial.arm_id
    assert another.trial_id == _by_definition(another)[1]


def test_a_changed_copy_has_ids_of_its_own() -> None:
    trial = _trial(Recipe())
    kept = (trial.arm_id, trial.trial_id)
    changed = trial.model_copy(update={"recipe": Recipe(epochs=2), "seed": 3})
    assert changed.arm_id != kept[0]
    assert (changed.arm_id, changed.trial_id) == _by_definition(changed)


def test_what_is_kept_changes_neither_equality_nor_what_is_stored() -> None:
    trial = _trial(Recipe())
    fresh = trial.model_copy()
    assert trial.trial_id
    assert trial == fresh
    assert hash(trial) == hash(fresh)
    assert trial.model_dump() == fresh.model_dump()
    assert trial.model_dump_json() == fresh.model_dump_json()
