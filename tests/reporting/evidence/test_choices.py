"""What each choice of the best arm is worth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ablate.recipe.levels import level_text
from ablate.reporting.compute import compute_results
from ablate.reporting.evidence.choices import neighbours
from ablate.reporting.statistics.verdict import Verdict


def test_neighbours_differ_in_one_axis_and_none_is_left_out(published) -> None:
    """Against a loop over all pairs of cells."""
    record = published.study.record
    for arm in record.arms:
        expected = set()
        for cell in arm.cells:
            for other in record.arms:
                for theirs in other.cells:
                    axes = [axis for axis in record.axes if cell[axis] != theirs[axis]]
                    if len(axes) == 1 and other.arm_id != arm.arm_id:
                        expected.add((axes[0], level_text(theirs[axes[0]]), other.arm_id))
        found = [(one.axis, one.level, one.arm_id) for one in neighbours(record, arm)]
        assert sorted(found) == sorted(expected)


def test_a_choice_is_worth_the_paired_difference(published) -> None:
    results = compute_results(published.study, published.predictions)
    assert results.choices and results.champion is not None
    for choice in results.choices:
        scores = results.trials.pivot(
            index="seed", columns="arm_id", values=results.effects.primary
        )
        differences = scores[results.champion.arm_id] - scores[choice.neighbour.arm_id]
        assert choice.judged.estimate.value == pytest.approx(differences.mean())


def test_the_answer_the_other_way_round(published) -> None:
    results = compute_results(published.study, published.predictions)
    judged = replace(results.to_baseline[0].judged, verdict=Verdict.BETTER)
    reverse = judged.reversed()
    assert (reverse.low, reverse.high) == (-judged.high, -judged.low)
    assert {judged.verdict, reverse.verdict} == {"better", "worse"}
    assert reverse.reversed() == judged
