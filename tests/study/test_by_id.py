"""What is looked up by an id: arms, their places, trials, their names."""

from __future__ import annotations

from support.toy_study import toy_study

from ablate.study.arm_record import arm_places, arms_by_id, trial_names
from ablate.study.trial import recipes_by_id, trials_by_id


def test_arms_are_found_by_id_in_their_order() -> None:
    record, _ = toy_study(seeds=(0,))
    assert tuple(arms_by_id(record.arms).values()) == record.arms
    assert list(arms_by_id(record.arms)) == [arm.arm_id for arm in record.arms]
    places = arm_places(record.arms)
    assert [record.arms[place].arm_id for place in places.values()] == list(places)


def test_a_record_that_was_copied_with_other_arms_answers_with_these() -> None:
    record, _ = toy_study(seeds=(0,))
    arms_by_id(record.arms)
    fewer = record.model_copy(update={"arms": record.arms[1:]})
    assert record.arms[0].arm_id not in arms_by_id(fewer.arms)


def test_a_trial_is_named_by_its_arm_and_its_seed() -> None:
    record, trials = toy_study(seeds=(0, 7))
    names = trial_names(record.arms, trials)
    assert list(names) == [trial.trial_id for trial in trials]
    for trial in trials:
        name = arms_by_id(record.arms)[trial.arm_id].name
        assert names[trial.trial_id] == f"{name}, seed {trial.seed}"


def test_of_trials_with_one_id_the_first_is_kept() -> None:
    _, trials = toy_study(seeds=(0, 1))
    twin = trials[0].model_copy()
    kept = trials_by_id([*trials, twin])
    assert list(kept.values()) == list(trials)
    assert kept[twin.trial_id] is trials[0]
    assert recipes_by_id(trials)[twin.trial_id] == trials[0].recipe
