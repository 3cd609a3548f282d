"""Strategies expand to phases, and arms are the same where their phases are."""

from __future__ import annotations

import pytest

from ablate.errors import SpecError
from ablate.grid.expand import expand
from ablate.grid.parse import parse_grid
from ablate.recipe.canonical import canonical, contradiction
from ablate.recipe.phase import Phase
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import n_epochs, phases_of
from ablate.study.trial import DataSpec, Trial

DATA = DataSpec(source="rendered_flowers")


def _depths(recipe: Recipe) -> list[tuple[object, int]]:
    return [(phase.freeze_depth, phase.epochs) for phase in phases_of(recipe)]


def _id(recipe: Recipe) -> str:
    return Trial(
        task="classification",
        data=DATA,
        data_fingerprint="f",
        recipe=recipe,
        select_by="val/macro_f1",
        seed=0,
    ).trial_id


def test_words_become_phases_that_share_the_epochs() -> None:
    assert _depths(Recipe(freeze_depth=0, epochs=9)) == [(0, 9)]
    assert _depths(Recipe(strategy="lp_ft", freeze_depth=0, epochs=9)) == [("all", 3), (0, 6)]
    assert _depths(Recipe(strategy="lp_ft", freeze_depth=-1, epochs=9, probe_epochs=2)) == [
        ("all", 2),
        (-1, 7),
    ]
    assert _depths(Recipe(strategy="gradual", freeze_depth=0, epochs=10, n_phases=4)) == [
        ("all", 2),
        (-1, 3),
        (-2, 2),
        (0, 3),
    ]
    assert [
        n_epochs(Recipe(strategy=word, freeze_depth=0, epochs=11))
        for word in ("single", "lp_ft", "gradual")
    ] == [11, 11, 11]


def test_a_phase_takes_from_the_recipe_what_it_leaves_out() -> None:
    phases = (
        Phase(epochs=2, freeze_depth="all", head_lr=0.1),
        Phase(epochs=3, lr_ratio=0.5, until="plateau"),
    )
    first, second = phases_of(
        Recipe(freeze_depth=0, head_lr=0.01, lr_ratio=0.2, patience=2, phases=phases)
    )
    assert first == Phase(epochs=2, freeze_depth="all", head_lr=0.1, lr_ratio=0.2)
    assert second == Phase(
        epochs=3, freeze_depth=0, head_lr=0.01, lr_ratio=0.5, until="plateau", patience=2
    )


def test_a_strategy_is_the_arm_that_its_phases_are() -> None:
    word = Recipe(strategy="lp_ft", freeze_depth=0, epochs=6, head_lr=0.01)
    spelled = Recipe(
        phases=(
            Phase(epochs=2, freeze_depth="all", head_lr=0.01),
            Phase(epochs=4, freeze_depth=0, head_lr=0.01, lr_ratio=0.1),
        )
    )
    assert canonical(word) == canonical(spelled)
    assert _id(word) == _id(spelled)
    assert _id(word) != _id(word.model_copy(update={"probe_epochs": 3}))
    assert _id(word) != _id(word.model_copy(update={"lr_ratio": 0.5}))
    probe_ratio = spelled.model_copy(
        update={
            "phases": (
                Phase(epochs=2, freeze_depth="all", head_lr=0.01, lr_ratio=0.9),
                spelled.phases[1],
            )
        }
    )
    assert _id(probe_ratio) == _id(spelled), "nothing of the trunk learns in a probe"


def test_one_phase_is_a_recipe_without_phases() -> None:
    assert canonical(Recipe(phases=(Phase(epochs=4, freeze_depth=-1, head_lr=0.5),))) == canonical(
        Recipe(epochs=4, freeze_depth=-1, head_lr=0.5)
    )


def test_trials_from_before_there_were_phases_keep_their_ids() -> None:
    assert _id(Recipe()) == "8bb578a0a2ab8c6c"
    assert _id(Recipe(freeze_depth=0, optimizer="sgd", patience=3)) == "ceda2597ba85e696"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (
            {"strategy": "lp_ft", "freeze_depth": "all"},
            "LP-FT unfreezes the trunk after a probe, and freeze_depth all unfreezes nothing",
        ),
        (
            {"strategy": "lp_ft", "freeze_depth": 0, "epochs": 1},
            "LP-FT needs at least one epoch more than its probe_epochs",
        ),
        (
            {"strategy": "lp_ft", "freeze_depth": 0, "probe_epochs": 6},
            "LP-FT needs at least one epoch more than its probe_epochs",
        ),
        (
            {"strategy": "gradual", "freeze_depth": -1},
            (
                "gradual unfreezing frees a unit in each phase after the probe, and freeze_depth "
                "leaves fewer than n_phases - 1 to free"
            ),
        ),
        (
            {"strategy": "gradual", "freeze_depth": 0, "epochs": 2},
            "gradual unfreezing needs at least one epoch for each of its n_phases",
        ),
        (
            {"strategy": "lp_ft", "phases": [{"epochs": 1}]},
            "phases replace a strategy: give one of the two",
        ),
        (
            {"phases": [{"epochs": 1, "until": "plateau"}]},
            "a phase until: plateau needs a patience, its own or the recipe's",
        ),
        (
            {"strategy": "lp_ft", "freeze_depth": -1, "lora_rank": 2},
            "adapters belong to frozen units, and phases unfreeze units",
        ),
    ],
)
def test_what_makes_no_sense_is_left_out_with_its_reason(
    fields: dict[str, object], why: str
) -> None:
    assert contradiction(Recipe.model_validate(fields)) == why
    assert contradiction(Recipe(strategy="lp_ft", freeze_depth=0)) is None


GRID = """\
task: classification
data: {source: rendered_flowers}
base: {freeze_depth: 0}
axes:
  phases:
    - []
    - [{epochs: 2, freeze_depth: all, head_lr: 1.0e-2}, {epochs: 4, until: plateau, patience: 2}]
  strategy: [single, lp_ft]
seeds: [0]
baseline: {strategy: single}
select_by: val/macro_f1
"""


def test_phases_are_an_axis() -> None:
    expansion = expand(parse_grid(GRID, name="x", shown_as="x.yaml"), data=DATA, fingerprint="f")
    assert [arm.name for arm in expansion.arms] == [
        "phases=none strategy=single",
        "phases=none strategy=lp_ft",
        "phases=2xall(head_lr=0.01)+4(plateau=2) strategy=single",
    ]
    assert [cell.why for cell in expansion.excluded] == [
        "phases replace a strategy: give one of the two"
    ]


def test_mistakes_in_phases_are_shown_with_their_place() -> None:
    text = GRID.replace(
        "base: {freeze_depth: 0}",
        (
            "base: {freeze_depth: 0, optimizer: adamwx, phases: [{epoch: 2}, {epochs: 1, "
            "patience: 2}]}"
        ),
    )
    with pytest.raises(SpecError) as caught:
        parse_grid(text.replace("patience: 2}]\n", "patience: 0}]\n"), name="x", shown_as="x.yaml")
    assert str(caught.value).splitlines() == [
        "x.yaml: 5 mistakes, nothing was started",
        (
            "  line 3: base.optimizer: must be adamw, sgd or another name of timm's factory, see "
            "docs/grid-files.md (the nearest is adamw), got 'adamwx'"
        ),
        "  line 3: base.phases[0].epochs: must be given",
        "  line 3: base.phases[0].epoch: is not a field here; did you mean 'epochs'?",
        (
            "  line 3: base.phases[1]: must be a phase with until: plateau where it has patience, "
            "got {'epochs': 1, 'patience': 2}"
        ),
        "  line 7: axes.phases[1][1].patience: must be greater than or equal to 1, got 0",
    ]


def test_a_refused_optimizer_has_its_reason() -> None:
    with pytest.raises(SpecError) as caught:
        parse_grid(
            GRID.replace("base: {", "base: {optimizer: adahessian, "), name="x", shown_as="x.yaml"
        )
    assert str(caught.value).splitlines()[1:] == [
        (
            "  line 3: base.optimizer: must be adamw, sgd or another name of timm's factory, see "
            "docs/grid-files.md "
            "(adahessian is not taken: it needs the curvature, a second backward pass through "
            "every step), got 'adahessian'"
        )
    ]
