"""What a study decides: what to use, what is open, and the command that settles it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ablate.reporting.compute import compute_results
from ablate.reporting.decision import command_with_seeds, decide
from ablate.reporting.pages.sections.first_screen import first_screen
from ablate.reporting.statistics.verdict import Verdict
from ablate.reporting.text.conclusions import ties_sentence
from ablate.study.question import Question


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


def test_of_arms_that_cost_the_same_the_baseline_is_the_cheapest(published) -> None:
    results = compute_results(published.study, published.predictions)
    costs = {}
    for arm_id in results.arms["arm_id"]:
        costs[arm_id] = results.number(arm_id, "cost/n_trainable/mean")
    cheapest = [arm_id for arm_id in costs if costs[arm_id] == min(costs.values())]
    assert len(cheapest) > 1 and results.champion is not None
    assert results.champion.arm_id not in cheapest
    # the last of them on val
    study = published.with_record(baseline_arm_id=cheapest[-1])
    again = compute_results(study.study, study.predictions)
    decision = decide(replace(again, may_be_best=frozenset(costs)))
    assert decision is not None and decision.cheapest is not None
    assert decision.cheapest.arm.arm_id == cheapest[-1]


def test_nothing_completed_decides_nothing(published) -> None:
    assert decision_of(published.with_runs(lambda run: replace(run, status="FAILED"))) is None


def test_the_baseline_may_be_what_to_use(published) -> None:
    best = decision_of(published).use.arm
    decision = decision_of(published.with_record(baseline_arm_id=best.arm_id))
    assert decision.use.arm == decision.baseline.arm
    assert decision.use.gap is None
    assert not any(one.is_of_best_arm for one in decision.open_questions)


def test_one_seed_leaves_all_open_and_knows_no_price(build) -> None:
    decision = decision_of(build(seeds=(0,)))
    assert decision.n_settled == 0
    assert [question.n_seeds for question in decision.open_questions] == [None] * 5
    assert decision.settling_command == "make ablation GRID=flowers SEEDS=0-2"


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


def test_the_command_settles_the_question_that_is_named_beside_it(published) -> None:
    decision = decision_of(published)
    priced = [one for one in decision.open_questions if one.n_seeds is not None]
    assert decision.settled_next == (priced[0] if priced else None)
    assert (decision.settling_command is None) == (not priced)


def test_questions_are_counted_where_the_grid_declares_some(published) -> None:
    question = Question(name="light?", levels={"augment": "light"}, against={"augment": "none"})
    decision = decision_of(published.with_record(questions=(question,)))
    assert (decision.kind, decision.n_compared) == ("question", 1)
    assert decision_of(published).kind == "main effect"


def test_the_summary_names_the_cheapest_of_the_first_screen(published) -> None:
    """Also where the score is better when low, and where the champion is not among the best."""
    results = compute_results(published.study, published.predictions)
    for candidates in (results.may_be_best, frozenset({results.record.arms[1].arm_id})):
        changed = replace(results, may_be_best=candidates)
        decision = decide(changed)
        assert decision is not None and decision.cheapest is not None
        cheapest = decision.cheapest
        named = f"`{cheapest.name}`: it trains"
        if cheapest.arm == results.champion:
            named = "No other trains fewer"
        assert named in ties_sentence(changed)


def test_a_settled_answer_against_the_best_on_val_is_said_beside_it(build) -> None:
    published = build(seeds=range(8))
    results = compute_results(published.study, published.predictions)
    settled = {}
    for effect in results.effects.promised:
        if effect.verdict is Verdict.BETTER and not effect.comparison.is_interaction:
            settled[effect.comparison.name] = effect
    thawed = settled["freeze_depth=-1"]
    # as if val had chosen an arm whose level test has shown to be the worse one
    place = thawed.comparison.contrast.cells[0][1]
    misled = replace(results, champion=results.record.arms[place])
    decision = decide(misled)
    assert decision is not None and decision.spoken_against is thawed
    screen = first_screen(misled, lambda *_: "")
    assert "| Best on val | How sure |" in screen
    said = (
        f"`freeze_depth=all` is worse than `freeze_depth=-1`, {-100 * thawed.estimate:+.1f} points"
    )
    assert f"| a settled answer speaks against it: {said} |" in screen


def test_nothing_speaks_against_the_best_on_val_where_val_and_test_agree(build) -> None:
    published = build(seeds=range(8))
    results = compute_results(published.study, published.predictions)
    decision = decide(results)
    assert decision is not None and decision.n_settled > 0
    assert decision.spoken_against is None
    assert "| Use this | How sure |" in first_screen(results, lambda *_: "")
