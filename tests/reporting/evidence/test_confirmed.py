"""Fresh seeds: a plain paired t on them alone, and nothing of them anywhere else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t, ttest_rel
from support.one_answer import contradictions
from support.reports import section, text_of

from ablate.reporting.compute import compute_results
from ablate.reporting.evidence.confirmed import confirmed
from ablate.reporting.evidence.second_stage_runs import (
    fresh_runs,
    fresh_study,
    named_runs,
    stray_runs,
)
from ablate.reporting.figures.choose import choose_pictures
from ablate.reporting.pages.cards.card import card_text
from ablate.reporting.pages.html import page
from ablate.reporting.pages.write import render_texts
from ablate.reporting.report_record import report_json
from ablate.reporting.summarise import report_record
from ablate.reporting.text.note import study_note
from ablate.study.confirmation import Confirmation

FRESH = (10_000, 10_001, 10_002, 10_003)


class _NoPictures(dict[str, bytes]):
    def __missing__(self, _name: str) -> bytes:
        return b""


@pytest.fixture
def confirming(build: Callable[..., Any]) -> Any:
    """A study whose runs with four of its seeds are those that confirm."""
    whole = build(seeds=(0, 1, *FRESH))
    plain = whole.with_record(seeds=(0, 1))
    results = compute_results(plain.study, plain.predictions)
    assert results.champion is not None
    choice = Confirmation(
        champion_arm_id=results.champion.arm_id,
        baseline_arm_id=results.record.baseline_arm_id,
        cheapest_arm_id=results.record.arms[1].arm_id,
        chosen_with=(0, 1),
        first_seed=FRESH[0],
    )
    chosen = plain.with_record(n_confirm=len(FRESH), confirmation=choice)
    # Only three arms were trained with fresh seeds.
    return chosen.with_runs(
        lambda run: run if run.seed < FRESH[0] or run.arm_id in choice.arm_ids else None
    )


def _without(published: Any) -> Any:
    plain = published.with_record(n_confirm=0, confirmation=None)
    return plain.with_runs(lambda run: run if run.seed < FRESH[0] else None)


def test_the_interval_is_that_of_a_paired_t_test_where_images_do_not_vary(confirming) -> None:
    def gone(_run):
        raise FileNotFoundError

    found = confirmed(confirming.study, gone)
    assert found is not None
    scores = {
        (run.arm_id, run.seed): run.metrics["test/macro_f1"] for run in fresh_runs(confirming.study)
    }
    pairs = [("best arm", found.choice.champion_arm_id, found.choice.baseline_arm_id)]
    pairs.append(("cheapest arm", found.choice.arm_ids[2], found.choice.champion_arm_id))
    assert [(gap.what, gap.arm_id, gap.against) for gap in found.gaps] == pairs
    for gap in found.gaps:
        one = np.array([scores[gap.arm_id, seed] for seed in FRESH])
        other = np.array([scores[gap.against, seed] for seed in FRESH])
        differences = one - other
        half = t.ppf(0.975, 3) * differences.std(ddof=1) / math.sqrt(4)
        assert gap.judged.estimate.value == pytest.approx(differences.mean())
        assert gap.judged.low == pytest.approx(differences.mean() - half)
        assert gap.judged.high == pytest.approx(differences.mean() + half)
        assert gap.judged.p == pytest.approx(ttest_rel(one, other).pvalue)


def test_with_test_images_the_interval_is_no_narrower(confirming) -> None:
    def gone(_run):
        raise FileNotFoundError

    alone = confirmed(confirming.study, gone)
    with_images = confirmed(confirming.study, confirming.predictions)
    assert alone is not None and with_images is not None
    for gap, wider in zip(alone.gaps, with_images.gaps, strict=True):
        assert wider.judged.estimate.se >= gap.judged.estimate.se


def test_no_table_takes_in_a_fresh_seed(confirming) -> None:
    plain = _without(confirming)
    own = compute_results(plain.study, plain.predictions)
    results = compute_results(confirming.study, confirming.predictions)
    for name in ("trials", "arms"):
        assert getattr(results, name).equals(getattr(own, name))
    assert results.to_baseline == own.to_baseline
    assert results.may_be_best == own.may_be_best
    assert (results.confirmed is None, own.confirmed) == (False, None)


def test_fresh_runs_are_known_and_no_strays(confirming) -> None:
    study = confirming.study
    assert len(fresh_runs(study)) == 3 * len(FRESH)
    assert {run.run_id for run in study.runs} == set(named_runs(study))
    assert stray_runs(study) == []
    # Without the confirmation in its record, a study does not know them.
    unknowing = confirming.with_record(n_confirm=0, confirmation=None).study
    assert len(stray_runs(unknowing)) == 3 * len(FRESH)


def test_arms_that_left_the_grid_confirm_nothing(confirming) -> None:
    choice = confirming.study.record.confirmation
    left = choice.model_copy(update={"champion_arm_id": "gone"})
    assert fresh_study(confirming.with_record(confirmation=left).study) is None
    moved = confirming.with_record(baseline_arm_id=choice.champion_arm_id)
    assert fresh_study(moved.study) is None


def test_the_baseline_alone_has_nothing_to_confirm(confirming) -> None:
    choice = confirming.study.record.confirmation
    update = {"champion_arm_id": choice.baseline_arm_id, "cheapest_arm_id": None}
    alone = confirming.with_record(confirmation=choice.model_copy(update=update))
    assert alone.study.record.is_confirmation_chosen
    assert alone.study.record.fresh_seeds == ()
    assert compute_results(alone.study, alone.predictions).confirmed is None


def test_a_failed_fresh_trial_takes_its_pair_away(confirming) -> None:
    champion = confirming.study.record.confirmation.champion_arm_id

    def failed(run):
        is_it = run.arm_id == champion and run.seed == FRESH[0]
        return replace(run, status="FAILED", failure="Boom: x") if is_it else run

    broken = confirming.with_runs(failed)
    found = confirmed(broken.study, broken.predictions)
    assert found is not None
    assert [gap.judged.estimate.n_seeds for gap in found.gaps] == [3, 3]
    assert "11 of 12 trials complete" in text_of(broken)
    assert "(3 of 4 complete)" in text_of(broken)


def test_the_report_says_who_was_chosen_and_what_fresh_seeds_show(confirming) -> None:
    text = text_of(confirming)
    told = section(text, "Confirmed with fresh seeds")
    assert "was chosen by the trials with seeds 0,1" in told
    assert "fresh seeds (10000 to 10003); 12 of 12 trials complete" in told
    assert told.count("\n| ") == 4  # heading, rule, two comparisons
    assert "4 fresh seeds: **" in text
    assert "Confirmed with fresh seeds" not in text_of(_without(confirming))


def test_another_best_arm_by_later_seeds_is_said_and_does_not_take_the_confirmation(
    confirming,
) -> None:
    choice = confirming.study.record.confirmation
    other = next(arm for arm in confirming.study.record.arms if arm.arm_id not in choice.arm_ids)

    def lifted(run):
        score = 0.99 if run.arm_id == other.arm_id else run.metrics["val/macro_f1"]
        return replace(run, metrics={**run.metrics, "val/macro_f1": score})

    text = text_of(confirming.with_runs(lifted))
    told = section(text, "Confirmed with fresh seeds")
    assert "Trials that were added since make another arm the best" in told
    assert "then the best arm: **" in text


def test_every_file_says_the_same_of_fresh_seeds(confirming) -> None:
    results = compute_results(confirming.study, confirming.predictions)
    texts = render_texts(results, choose_pictures(results))
    texts["report.html"] = page(texts["README.md"], _NoPictures())
    texts["report.json"] = report_json(report_record(results, files={}))
    found, n_read = contradictions(texts)
    assert found == []
    assert n_read > 100
    rows = texts["confirmation.csv"].splitlines()
    spoilt = rows[1].replace(",0.", ",0.9", 1)
    wrong = {**texts, "confirmation.csv": "\n".join([rows[0], spoilt, *rows[2:]])}
    assert contradictions(wrong)[0] or spoilt == rows[1]


def test_the_card_of_the_confirmed_arm_and_the_note_say_what_fresh_seeds_show(confirming) -> None:
    results = compute_results(confirming.study, confirming.predictions)
    assert results.champion is not None
    told = {arm.arm_id: card_text(results, arm) for arm in results.record.arms}
    with_it = [arm_id for arm_id, text in told.items() if "With fresh seeds" in text]
    assert with_it == [results.champion.arm_id]
    said = "(seeds 10000 to 10003, which had no part in its choice; 4 of 4 complete): **"
    assert said in told[results.champion.arm_id]
    note = study_note(report_record(results, files={}))
    assert note.count("Fresh seeds, best arm against the baseline: ") == 1
    assert note.count("Fresh seeds, cheapest arm against the best arm: ") == 1


def test_a_study_without_fresh_seeds_says_nothing_of_them_in_cards_and_note(confirming) -> None:
    plain = _without(confirming)
    results = compute_results(plain.study, plain.predictions)
    for arm in results.record.arms:
        assert "resh seeds" not in card_text(results, arm)
    assert "resh seeds" not in study_note(report_record(results, files={}))
