"""Effects against loops over runs, against scipy and statsmodels.

And on studies whose effects are planted.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablate.reporting.compute import compute_results
from ablate.reporting.evidence.comparisons import (
    axis_columns,
    baseline_level,
    interactions,
    main_comparisons,
)
from ablate.reporting.evidence.effects import pair_values, score_array, study_effects
from ablate.reporting.evidence.frames import trial_frame
from ablate.reporting.evidence.paired import arm_gap, seed_sd, summarise
from ablate.reporting.statistics.power import (
    expected_optimism,
    minimum_detectable_effect,
    seeds_needed,
)
from ablate.reporting.statistics.variance import noise, omega_squared, seed_check
from ablate.reporting.text.effect_sentences import effect_verdict

METRIC = "test/macro_f1"


def planted(published, value):
    """The study with `METRIC` set to value(recipe, seed)."""
    recipes = {arm.arm_id: arm.recipe for arm in published.study.record.arms}
    return published.with_runs(
        lambda run: replace(
            run, metrics={**run.metrics, METRIC: value(recipes[run.arm_id], run.seed)}
        )
    )


def effects_of(published):
    return study_effects(published.study.record, trial_frame(published.study), {})


def effect_of(published, axis: str):
    (found,) = effects_of(published).of_axis(axis, METRIC)
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
    comparison = effect_of(published, "augment").comparison
    found = pair_values(comparison, score_array(record, trial_frame(published.study), METRIC))
    assert len(expected) == 12
    assert sorted(found.ravel()) == pytest.approx(sorted(expected))
    assert effect_of(published, "augment").estimate == pytest.approx(np.mean(expected))


def test_a_planted_effect_is_found_whole_although_cells_are_merged_and_excluded(published) -> None:
    study = planted(
        published,
        lambda recipe, seed: (
            0.5 + 0.2 * (recipe.freeze_depth == -1) + 0.05 * (recipe.lora_rank == 8) + 0.01 * seed
        ),
    )
    for axis, size in {
        "freeze_depth": 0.2,
        "lora_rank": 0.05,
        "augment": 0.0,
        "lr_ratio": 0.0,
    }.items():
        assert effect_of(study, axis).estimate == pytest.approx(size, abs=1e-12), axis


def test_a_planted_interaction_is_found_whole(published) -> None:
    study = planted(
        published,
        lambda recipe, seed: (
            0.5
            + 0.1 * (recipe.freeze_depth == -1) * (recipe.augment == "light")
            + 0.03 * (recipe.lr_ratio == 1.0)
        ),
    )
    found = {
        effect.comparison.name: effect.estimate
        for effect in effects_of(study).interactions
        if effect.metric == METRIC
    }
    assert found["freeze_depth=-1 x augment=light"] == pytest.approx(0.1)
    assert found["lr_ratio=1.0 x augment=light"] == pytest.approx(0.0, abs=1e-12)
    assert not any(
        name.startswith("freeze_depth=-1 x lora_rank") for name in found
    )  # excluded: nothing to compare


def test_blocks_share_no_arm_and_merged_arms_join_their_cells(published) -> None:
    record = published.study.record
    scored = {arm.arm_id for arm in record.arms}
    for comparison in (
        *main_comparisons(record, scored=scored),
        *interactions(record, scored=scored),
    ):
        arms = [arm for block in comparison.blocks for arm in block.arms]
        assert len(arms) == len(set(arms))
        assert all(sum(block.weights) == 0 for block in comparison.blocks)
        assert sum(block.n_cells for block in comparison.blocks) == len(comparison.sides)
    (freeze,) = [c for c in main_comparisons(record, scored=scored) if c.axes == ("freeze_depth",)]
    assert sorted(len(block.arms) for block in freeze.blocks) == [
        3,
        3,
    ]  # the frozen arm answers both lr_ratios


def test_a_mean_over_arms_would_be_unbalanced_here(published) -> None:
    """Why pairs: the plain means of levels differ although the level changes nothing.

    Freezing all stands beside adapters in half of its arms.
    """
    study = planted(published, lambda recipe, seed: 0.5 + 0.3 * (recipe.lora_rank == 8))
    trials = trial_frame(study.study)
    plain = trials.groupby("freeze_depth")[METRIC].mean()
    assert plain["all"] - plain["-1"] > 0.1
    assert effect_of(study, "freeze_depth").estimate == 0.0


def test_cells_answered_by_one_arm_make_no_pair(published) -> None:
    effect = effect_of(published, "lr_ratio")
    assert (effect.comparison.n_same_arm, effect.n_pairs, len(effect.comparison.sides)) == (2, 8, 4)


def test_a_failed_trial_takes_only_its_own_pairs_away(published) -> None:
    arm = next(
        arm
        for arm in published.study.record.arms
        if arm.name == "freeze_depth=-1 lr_ratio=1.0 augment=light"
    )
    cut = published.with_runs(
        lambda run: (
            replace(run, status="FAILED") if (run.arm_id, run.seed) == (arm.arm_id, 0) else run
        )
    )
    assert effect_of(published, "augment").n_pairs == 12
    assert effect_of(cut, "augment").n_pairs == 11


def test_an_arm_that_never_completed_leaves_the_rest_of_its_block(published) -> None:
    arm = next(
        arm
        for arm in published.study.record.arms
        if arm.name == "freeze_depth=-1 lr_ratio=1.0 augment=none"
    )
    cut = published.with_runs(
        lambda run: replace(run, status="FAILED") if run.arm_id == arm.arm_id else run
    )
    effect = effect_of(cut, "freeze_depth")
    assert (len(effect.comparison.sides), effect.n_pairs) == (3, 6)


def test_a_failed_seed_does_not_tilt_the_cells(published) -> None:
    """Each cell weighs the same, however many of its seeds completed."""
    study = planted(
        published,
        lambda recipe, seed: (
            0.5 + (0.1 if recipe.lora_rank == 8 else 0.2) * (recipe.augment == "light")
        ),
    )
    arm = next(
        arm
        for arm in study.study.record.arms
        if arm.recipe.lora_rank == 8 and arm.recipe.augment == "light"
    )
    cut = study.with_runs(
        lambda run: (
            replace(run, status="FAILED") if (run.arm_id, run.seed) == (arm.arm_id, 1) else run
        )
    )
    assert effect_of(cut, "augment").estimate == pytest.approx(effect_of(study, "augment").estimate)


def test_baseline_level_is_that_of_the_baseline_arm(published) -> None:
    record = published.study.record
    assert [baseline_level(record, axis) for axis in record.axes] == ["all", "0.1", "none", "0"]
    moved = record.model_copy(update={"baseline_arm_id": record.arms[-1].arm_id})
    assert [baseline_level(moved, axis) for axis in record.axes] == ["-1", "1.0", "light", "0"]


def test_one_context_is_a_paired_t_interval_and_a_sign_flip(build) -> None:
    """Against scipy, with one pair of arms.

    The interval over seeds is that of a paired t test, the p that of its exact sign flips.
    """
    study = build(axes={"augment": ("none", "light")}, seeds=range(7), n_images=40)
    effect = effect_of(study, "augment")
    a, b = (
        np.array([run.metrics[METRIC] for run in study.study.runs if run.arm_id == arm.arm_id])
        for arm in study.study.record.arms
    )
    expected = stats.ttest_rel(b, a).confidence_interval(0.95)
    assert (effect.estimate, effect.interval.low, effect.interval.high) == pytest.approx(
        ((b - a).mean(), expected.low, expected.high)
    )
    flips = stats.permutation_test(
        (b - a,),
        lambda d: np.abs(d.mean()),
        permutation_type="samples",
        n_resamples=np.inf,
        alternative="greater",
    )
    assert effect.test.p == pytest.approx(flips.pvalue)
    assert effect.test.smallest_p == 2 / 2**7


@pytest.mark.slow
def test_holm_equals_statsmodels(published) -> None:
    multiple = pytest.importorskip("statsmodels.stats.multitest")
    found = [
        effect
        for effect in effects_of(published).all
        if effect.metric == METRIC and not math.isnan(effect.test.p)
    ]
    expected = multiple.multipletests([effect.test.p for effect in found], method="holm")[1]
    assert [effect.p_holm for effect in found] == pytest.approx(list(expected))
    assert len(found) == effects_of(published).n_tests


def balanced(rng, shape=(3, 2, 4)):
    """Scores (arms, seeds) of a full 3 x 2 grid with effects.

    Its columns, and the same as a table.
    """
    n_a, n_b, n_seeds = shape
    scores = (
        rng.normal(size=shape)
        + np.arange(n_a)[:, None, None]
        + 0.5 * np.arange(n_b)[None, :, None]
        + rng.normal(size=n_seeds)
    )
    columns = {"a": np.repeat(np.eye(n_a), n_b, axis=0), "b": np.tile(np.eye(n_b), (n_a, 1))}
    rows = [{"a": a, "b": b, "seed": s, "y": scores[a, b, s]} for a, b, s in np.ndindex(shape)]
    return scores.reshape(n_a * n_b, n_seeds), columns, pd.DataFrame(rows)


@pytest.mark.slow
def test_omega_squared_and_noise_equal_statsmodels() -> None:
    api, formula = (
        pytest.importorskip("statsmodels.api"),
        pytest.importorskip("statsmodels.formula.api"),
    )
    scores, columns, table = balanced(np.random.default_rng(0))
    anova = api.stats.anova_lm(formula.ols("y ~ C(a) * C(b) + C(seed)", table).fit(), typ=2)
    error = anova.loc["Residual", "sum_sq"] / anova.loc["Residual", "df"]
    total = ((table["y"] - table["y"].mean()) ** 2).sum()
    shares = omega_squared(scores, columns)
    for term, name in {("a",): "C(a)", ("b",): "C(b)", ("a", "b"): "C(a):C(b)"}.items():
        expected = (anova.loc[name, "sum_sq"] - anova.loc[name, "df"] * error) / (total + error)
        assert shares[term] == pytest.approx(max(expected, 0.0)), term
    assert (noise(scores).sd, noise(scores).df) == (
        pytest.approx(math.sqrt(error)),
        anova.loc["Residual", "df"],
    )


def test_check_of_the_seeds_equals_statsmodels() -> None:
    api, formula = (
        pytest.importorskip("statsmodels.api"),
        pytest.importorskip("statsmodels.formula.api"),
    )
    scores, columns, table = balanced(np.random.default_rng(1), shape=(3, 3, 4))
    small = formula.ols("y ~ C(a) * C(b) + C(seed)", table).fit()
    large = formula.ols("y ~ C(a) * C(b) + C(seed) + C(a):C(seed) + C(b):C(seed)", table).fit()
    row = api.stats.anova_lm(small, large).iloc[1]
    check = seed_check(scores, columns)
    assert (check.f, check.p, check.df[0]) == (
        pytest.approx(row["F"]),
        pytest.approx(row["Pr(>F)"]),
        row["df_diff"],
    )


def test_columns_of_a_merged_arm_are_the_mean_of_its_levels(published) -> None:
    columns = axis_columns(published.study.record)
    assert columns["lr_ratio"][0].tolist() == [0.5, 0.5]
    assert all(np.allclose(own.sum(axis=1), 1) for own in columns.values())


def test_one_seed_has_no_spread_and_claims_nothing(build) -> None:
    one = build(seeds=(0,))
    effects = effects_of(one)
    assert all(
        math.isnan(effect.interval.low) and math.isnan(effect.test.p) and not effect.is_claimed
        for effect in effects.all
    )
    assert math.isnan(seed_sd(trial_frame(one.study), METRIC))


def test_images_widen_the_interval_and_not_the_p(published) -> None:
    with_images, without = (
        compute_results(published.study, published.predictions).effects,
        effects_of(published),
    )
    (one,), (other,) = with_images.of_axis("augment", METRIC), without.of_axis("augment", METRIC)
    assert one.interval.se_images > 0 and math.isnan(other.interval.se_images)
    assert (one.estimate, one.test.p, one.interval.se_seeds) == (
        other.estimate,
        other.test.p,
        other.interval.se_seeds,
    )
    assert one.interval.high - one.interval.low > 0


def test_arm_gap_pairs_by_seed_only_where_both_completed(build) -> None:
    study = build(seeds=(0, 1, 2))
    first, second = study.study.record.arms[:2]
    cut = study.with_runs(
        lambda run: (
            replace(run, status="KILLED") if (run.arm_id, run.seed) == (first.arm_id, 1) else run
        )
    )
    scores = {(run.arm_id, run.seed): run.metrics[METRIC] for run in study.study.runs}
    gap = arm_gap(trial_frame(cut.study), METRIC, arm_id=second.arm_id, against=first.arm_id)
    differences = [scores[second.arm_id, seed] - scores[first.arm_id, seed] for seed in (0, 2)]
    assert (gap.n, gap.mean, gap.sd) == (
        2,
        pytest.approx(np.mean(differences)),
        pytest.approx(np.std(differences, ddof=1)),
    )


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
    assert expected_optimism(1.0, n_arms=n_arms, n_seeds=n_seeds) == pytest.approx(
        means.max(axis=1).mean(), abs=0.03
    )


def test_smallest_effect_has_the_power_that_it_promises() -> None:
    """Against simulated t tests at the first step of Holm."""
    n, n_tests, rng = 9, 5, np.random.default_rng(0)
    effect = minimum_detectable_effect(1 / math.sqrt(n), df=n - 1, n_tests=n_tests)
    p = stats.ttest_1samp(rng.normal(effect, size=(4000, n)), 0, axis=1).pvalue
    assert np.mean(p < 0.05 / n_tests) == pytest.approx(0.8, abs=0.03)
    wanted = seeds_needed(effect * (1 + 1e-9), 1 / math.sqrt(3), df=2, n_seeds=3, n_tests=n_tests)
    assert wanted == n


def test_a_gap_larger_than_what_could_be_shown_is_not_called_too_small(published) -> None:
    found = effect_of(published, "freeze_depth")
    effect = replace(
        found,
        interval=replace(found.interval, estimate=-0.2),
        smallest_effect=0.05,
        sd_of_pairs=0.31,
    )
    assert not effect.is_claimed
    assert effect_verdict(effect) == (
        "not significant: an effect of this size would be if it were equal at every level "
        "of the other axes, but its SD over pairs is 31.0"
    )
    undetected = replace(effect, smallest_effect=0.25, seeds_for_this_gap=None)
    assert effect_verdict(undetected) == (
        f"not significant; with {effect.n_seeds} seeds this design detects 25.0 points or more, "
        "an effect of this size would need more than 100 seeds"
    )
