"""Declared questions: a family of their own, one answer everywhere, the rest exploratory."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from support.simulated import METRICS, PRIMARY, Scenario, frame_of, make_record

from ablate.reporting.compute import compute_results
from ablate.reporting.evidence.arm_gaps import gaps_to
from ablate.reporting.evidence.effect_table import effect_frame
from ablate.reporting.evidence.effects import Effects, study_effects
from ablate.reporting.evidence.scores import StudyScores
from ablate.reporting.pages.readme import report_text
from ablate.reporting.report_record import report_json
from ablate.reporting.statistics.verdict import QUESTIONS_ALPHA, Verdict
from ablate.reporting.summarise import report_record
from ablate.study.question import Question
from ablate.study.record import StudyRecord

SCENARIO = Scenario({"a": ("0", "1", "2"), "b": ("x", "y")}, n_seeds=3)
TWO_OVER_ONE = Question(name="two over one", levels={"a": "2"}, against={"a": "1"})
PROBE_OVER_TWO = Question(name="a=0 over a=2", levels={"a": "0"}, against={"a": "2"})
TWO_ARMS = Question(name="best of both", levels={"a": "2", "b": "y"}, against={"a": "0", "b": "x"})


def _record(*questions: Question, margin: float | None = None) -> StudyRecord:
    changes = {"questions": questions, "margin": margin}
    return make_record(SCENARIO).model_copy(update=changes)


def _trials(record: StudyRecord, *, noise: float = 0.001) -> pd.DataFrame:
    """`a=2` scores 0.1 higher, the rest is noise."""
    rng = np.random.default_rng(3)
    scores = rng.normal(0.7, noise, size=(len(record.arms), len(record.seeds)))
    for place, arm in enumerate(record.arms):
        scores[place] += 0.1 * (arm.cells[0]["a"] == "2")
    return frame_of(record, dict.fromkeys(METRICS, scores))


def _effects(record: StudyRecord, **how: float) -> Effects:
    return study_effects(record, _trials(record, **how), {})


def _by_name(effects: Effects, metric: str = PRIMARY) -> dict[tuple[str, str], object]:
    return {
        (effect.comparison.kind, effect.comparison.name): effect
        for effect in effects.all
        if effect.metric == metric
    }


def test_levels_are_compared_over_all_matched_cells_and_arms_in_one() -> None:
    record = _record(TWO_OVER_ONE, TWO_ARMS)
    trials = _trials(record).set_index(["arm_id", "seed"])[PRIMARY]
    levels, arms = (e for e in _effects(record).questions if e.metric == PRIMARY)
    differences = [
        trials[f"2/{b}", seed] - trials[f"1/{b}", seed]
        for b, seed in itertools.product("xy", range(3))
    ]
    assert levels.estimate == pytest.approx(np.mean(differences))
    assert levels.n_pairs == 6
    assert arms.estimate == pytest.approx((trials["2/y"] - trials["0/x"]).mean())
    assert arms.n_pairs == 3
    assert arms.comparison.axes == ("a", "b")
    assert arms.comparison.kind == "question"  # two axes, and yet no interaction


def test_questions_share_their_error_among_themselves_only() -> None:
    few = _effects(_record(TWO_OVER_ONE))
    (alone,) = (effect for effect in few.questions if effect.metric == PRIMARY)
    half_width = alone.judged.estimate.half_width(QUESTIONS_ALPHA)
    assert alone.judged.high - alone.estimate == pytest.approx(half_width)
    assert few.n_tests == 1
    assert [effect.comparison.name for effect in few.promised] == ["two over one"]


def test_without_questions_nothing_is_exploratory_and_all_is_as_it_was() -> None:
    record = _record()
    effects = _effects(record)
    assert not effects.questions
    assert not any(effect.is_exploratory for effect in effects.all)
    asking = _effects(_record(TWO_OVER_ONE))
    assert all(effect.is_exploratory for effect in (*asking.mains, *asking.interactions))
    # `two over one` is no comparison with the baseline's level: main effects keep their intervals
    for effect, other in zip(effects.mains, asking.mains, strict=True):
        assert (effect.judged.low, effect.judged.high) == (other.judged.low, other.judged.high)


def test_a_main_effect_that_is_asked_for_has_the_questions_answer() -> None:
    record = _record(PROBE_OVER_TWO)
    effects = _effects(record)
    (question,) = (effect for effect in effects.questions if effect.metric == PRIMARY)
    main = next(e for e in effects.of_axis("a", PRIMARY) if e.comparison.levels == ("2",))
    # the question is the other way round: 0 against 2
    assert question.verdict is Verdict.WORSE
    assert main.verdict is Verdict.BETTER
    assert main.judged.low == -question.judged.high
    assert main.judged.high == -question.judged.low
    assert main.judged.p == question.judged.p
    assert not main.is_exploratory
    other = next(e for e in effects.of_axis("a", PRIMARY) if e.comparison.levels == ("1",))
    assert other.is_exploratory


def test_an_arm_that_is_asked_for_has_the_questions_answer() -> None:
    record = _record(TWO_ARMS)
    trials = _trials(record)
    effects = study_effects(record, trials, {})
    gaps = gaps_to(
        StudyScores(record, trials, {}),
        reference=record.arms[0],
        order=[arm.arm_id for arm in record.arms],
        answered=effects.questions,
    )
    (question,) = (effect for effect in effects.questions if effect.metric == PRIMARY)
    by_arm = {gap.arm_id: gap.judged for gap in gaps}
    assert by_arm["2/y"] == question.judged
    assert by_arm["2/x"] != question.judged


def test_a_margin_settles_what_is_small_and_names_what_is_large() -> None:
    effects = _effects(_record(TWO_OVER_ONE, margin=5.0))
    (question,) = (effect for effect in effects.questions if effect.metric == PRIMARY)
    assert question.judged.beyond_margin
    nothing = next(e for e in effects.of_axis("a", PRIMARY) if e.comparison.levels == ("1",))
    assert nothing.verdict is Verdict.NO_LARGER
    # the margin is one of the primary metric
    secondary = effects.secondary
    other = next(e for e in effects.of_axis("a", secondary) if e.comparison.levels == ("1",))
    assert other.verdict is Verdict.UNDECIDED


def test_arms_are_judged_by_the_margin_too() -> None:
    record = _record(margin=5.0)
    gaps = gaps_to(
        StudyScores(record, _trials(record), {}),
        reference=record.arms[0],
        order=[arm.arm_id for arm in record.arms],
    )
    verdicts = {gap.arm_id: gap.judged.verdict for gap in gaps}
    assert verdicts["1/x"] is Verdict.NO_LARGER
    assert verdicts["2/x"] is Verdict.BETTER


def test_with_a_margin_an_undecided_effect_needs_fewer_seeds() -> None:
    without = _effects(_record(), noise=0.02).of_axis("a", PRIMARY)[0]
    within = _effects(_record(margin=5.0), noise=0.02).of_axis("a", PRIMARY)[0]
    assert within.verdict is Verdict.UNDECIDED
    needed = within.seeds_to_settle
    assert needed is not None
    assert needed <= (without.seeds_to_settle or math.inf)


def test_a_question_without_a_complete_pair_is_unknown() -> None:
    record = _record(TWO_ARMS)
    trials = _trials(record)
    effects = study_effects(record, trials[trials["arm_id"] != "2/y"], {})
    assert {effect.verdict for effect in effects.questions} == {Verdict.UNKNOWN}


def test_tables_and_record_name_the_questions(published) -> None:
    question = Question(
        name="light | *none*", levels={"augment": "light"}, against={"augment": "none"}
    )
    study = published.with_record(questions=(question,), margin=2.0)
    results = compute_results(study.study, study.predictions)
    table = effect_frame(results.effects.all)
    assert table["kind"].iloc[0] == "question"
    assert table["name"].iloc[0] == "light | *none*"
    assert not table["is_exploratory"].iloc[0]
    written = json.loads(report_json(report_record(results, files={})))
    assert written["study"]["margin"] == 2.0
    first = written["effects"][0]
    assert (first["kind"], first["name"]) == ("question", "light | *none*")
    text = report_text(results, {})
    asked = text.split("## What was asked\n")[1].split("\n## ")[0]
    assert "1 question declared before training" in asked
    assert "`augment=light` against `augment=none`" in asked
    assert "*none*" not in asked  # a name is words, never markup
    assert "Verdicts marked exploratory answer no declared question" in text
    plain = compute_results(published.study, published.predictions)
    assert "xploratory" not in report_text(plain, {})
