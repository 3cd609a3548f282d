"""What a plan costs, from known speeds."""

from __future__ import annotations

from dataclasses import replace

from ablate.advice.advise import advise
from ablate.advice.cost import Work, memory_gb, seconds_a_trial
from ablate.advice.facts import ImageSetFacts, MachineFacts
from ablate.advice.rough_cost import rough_cost

FACTS = ImageSetFacts(
    source="folder", n_train=400, n_val=100, n_test=100, classes=("a", "b", "c", "d")
)
LAPTOP = MachineFacts(cores=2, has_bf16=True)
WORK = Work(
    backbone="tf_efficientnet_lite0", n_train=300, n_val=150, image_size=224, depth=0, epochs=3
)


def test_full_fine_tuning_takes_what_the_docs_say() -> None:
    """docs/performance.md: 46 s of a trial in a slot of one core, plain arithmetic here."""
    one_core = replace(LAPTOP, cores=1)
    by_hand = 2 + 300 * 3 / 20 + 150 * 4 / 50
    assert seconds_a_trial(WORK, one_core) == by_hand
    assert 40 < by_hand < 80


def test_more_work_takes_longer() -> None:
    usual = seconds_a_trial(WORK, LAPTOP)
    assert seconds_a_trial(replace(WORK, image_size=448), LAPTOP) > 3 * usual
    assert seconds_a_trial(replace(WORK, depth=-1), LAPTOP) < usual / 2
    frozen = replace(WORK, depth=-1)
    assert seconds_a_trial(replace(frozen, is_augmented=True), LAPTOP) > seconds_a_trial(
        frozen, LAPTOP
    )
    assert seconds_a_trial(WORK, replace(LAPTOP, has_bf16=False)) > 1.8 * usual
    assert seconds_a_trial(WORK, replace(LAPTOP, gpu_gb=8.0)) < usual / 4


def test_memory_grows_with_batch_and_pixels() -> None:
    usual = memory_gb(WORK, batch_size=16)
    assert memory_gb(WORK, batch_size=32) == 2 * usual
    assert memory_gb(replace(WORK, image_size=448), batch_size=16) == 4 * usual


def test_a_study_costs_its_arms() -> None:
    advice = advise(FACTS, LAPTOP, given={"base.epochs": 6, "base.freeze_depth": 0})
    assert advice.below("axes") == {"freeze_depth": ["all", 0, -3], "augment": ["none", "strong"]}
    cost = rough_cost(FACTS, LAPTOP, advice)
    trials = []
    for depth in ("all", 0, -3):
        for is_augmented in (False, True):
            work = Work(
                backbone="tf_efficientnet_lite0",
                n_train=400,
                n_val=100,
                image_size=224,
                depth=depth,
                epochs=6,
                is_augmented=is_augmented,
            )
            trials.append(seconds_a_trial(work, LAPTOP))
    assert cost.n_arms == 6
    assert abs(cost.study_s - cost.n_seeds * sum(trials)) < 1e-6
    assert cost.trial_s == trials[3]


def test_a_cell_that_is_a_contradiction_is_not_counted() -> None:
    advice = advise(FACTS, replace(LAPTOP, minutes=300.0))
    assert advice.below("axes")["strategy"] == ["single", "lp_ft"]
    # a probe has one phase: 2 arms of it, and 4 of everything
    assert rough_cost(FACTS, LAPTOP, advice).n_arms == 6


def test_the_line_says_that_nothing_was_measured() -> None:
    advice = advise(FACTS, LAPTOP)
    line = rough_cost(FACTS, LAPTOP, advice).line
    assert "from known speeds" in line
    assert line.endswith("--probe measures here")
