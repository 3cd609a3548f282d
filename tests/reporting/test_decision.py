"""What a study decides: what to use, what is open, and the command that settles it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ablate.reporting.compute import compute_results
from ablate.reporting.decision import command_with_seeds, decide, seeds_to_exclude_zero
from ablate.reporting.statistics.estimate import Estimate
from ablate.reporting.statistics.verdict import judge


def decision_of(published):
    return decide(compute_results(published.study, published.predictions))


def test_the_best_on_val_is_used_and_the_cheapest_is_one_that_may_be_the_best(published) -> None:
    results = compute_results(published.study, published.predictions)
    decision = decide(results)
    assert decision is not None and decision.cheapest is not None
    assert results.champion is not None
    assert decision.use.arm is results.champion
    assert decision.use.gap is next(
        gap for gap in results.to_baseline if gap.arm_id == results.champion.arm_id
    )
    candidates = {results.champion.arm_id, *results.may_be_best}
    costs = {arm_id: results.number(arm_id, "cost/n_trainable/mean") for arm_id in candidates}
    assert costs[decision.cheapest.arm.arm_id] == min(costs.values())


def test_nothing_completed_decides_nothing(published) -> None:
    assert decision_of(published.with_runs(lambda run: replace(run, status="FAILED"))) is None


def test_the_baseline_may_be_what_to_use(published) -> None:
    best = decision_of(published).use.arm
    decision = decision_of(published.with_record(baseline_arm_id=best.arm_id))
    assert decision.use.arm == decision.baseline.arm
    assert decision.use.gap is None
    assert not any("against the baseline" in one.name for one in decision.open_questions)


def test_one_seed_leaves_all_open_and_knows_no_price(build) -> None:
    decision = decision_of(build(seeds=(0,)))
    assert decision.n_settled == 0
    assert [question.n_seeds for question in decision.open_questions] == [None] * 5
    assert decision.settling_command is None


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("make ablation GRID=flowers", "make ablation GRID=flowers SEEDS=0,3,1,2"),
        ("make ablation GRID=x SEEDS=0,3", "make ablation GRID=x SEEDS=0,3,1,2"),
        ("ablate run 'my grid.yaml'", "ablate run 'my grid.yaml' --seeds 0,3,1,2"),
        ("ablate run x --seeds 0,3", "ablate run x --seeds 0,3,1,2"),
        ("ablate run x --seeds=0,3", "ablate run x --seeds 0,3,1,2"),
    ],
)
def test_the_command_keeps_the_seeds_and_adds_the_next_free_ones(command, expected) -> None:
    assert command_with_seeds(command, (0, 3), 4) == expected


def test_after_so_many_seeds_the_interval_excludes_zero() -> None:
    """Were the difference and its noise what they are: against the interval's own formula."""
    found = Estimate(0.02, 0.012, 0.002, df=8.0, df_seeds=6.0, n_seeds=3, n_cells_left_out=0)
    (judged,) = judge([found])
    assert judged.low < 0
    n_seeds = seeds_to_exclude_zero(judged)
    assert n_seeds is not None
    quantile = (judged.high - found.value) / found.se
    for n, is_enough in ((n_seeds, True), (n_seeds - 1, False)):
        se = math.hypot(0.012 * math.sqrt(3 / n), 0.002)
        assert (quantile * se <= 0.02) == is_enough


def test_too_few_test_images_are_no_matter_of_seeds() -> None:
    found = Estimate(0.02, 0.012, 0.03, df=8.0, df_seeds=6.0, n_seeds=3, n_cells_left_out=0)
    (judged,) = judge([found])
    assert seeds_to_exclude_zero(judged) is None
