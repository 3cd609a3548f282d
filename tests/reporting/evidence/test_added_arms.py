"""Arms that results added: they complete the choices of the best arm, and change nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support.one_answer import contradictions
from support.reports import section, text_of

from ablate.reporting.compute import compute_results
from ablate.reporting.evidence.second_stage_runs import added_runs, named_runs, stray_runs
from ablate.reporting.figures.choose import choose_pictures
from ablate.reporting.pages.html import page
from ablate.reporting.pages.write import render_texts
from ablate.reporting.report_record import report_json
from ablate.reporting.summarise import report_record
from ablate.study.around import Around


class _NoPictures(dict[str, bytes]):
    def __missing__(self, _name: str) -> bytes:
        return b""


@pytest.fixture
def whole(build: Callable[..., Any]) -> Any:
    """A full factorial of three axes."""
    axes = {"freeze_depth": ("all", -1), "augment": ("none", "light"), "head_lr": (1e-3, 1e-2)}
    return build(axes=axes, seeds=(0, 1, 2))


def _best(published: Any) -> str:
    champion = compute_results(published.study, published.predictions).champion
    assert champion is not None
    return champion.arm_id


def _with_added(whole: Any, n_designed: int) -> Any:
    """The same study, of which the design had only arms that are not beside the best one."""
    best = _best(whole)
    record = whole.study.record
    choices = compute_results(whole.study, whole.predictions).choices
    beside = {choice.neighbour.arm_id for choice in choices} - {record.baseline_arm_id}
    added = sorted(beside)[: len(beside) - n_designed]
    designed = tuple(arm for arm in record.arms if arm.arm_id not in added)
    around = Around(
        champion_arm_id=best, arms=tuple(arm for arm in record.arms if arm.arm_id in added)
    )
    return whole.with_record(arms=designed, around=around)


def _without_added(published: Any) -> Any:
    added = {arm.arm_id for arm in published.study.record.added_arms}
    plain = published.with_record(around=None)
    return plain.with_runs(lambda run: None if run.arm_id in added else run)


@pytest.mark.parametrize("n_designed", [0, 1])
def test_the_choices_are_those_of_a_design_that_had_all_arms(whole, n_designed: int) -> None:
    expected = compute_results(whole.study, whole.predictions).choices
    study = _with_added(whole, n_designed)
    assert study.study.record.added_arms
    found = compute_results(study.study, study.predictions).choices
    assert [choice.neighbour for choice in found] == [choice.neighbour for choice in expected]
    for choice, wanted in zip(found, expected, strict=True):
        assert choice.judged.estimate.value == pytest.approx(wanted.judged.estimate.value)
        if not choice.is_shared:
            # The same family with the same scores: the same interval.
            assert choice.judged.low == pytest.approx(wanted.judged.low)
            assert choice.judged.verdict is wanted.judged.verdict


def test_nothing_else_sees_an_added_arm(whole) -> None:
    study = _with_added(whole, 0)
    plain = _without_added(study)
    own = compute_results(plain.study, plain.predictions)
    results = compute_results(study.study, study.predictions)
    assert results.arms.equals(own.arms)
    assert results.trials.equals(own.trials)
    assert [effect.judged for effect in results.effects.promised] == [
        effect.judged for effect in own.effects.promised
    ]
    assert results.to_baseline == own.to_baseline
    assert results.may_be_best == own.may_be_best
    assert results.champion == own.champion
    assert len(own.choices) < len(results.choices)


def test_a_best_arm_that_is_the_baseline_is_compared_with_added_arms_too(whole) -> None:
    best = _best(whole)
    study = _with_added(whole.with_record(baseline_arm_id=best), 0)
    results = compute_results(study.study, study.predictions)
    added = {arm.arm_id for arm in study.study.record.added_arms}
    assert added <= {choice.neighbour.arm_id for choice in results.choices}
    for choice in results.choices:
        assert choice.is_shared == (choice.neighbour.arm_id not in added)


def test_an_added_arm_that_is_ahead_on_val_is_said_and_not_chosen(whole) -> None:
    study = _with_added(whole, 0)
    ahead = study.study.record.added_arms[0]

    def lifted(run):
        score = 0.999 if run.arm_id == ahead.arm_id else run.metrics["val/macro_f1"]
        return replace(run, metrics={**run.metrics, "val/macro_f1": score})

    better = study.with_runs(lifted)
    assert _best(better) == _best(study)
    assert "**Better on val than the best arm:" in section(text_of(better), "Added arms")
    assert "Better on val than the best arm" not in text_of(study)


def test_added_runs_are_known_and_no_strays(whole) -> None:
    study = _with_added(whole, 0).study
    assert len(added_runs(study)) == 3 * len(study.record.added_arms)
    assert set(named_runs(study)) == {run.run_id for run in study.runs}
    assert stray_runs(study) == []


def test_the_report_marks_them_and_says_the_same_everywhere(whole) -> None:
    study = _with_added(whole, 0)
    results = compute_results(study.study, study.predictions)
    texts = render_texts(results, choose_pictures(results))
    texts["report.html"] = page(texts["README.md"], _NoPictures())
    texts["report.json"] = report_json(report_record(results, files={}))
    found, n_read = contradictions(texts)
    assert found == []
    assert n_read > 50
    n_added = len(study.study.record.added_arms)
    told = section(texts["README.md"], "What each choice of the best arm is worth")
    assert told.count("` ＋ |") == n_added
    assert section(texts["README.md"], "Added arms").count("` ＋ |") == n_added
    assert len(texts["added_trials.csv"].splitlines()) == 1 + 3 * n_added
    for arm in study.study.record.added_arms:
        assert arm.arm_id not in texts["arms.csv"]
