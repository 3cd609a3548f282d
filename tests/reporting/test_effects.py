"""Paired differences against loops over runs, against scipy's paired t, and on studies whose effects are planted."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ablate.reporting.effects import PairedDifferences, arm_gap, axis_effects, baseline_level, expected_optimism, seed_sd, summarise
from ablate.reporting.tables import trial_frame

METRIC = "test/macro_f1"


def planted(published, value):
    """The study with `METRIC` set to value(recipe, seed)."""
    recipes = {arm.arm_id: arm.recipe for arm in published.study.record.arms}
    return published.with_runs(lambda run: replace(run, metrics={**run.metrics, METRIC: value(recipes[run.arm_id], run.seed)}))


def effect_of(published, axis: str):
    trials = trial_frame(published.study)
    (found,) = [effect for effect in axis_effects(published.study.record, trials, metrics=(METRIC,)) if effect.axis == axis]
    return found


def test_pairs_are_those_of_a_slow_loop_over_cells(published) -> None:
    record = published.study.record
    scores = {(run.arm_id, run.seed): run.metrics[METRIC] for run in published.study.runs}
    cells = {tuple(cell.items()): arm.arm_id for arm in record.arms for cell in arm.cells}
    expected = []
    for (one, arm), (two, other) in itertools.product(cells.items(), repeat=2):
        a, b = dict(one), dict(two)
        if arm != other and a["augment"] == "light" and {**a, "augment": "none"} == b:
            expected += [scores[arm, seed] - scores[other, seed] for seed in record.seeds]
    pairs = PairedDifferences(METRIC)(record, trial_frame(published.study))
    found = pairs.loc[pairs["axis"] == "augment", "difference"]
    assert len(expected) == 12
    assert sorted(found) == pytest.approx(sorted(expected))


def test_a_planted_effect_is_found_whole_although_cells_are_merged_and_excluded(published) -> None:
    study = planted(published, lambda recipe, seed: 0.5 + 0.2 * (recipe.freeze_depth == -1) + 0.05 * (recipe.lora_rank == 8) + 0.01 * seed)
    for axis, size in {"freeze_depth": 0.2, "lora_rank": 0.05, "augment": 0.0, "lr_ratio": 0.0}.items():
        assert effect_of(study, axis).gap.mean == pytest.approx(size, abs=1e-12), axis


def test_a_mean_over_arms_would_be_unbalanced_here(published) -> None:
    """Why pairs: freezing all stands beside adapters in half of its arms, so the plain means of levels differ although the level changes nothing."""
    study = planted(published, lambda recipe, seed: 0.5 + 0.3 * (recipe.lora_rank == 8))
    trials = trial_frame(study.study)
    plain = trials.groupby("freeze_depth")[METRIC].mean()
    assert plain["all"] - plain["-1"] > 0.1
    assert effect_of(study, "freeze_depth").gap.mean == 0.0


def test_cells_answered_by_one_arm_make_no_pair(published) -> None:
    effect = effect_of(published, "lr_ratio")
    assert (effect.n_same_arm, effect.n_pairs, effect.n_contexts) == (2, 8, 4)


def test_a_failed_trial_takes_only_its_own_pairs_away(published) -> None:
    arm = next(arm for arm in published.study.record.arms if arm.name == "freeze_depth=-1 lr_ratio=1.0 augment=light")
    cut = published.with_runs(lambda run: replace(run, status="FAILED") if (run.arm_id, run.seed) == (arm.arm_id, 0) else run)
    assert effect_of(published, "augment").n_pairs == 12
    assert effect_of(cut, "augment").n_pairs == 11


def test_baseline_level_is_that_of_the_baseline_arm(published) -> None:
    record = published.study.record
    assert [baseline_level(record, axis) for axis in record.axes] == ["all", "0.1", "none", "0"]
    moved = record.model_copy(update={"baseline_arm_id": record.arms[-1].arm_id})
    assert [baseline_level(moved, axis) for axis in record.axes] == ["-1", "1.0", "light", "0"]


def test_interval_equals_scipy(published) -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 7))
    gap = summarise((a - b).tolist())
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (gap.mean, gap.low, gap.high) == pytest.approx(((a - b).mean(), expected.low, expected.high))
    assert gap.is_told_apart == (stats.ttest_rel(a, b).pvalue < 0.05)


def test_one_seed_has_no_spread_and_tells_nothing_apart(build) -> None:
    one = build(seeds=(0,))
    gap = effect_of(one, "freeze_depth").gap
    assert gap.n == 1 and math.isnan(gap.sd) and math.isnan(gap.low)
    assert not gap.is_told_apart and gap.is_within_noise
    assert math.isnan(seed_sd(trial_frame(one.study), METRIC))


def test_arm_gap_pairs_by_seed_only_where_both_completed(build) -> None:
    study = build(seeds=(0, 1, 2))
    first, second = study.study.record.arms[:2]
    cut = study.with_runs(lambda run: replace(run, status="KILLED") if (run.arm_id, run.seed) == (first.arm_id, 1) else run)
    scores = {(run.arm_id, run.seed): run.metrics[METRIC] for run in study.study.runs}
    gap = arm_gap(trial_frame(cut.study), METRIC, arm_id=second.arm_id, against=first.arm_id)
    differences = [scores[second.arm_id, seed] - scores[first.arm_id, seed] for seed in (0, 2)]
    assert (gap.n, gap.mean, gap.sd) == (2, pytest.approx(np.mean(differences)), pytest.approx(np.std(differences, ddof=1)))


def test_no_pair_at_all() -> None:
    gap = summarise([])
    assert gap.n == 0 and math.isnan(gap.mean) and not gap.is_told_apart


def test_seed_sd_is_the_root_of_the_mean_square_within_arms(published) -> None:
    trials = trial_frame(published.study)
    residuals = trials[METRIC] - trials.groupby("arm_id")[METRIC].transform("mean")
    assert seed_sd(trials, METRIC) == pytest.approx(math.sqrt((residuals**2).sum() / (20 - 10)))


@pytest.mark.parametrize(("n_arms", "n_seeds"), [(2, 1), (10, 2), (36, 3)])
def test_optimism_equals_a_simulation(n_arms: int, n_seeds: int) -> None:
    means = np.random.default_rng(0).normal(size=(20_000, n_arms, n_seeds)).mean(axis=2)
    assert expected_optimism(1.0, n_arms=n_arms, n_seeds=n_seeds) == pytest.approx(means.max(axis=1).mean(), abs=0.03)


def test_pure_noise_is_rarely_flagged(build) -> None:
    """The t interval over seeds keeps its promise for one comparison: 200 studies of noise, about 5 % flagged."""
    rng = np.random.default_rng(0)
    flagged = [summarise(rng.normal(size=(3, 8)).mean(axis=1).tolist()).is_told_apart for _ in range(2000)]
    assert 0.03 < np.mean(flagged) < 0.07
