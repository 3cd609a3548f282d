"""`confirm`: what a grid may ask for, and which seeds are fresh."""

from __future__ import annotations

import json

import pytest
from support.grids import FACTS, grid_of, record_of, trials_of

from ablate.errors import SpecError
from ablate.grid.expand import noise_seeds
from ablate.grid.fresh_seeds import check_fresh, first_fresh_seed, fresh_trials
from ablate.grid.grid_file import Grid
from ablate.study.confirmation import Confirmation
from ablate.study.record import StudyRecord

GOOD = """\
task: classification
data: {source: rendered_flowers}
base: {epochs: 2}
axes: {freeze_depth: [all, -1, 0]}
seeds: [0, 1]
baseline: {freeze_depth: all}
select_by: val/macro_f1
"""
SEARCH = """\
task: classification
data: {source: rendered_flowers}
base: {epochs: 2}
design: {search: {sampler: tpe, n_trials: 5, confirm: 2}}
axes: {head_lr: {low: 1.0e-3, high: 1.0e-1}}
seeds: [0, 1]
select_by: val/macro_f1
confirm: 3
"""


def _chosen(grid: Grid, *, first_seed: int) -> StudyRecord:
    record = record_of(grid)
    choice = Confirmation(
        champion_arm_id=record.arms[2].arm_id,
        baseline_arm_id=record.baseline_arm_id,
        chosen_with=record.seeds,
        first_seed=first_seed,
    )
    return record.model_copy(update={"confirmation": choice})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1", "confirm: must be greater than or equal to 2, got 1"),
        ("101", "confirm: must be less than or equal to 100, got 101"),
        ("2.5", "confirm: must be an int, got 2.5"),
        ("yes please", "confirm: must be an int, got 'yes please'"),
        ("true", "confirm: must be an int, got True"),
    ],
)
def test_a_wrong_number_is_refused_where_it_stands(value: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        grid_of(f"{GOOD}confirm: {value}\n")
    assert str(caught.value) == (f"x.yaml: 1 mistake, nothing was started\n  line 8: {message}")


def test_a_search_has_a_confirm_of_its_own() -> None:
    with pytest.raises(SpecError) as caught:
        grid_of(SEARCH)
    assert str(caught.value) == (
        "x.yaml: 1 mistake, nothing was started\n"
        "  line 8: confirm: must be left out in a search design: its arms are confirmed as "
        "`confirm` of design.search says, with seeds that the search did not use"
    )


def test_asking_for_fresh_seeds_changes_no_planned_trial() -> None:
    plain = grid_of(GOOD)
    asking = grid_of(f"{GOOD}confirm: 5\n")
    ids = []
    for grid in (plain, asking):
        trials = trials_of(grid)
        ids.append([trial.trial_id for trial in trials])
    assert ids[0] == ids[1]
    assert record_of(plain).study_id == record_of(asking).study_id


def test_a_record_that_confirms_nothing_reads_as_before() -> None:
    written = json.loads(record_of(grid_of(GOOD)).model_dump_json())
    assert not {"n_confirm", "confirmation"} & written.keys()
    asking = _chosen(grid_of(f"{GOOD}confirm: 5\n"), first_seed=10_000)
    assert StudyRecord.model_validate_json(asking.model_dump_json()) == asking


@pytest.mark.parametrize(
    ("changes", "used", "expected"),
    [
        ("", (), 10_000),
        ("noise_floor: 3\n", (), 10_000),
        ("seeds: [0, 9999]\nnoise_floor: 2\n", (), 20_000),
        ("seeds: [20000]\n", (), 30_000),
        ("tune: {batch_size: [4, 8]}\npilot_seed: 12345\n", (), 20_000),
        ("", (10_000,), 20_000),
    ],
)
def test_fresh_seeds_lie_beyond_all_others(changes: str, used: tuple[int, ...], expected) -> None:
    text = GOOD
    if "seeds: [" in changes:
        text = text.replace("seeds: [0, 1]\n", "")
    grid = grid_of(text + changes + "confirm: 4\n")
    first = first_fresh_seed(grid, grid.seeds, used=used)
    assert first == expected
    assert first > max(*grid.seeds, *noise_seeds(grid, grid.seeds), grid.pilot_seed)


def test_fresh_trials_are_each_chosen_arm_with_each_fresh_seed() -> None:
    grid = grid_of(f"{GOOD}confirm: 2\n")
    record = _chosen(grid, first_seed=10_000)
    trials = fresh_trials(grid, record, data=grid.data, fingerprint=FACTS.fingerprint)
    assert record.confirmation is not None
    expected = []
    for seed in (10_000, 10_001):
        for arm_id in record.confirmation.arm_ids:
            expected.append((seed, arm_id))
    assert [(trial.seed, trial.arm_id) for trial in trials] == expected
    assert fresh_trials(grid, record_of(grid), data=grid.data, fingerprint=FACTS.fingerprint) == []


def test_a_seed_that_chooses_cannot_confirm() -> None:
    grid = grid_of(f"{GOOD}confirm: 3\n")
    with pytest.raises(SpecError) as caught:
        check_fresh(_chosen(grid, first_seed=1))
    assert str(caught.value) == (
        "seeds must not be among the fresh ones that confirm the best arm (1 to 3), got 1: "
        "a seed that chooses cannot confirm; take other seeds"
    )
    check_fresh(_chosen(grid, first_seed=10_000))


def test_too_many_fresh_trials_are_too_many_trials() -> None:
    seeds = ", ".join(map(str, range(10_000)))
    text = GOOD.replace("[0, 1]", f"[{seeds}]").replace(
        "axes: {freeze_depth: [all, -1, 0]}",
        "axes: {freeze_depth: [all, -1], head_lr: [0.1, 0.2, 0.3, 0.4, 0.5]}",
    )
    grid = grid_of(f"{text}confirm: 2\n")
    with pytest.raises(SpecError, match="a study must have at most 100,000 trials, got 100,006"):
        trials_of(grid)
