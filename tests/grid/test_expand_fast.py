"""The fast way through a grid beside the slow one.

The slow one validates every cell whole, and asks for the relevance of every field anew.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.grid.expand import expand, study_trials
from ablate.grid.grid_file import Grid
from ablate.recipe.canonical import FIRST_FIELDS, RELEVANCE, canonical, contradiction, relevant
from ablate.recipe.phase import Phase
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import PHASE_FIELDS, at_phase, frees_trunk, phases_of
from ablate.study.trial import DataSpec

LEVELS: dict[str, list[Any]] = {
    "backbone": ["test_vit", "test_efficientnet"],
    "freeze_depth": ["all", -1, 0, 2],
    "head_lr": [1, 1e-3, 0.5],
    "lr_ratio": [1, 0.1],
    "layer_decay": [1, 0.5],
    "optimizer": ["adamw", "sgd", "lion"],
    "momentum": [0, 0.9],
    "schedule": ["cosine", "step"],
    "step_every": [0.3, 0.5],
    "epochs": [4, 6],
    "batch_size": [8, 32],
    "micro_batch": [None, 8],
    "strategy": ["single", "lp_ft", "gradual"],
    "probe_epochs": [None, 2],
    "n_phases": [3, 4],
    "phases": [
        [],
        [{"epochs": 1}],
        [{"epochs": 2, "freeze_depth": "all", "head_lr": 1, "lr_ratio": 1}],
        [{"epochs": 1, "freeze_depth": "all"}, {"epochs": 2}],
    ],
    "patience": [None, 2],
    "augment": ["none", "light", 0.4],
    "shots": [None, 2],
    "loss": ["cross_entropy", "focal", "bce"],
    "focal_gamma": [2, 3.0],
    "class_weights": ["none", "balanced", "effective", [1.0, 2.0]],
    "effective_beta": [0.9, 0.999],
    "classifier": ["linear", "logistic", "ridge", "knn"],
    "classifier_l2": [1, 2.0],
    "neighbours": [3, 5],
    "batch_norm": ["train", "frozen"],
    "adapter": ["auto", "none", "lora", "dora", "ia3", "ssf", "bottleneck", "vpt", "bitfit"],
    "lora_rank": [0, 4],
    "lora_alpha": [None, 4, 8.0],
    "adapter_dropout": [0, 0.1],
    "adapter_targets": ["auto", ["*.attn.*"]],
    "adapter_units": ["all", 2],
    "bottleneck_width": [8, 64],
    "prompt_tokens": [5, 10],
    "precision": ["auto", "fp32"],
    "drop_path": [0, 0.1],
    "dropout": [0, 0.1],
}
CELLS = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(levels) for name, levels in LEVELS.items()}
)
GRIDS = st.lists(st.sampled_from(sorted(LEVELS)), min_size=1, max_size=5, unique=True).flatmap(
    lambda axes: st.tuples(
        CELLS,
        st.fixed_dictionaries(
            {
                axis: st.lists(
                    st.sampled_from(LEVELS[axis]), min_size=1, max_size=3, unique_by=repr
                )
                for axis in axes
            }
        ),
    )
)
DATA = DataSpec(source="textile")


def _relevant(recipe: Recipe) -> tuple[str, ...]:
    idle = {name for names, matter in RELEVANCE if not matter(recipe) for name in names}
    return tuple(name for name in Recipe.model_fields if name not in idle)


def _canonical(recipe: Recipe) -> dict[str, Any]:
    """Everything is written out, then what does not matter is taken away."""
    phases = phases_of(recipe)
    several: dict[str, Any] = {}
    if len(phases) > 1:
        idle = [
            {"until"} if at_phase(recipe, phase).freeze_depth != "all" else {"until", "lr_ratio"}
            for phase in phases
        ]
        several = {
            "phases": [
                phase.model_dump(mode="json", exclude=exclude)
                for phase, exclude in zip(phases, idle, strict=True)
            ]
        }
    recipe = (
        recipe
        if several
        else Recipe.model_validate(
            {
                **recipe.model_dump(),
                **at_phase(recipe, phases[0]).model_dump(include=set(PHASE_FIELDS)),
            }
        )
    )
    fields = {
        name: value
        for name, value in recipe.model_dump(mode="json").items()
        if name in _relevant(recipe)
    }
    if "lora_alpha" in fields and recipe.lora_alpha is None:
        fields["lora_alpha"] = float(recipe.lora_rank)
    if recipe.adapter_kind in ("none", "lora"):
        fields.pop("adapter", None)
    kept = {
        name: value
        for name, value in fields.items()
        if name in FIRST_FIELDS or getattr(recipe, name) != Recipe.model_fields[name].default
    }
    return (
        {**{name: value for name, value in kept.items() if name not in PHASE_FIELDS}, **several}
        if several
        else kept
    )


def _hashed_name(field: str) -> str:
    """What a field was called when the first ids were made."""
    if field in ("adapter_dropout", "adapter_targets", "adapter_units"):
        return field.replace("adapter", "lora")
    return field


def _id(recipe: Recipe, digits: int, **more: object) -> str:
    identity = {
        "task": "classification",
        "data": DATA.model_dump(mode="json", exclude={"fallback", "classes"}),
        "data_fingerprint": "f",
        "recipe": {_hashed_name(name): value for name, value in _canonical(recipe).items()},
    }
    text = json.dumps(
        {**identity, "select_by": "val/nll", **more}, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


@pytest.mark.slow
@given(CELLS)
@settings(max_examples=400)
def test_what_matters_is_what_the_rules_say(cell: dict[str, Any]) -> None:
    recipe = Recipe.model_validate(cell)
    assert relevant(recipe) == _relevant(recipe)
    assert canonical(recipe) == _canonical(recipe)
    assert json.dumps(canonical(recipe), sort_keys=True) == json.dumps(
        _canonical(recipe), sort_keys=True
    )  # 1 and 1.0 are equal, and other text
    assert frees_trunk(recipe) == any(phase.freeze_depth != "all" for phase in phases_of(recipe))
    assert phases_of(recipe) == tuple(
        Phase.model_validate(phase.model_dump()) for phase in phases_of(recipe)
    )


@pytest.mark.slow
@given(GRIDS)
@settings(max_examples=150, deadline=None)
def test_expanding_at_once_is_expanding_cell_by_cell(
    drawn: tuple[dict[str, Any], dict[str, list[Any]]],
) -> None:
    base, axes = drawn
    levels = {axis: tuple(values) for axis, values in axes.items()}
    grid = Grid(
        task="classification",
        data=DATA,
        base=Recipe.model_validate(base),
        axes=levels,
        seeds=(0, 3),
        select_by="val/nll",
        name="g",
    )
    expansion = expand(grid, data=DATA, fingerprint="f")
    arms: dict[str, list[dict[str, Any]]] = {}
    recipes: dict[str, Recipe] = {}
    excluded = []
    for values in itertools.product(*axes.values()):
        cell = dict(zip(axes, values, strict=True))
        recipe = Recipe.model_validate({**grid.base.model_dump(), **cell})
        why = contradiction(recipe)
        if why is None:
            recipes.setdefault(_id(recipe, 12), recipe)
            arms.setdefault(_id(recipe, 12), []).append(cell)
        else:
            excluded.append((cell, why))
    assert {arm.arm_id: [repr(cell) for cell in arm.cells] for arm in expansion.arms} == {
        arm_id: list(map(repr, cells)) for arm_id, cells in arms.items()
    }
    assert {arm.arm_id: repr(arm.recipe) for arm in expansion.arms} == {
        arm_id: repr(recipe) for arm_id, recipe in recipes.items()
    }
    assert [(repr(one.cell), one.why) for one in expansion.excluded] == [
        (repr(cell), why) for cell, why in excluded
    ]
    trials = study_trials(grid, expansion, data=DATA, fingerprint="f", seeds=(0, 3))
    assert [trial.trial_id for trial in trials] == [
        _id(recipe, 16, seed=seed) for seed in (0, 3) for recipe in recipes.values()
    ]
