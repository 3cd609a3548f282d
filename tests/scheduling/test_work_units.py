"""Trials that share a build go where nobody waits for it, and no trial is lost or taken twice on
the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.recipe.recipe import Recipe
from ablate.scheduling.trial_costs import prior
from ablate.scheduling.work_units import UnitOf, WorkUnits
from ablate.study.trial import DataSpec, Trial


def _trial(seed: int, augment: str, lr: float, depth: str | int = "all") -> Trial:
    recipe = Recipe(augment=augment, head_lr=lr, freeze_depth=depth)
    return Trial(
        task="classification",
        data=DataSpec(source="folder"),
        data_fingerprint="f",
        recipe=recipe,
        select_by="val/macro_f1",
        seed=seed,
    )


def _unit(trial: Trial) -> str | None:
    if trial.recipe.freeze_depth == 0:
        return None
    return (
        trial.recipe.augment
        if trial.recipe.augment == "none"
        else f"{trial.recipe.augment} {trial.seed}"
    )


def _grid(seeds: tuple[int, ...] = (0, 1)) -> list[Trial]:
    return [
        _trial(seed, augment, lr)
        for seed in seeds
        for augment in ("none", "light")
        for lr in (1e-3, 1e-2)
    ]


def _named(trial: Trial | None) -> tuple[int, Any, Any] | None:
    return None if trial is None else (trial.seed, trial.recipe.augment, trial.recipe.head_lr)


def test_a_second_slot_takes_another_unit_while_the_first_one_builds() -> None:
    units = WorkUnits(_grid(), _unit)
    first, second = units.take(), units.take()
    assert (_named(first), _named(second)) == ((0, "none", 1e-3), (0, "light", 1e-3))
    # both units of the round are being built: the next round has one that nobody builds
    third = units.take()
    assert _named(third) == (1, "light", 1e-3)
    assert first is not None
    units.ended(first, is_complete=True)
    assert _named(units.take()) == (0, "none", 1e-2)


def test_a_warm_unit_is_used_up_before_another_is_begun() -> None:
    units = WorkUnits(_grid((0,)), _unit)
    taken = []
    while (trial := units.take()) is not None:
        taken.append(_named(trial))
        units.ended(trial, is_complete=True)
    assert taken == [(0, "none", 1e-3), (0, "none", 1e-2), (0, "light", 1e-3), (0, "light", 1e-2)]


def test_where_nothing_else_is_left_a_slot_helps_with_a_unit_that_is_being_built() -> None:
    units = WorkUnits([_trial(0, "light", lr) for lr in (1e-3, 1e-2, 1e-1)], _unit)
    assert [_named(units.take()) for _ in range(4)] == [
        (0, "light", 1e-3),
        (0, "light", 1e-2),
        (0, "light", 1e-1),
        None,
    ]


def test_a_unit_whose_builder_failed_is_cold_again() -> None:
    units = WorkUnits(_grid((0,)), _unit)
    first = units.take()
    assert first is not None
    units.ended(first, is_complete=False)
    assert _named(units.take()) == (0, "none", 1e-2)


def test_trials_that_share_nothing_keep_the_order_of_the_grid_and_retries_come_last() -> None:
    trials = [_trial(0, "none", lr, depth=0) for lr in (1e-3, 1e-2, 1e-1)]
    units = WorkUnits(trials, _unit)
    first = units.take()
    assert first is trials[0]
    units.ended(first, is_complete=False)
    units.again(first)
    assert [units.take() for _ in range(3)] == [trials[1], trials[2], trials[0]]


def test_the_longest_of_those_that_share_nothing_start_first_round_by_round() -> None:
    """A long one that started last would run alone, beside idle slots."""
    lengths = (2, 20, 5, 20)
    trials = []
    for seed in (0, 1):
        for number, epochs in enumerate(lengths):
            trial = _trial(seed, "none", (number + 1) * 1e-3, depth=0)
            recipe = trial.recipe.model_copy(update={"epochs": epochs})
            trials.append(trial.model_copy(update={"recipe": recipe}))
    units = WorkUnits(trials, _unit)
    taken = []
    while (next_one := units.take()) is not None:
        taken.append(trials.index(next_one))
    assert taken == [1, 3, 2, 0, 5, 7, 6, 4]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_trial_is_taken_once_and_no_seed_runs_far_ahead(data: st.DataObject) -> None:
    trials = [*_grid((0, 1, 2)), *(_trial(seed, "none", 0.5, depth=0) for seed in (0, 1, 2))]
    trials.sort(key=lambda trial: trial.seed)
    units = WorkUnits(trials, _unit)
    n_slots = data.draw(st.integers(1, 3))
    running: list[Trial] = []
    taken: list[Trial] = []
    while len(units) or running:
        if len(units) and len(running) < n_slots:
            trial = units.take()
            assert trial is not None
            running.append(trial)
            taken.append(trial)
            behind = [other for other in trials if other.seed < trial.seed and other not in taken]
            busy = {_unit(other) for other in running if other is not trial}
            # an earlier seed waits only for what is being built
            assert all(_unit(other) in busy for other in behind)
        else:
            ended = running.pop(data.draw(st.integers(0, len(running) - 1)))
            units.ended(ended, is_complete=data.draw(st.booleans()))
    assert units.take() is None
    assert sorted(trial.trial_id for trial in taken) == sorted(trial.trial_id for trial in trials)


@pytest.mark.parametrize("n_trials", [10_000])
def test_taking_does_not_look_at_every_trial(n_trials: int) -> None:
    looked = 0

    def unit_of(trial: Trial) -> str | None:
        nonlocal looked
        looked += 1
        return _unit(trial)

    units = WorkUnits([_trial(0, "light", 1e-3)] * n_trials, unit_of)
    while (trial := units.take()) is not None:
        units.ended(trial, is_complete=True)
    assert looked == 3 * n_trials


class _SlowUnits:
    """The order by its definition: at every turn it looks at every trial that waits."""

    def __init__(self, trials: list[Trial], unit_of: UnitOf) -> None:
        self._rounds = [list(group) for _, group in groupby(trials, key=lambda trial: trial.seed)]
        self._unit_of = unit_of
        units = [unit_of(trial) for trial in trials]
        self._shared = {unit for unit in units if unit is not None and units.count(unit) > 1}
        self._warm: set[str | None] = set()
        self._running: list[str] = []
        self._again: list[Trial] = []

    def take(self) -> Trial | None:
        trial = next(self._in_order(), None)
        if trial is not None:
            next(waiting for waiting in self._rounds if trial in waiting).remove(trial)
        elif self._again:
            trial = self._again.pop(0)
        else:
            return None
        unit = self._unit_of(trial)
        if unit is not None:
            self._running.append(unit)
        return trial

    def ended(self, trial: Trial, *, is_complete: bool) -> None:
        unit = self._unit_of(trial)
        if unit is not None:
            self._running.remove(unit)
            if is_complete:
                self._warm.add(unit)

    def again(self, trial: Trial) -> None:
        self._again.append(trial)

    def _in_order(self) -> Iterator[Trial]:
        busy = []
        for waiting in self._rounds:
            alone = [trial for trial in waiting if self._unit_of(trial) not in self._shared]
            # stable: those that cost the same stay in the order of the grid
            yield from sorted(alone, key=lambda trial: -prior(trial.recipe))
            shared = [trial for trial in waiting if trial not in alone]
            yield from (trial for trial in shared if self._unit_of(trial) in self._warm)
            for trial in shared:
                if self._unit_of(trial) in self._running:
                    busy.append(trial)
                else:
                    yield trial
        yield from busy


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_order_is_that_of_looking_at_every_trial(data: st.DataObject) -> None:
    """Units that live in one round or in all of them, trials of none, failures and retries."""
    augments = st.sampled_from(["none", "light", "strong"])
    depths: st.SearchStrategy[str | int] = st.sampled_from(["all", 0])
    arms = data.draw(st.lists(st.tuples(augments, depths), min_size=1, max_size=5))
    trials = [
        _trial(seed, augment, (number + 1) * 1e-3, depth)
        for seed in range(data.draw(st.integers(1, 4)))
        for number, (augment, depth) in enumerate(arms)
    ]
    fast = WorkUnits(trials, _unit)
    slow = _SlowUnits(trials, _unit)
    running: list[Trial] = []
    retried: set[str] = set()
    while len(fast) or running:
        if len(fast) and (not running or data.draw(st.booleans())):
            taken = fast.take()
            assert taken is slow.take()
            assert taken is not None
            running.append(taken)
        else:
            ended = running.pop(data.draw(st.integers(0, len(running) - 1)))
            is_complete = data.draw(st.booleans())
            is_again = not is_complete and ended.trial_id not in retried
            retried.add(ended.trial_id)
            for units in (fast, slow):
                units.ended(ended, is_complete=is_complete)
                if is_again:
                    units.again(ended)
    assert fast.take() is None
    assert slow.take() is None
