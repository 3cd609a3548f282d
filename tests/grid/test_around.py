"""`around: champion`: which arms are missing around the best one, and what a grid may ask."""

from __future__ import annotations

import json

import pytest
from support.grids import FACTS, grid_of, record_of, trials_of

from ablate.errors import SpecError
from ablate.grid.around import around_trials, still_asked, with_neighbours
from ablate.grid.expand import most_neighbours
from ablate.recipe.levels import level_text
from ablate.study.record import ArmRecord, StudyRecord

GOOD = """\
task: classification
data: {source: rendered_flowers}
base: {epochs: 2}
design: one_factor
axes:
  freeze_depth: [all, -1, 0]
  augment: [none, light]
  lora_rank: [0, 8]
exclude:
  - {when: {freeze_depth: -1, augment: light}, why: too slow}
seeds: [0, 1]
baseline: {freeze_depth: all, augment: none, lora_rank: 0}
select_by: val/macro_f1
around: champion
"""
SEARCH = """\
task: classification
data: {source: rendered_flowers}
base: {epochs: 2}
design: {search: {sampler: tpe, n_trials: 5, confirm: 2}}
axes: {head_lr: {low: 1.0e-3, high: 1.0e-1}}
seeds: [0, 1]
select_by: val/macro_f1
around: champion
"""


def _arm(record: StudyRecord, **levels: object) -> ArmRecord:
    for arm in record.arms:
        for cell in arm.cells:
            if all(cell[axis] == level for axis, level in levels.items()):
                return arm
    raise AssertionError(levels)


def _message(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        grid_of(text)
    return str(caught.value)


def test_one_factor_lacks_what_is_beside_an_arm_that_is_not_the_baseline() -> None:
    grid = grid_of(GOOD)
    record = record_of(grid)
    best = _arm(record, augment="light")
    grown = with_neighbours(grid, record, best, data=grid.data)
    assert grown.around is not None
    assert grown.around.champion_arm_id == best.arm_id
    # freeze_depth=-1 is excluded with light; the baseline itself is trained already.
    cells = [cell for arm in grown.added_arms for cell in arm.cells]
    assert cells == [
        {"freeze_depth": 0, "augment": "light", "lora_rank": 0},
        {"freeze_depth": "all", "augment": "light", "lora_rank": 8},
    ]
    assert grown.arms == record.arms
    assert with_neighbours(grid, grown, best, data=grid.data) == grown


def test_around_the_baseline_of_one_factor_nothing_is_missing() -> None:
    grid = grid_of(GOOD)
    record = record_of(grid)
    best = _arm(record, freeze_depth="all", augment="none", lora_rank=0)
    grown = with_neighbours(grid, record, best, data=grid.data)
    assert grown.added_arms == ()


def test_a_full_design_lacks_nothing_but_what_makes_no_sense() -> None:
    grid = grid_of(GOOD.replace("one_factor", "full"))
    record = record_of(grid)
    assert most_neighbours(grid) == 0
    for arm in record.arms:
        assert with_neighbours(grid, record, arm, data=grid.data).added_arms == ()


def test_every_cell_beside_the_best_arm_of_a_random_design_is_answered_or_makes_no_sense() -> None:
    """Against a full expansion of the same grid."""
    drawn = grid_of(GOOD.replace("design: one_factor", "design: {random: 3}"))
    whole = record_of(grid_of(GOOD.replace("one_factor", "full")))
    record = record_of(drawn)
    for best in record.arms:
        grown = with_neighbours(drawn, record, best, data=drawn.data)
        assert grown.around is not None
        trained = {arm.arm_id for arm in grown.all_arms}
        assert len(grown.added_arms) <= most_neighbours(drawn)
        for arm in whole.arms:
            for cell in arm.cells:
                n_other = [
                    sum(level_text(cell[axis]) != level_text(own[axis]) for axis in cell)
                    for own in best.cells
                ]
                assert 1 not in n_other or arm.arm_id in trained


def test_added_trials_are_every_added_arm_with_every_seed() -> None:
    grid = grid_of(GOOD)
    record = record_of(grid)
    grown = with_neighbours(grid, record, _arm(record, augment="light"), data=grid.data)
    trials = around_trials(grid, grown, data=grid.data, fingerprint=FACTS.fingerprint)
    expected = [(seed, arm.arm_id) for seed in (0, 1) for arm in grown.added_arms]
    assert [(trial.seed, trial.arm_id) for trial in trials] == expected


def test_an_edited_grid_keeps_the_added_arms_that_it_could_still_add() -> None:
    grid = grid_of(GOOD)
    record = record_of(grid)
    grown = with_neighbours(grid, record, _arm(record, augment="light"), data=grid.data)
    stored = StudyRecord.model_validate_json(grown.model_dump_json())
    assert stored.around is not None
    assert still_asked(grid, stored.around.arms) == stored.around.arms
    smaller = grid_of(GOOD.replace("[all, -1, 0]", "[all, -1]"))
    assert [arm.name for arm in still_asked(smaller, stored.around.arms)] == [
        "freeze_depth=all augment=light lora_rank=8"
    ]


def test_planned_trials_and_records_of_other_grids_are_as_before() -> None:
    asking = grid_of(GOOD)
    plain = grid_of(GOOD.replace("around: champion\n", ""))
    ids = []
    for grid in (asking, plain):
        trials = trials_of(grid)
        ids.append([trial.trial_id for trial in trials])
    assert ids[0] == ids[1]
    assert "around" not in json.loads(record_of(plain).model_dump_json())


def test_another_word_is_refused() -> None:
    assert _message(GOOD.replace("around: champion", "around: baseline")) == (
        "x.yaml: 1 mistake, nothing was started\n"
        "  line 14: around: must be 'champion', got 'baseline'"
    )


def test_a_search_adds_no_arms_around_its_best() -> None:
    assert _message(SEARCH) == (
        "x.yaml: 1 mistake, nothing was started\n"
        "  line 8: around: must be left out in a search design: a search chooses its arms by "
        "results as it is; name the best one in a grid of its own as the baseline of a one_factor "
        "design"
    )


def test_arms_that_are_tuned_get_no_untuned_ones_beside_them() -> None:
    assert _message(f"{GOOD}tune: {{batch_size: [4, 8]}}\n") == (
        "x.yaml: 1 mistake, nothing was started\n"
        "  line 14: around: must be left out where arms are tuned: an arm that results add would "
        "not have been tuned as the others were; take design full"
    )
