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
from ablate.reporting.evidence.effects import pair_values, study_effects
from ablate.reporting.evidence.frames import trial_frame
from ablate.reporting.evidence.paired import seed_sd, summarise
from ablate.reporting.evidence.scores import score_array
from ablate.reporting.statistics.contrast import complete_part
from ablate.reporting.statistics.power import (
    Design,
    expected_optimism,
    seeds_to_find,
    smallest_effect,
)
from ablate.reporting.statistics.variance import noise, omega_squared
from ablate.reporting.statistics.verdict import (
    ALPHA,
    INTERACTIONS_ALPHA,
    MAINS_ALPHA,
    Verdict,
)
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


def test_weights_sum_to_zero_and_merged_arms_stand_in_each_of_their_cells(published) -> None:
    record = published.study.record
    scored = {arm.arm_id for arm in record.arms}
    comparisons = (
        *main_comparisons(record, scored=scored),
        *interactions(record, scored=scored),
    )
    for comparison in comparisons:
        weights = comparison.contrast.weights(len(record.arms))
        assert weights.sum() == pytest.approx(0)
        if comparison.contrast.cells:
            assert weights[weights > 0].sum() >= 1 - 1e-12
    (freeze,) = [c for c in main_comparisons(record, scored=scored) if c.axes == ("freeze_depth",)]
    # the frozen arm of each augment answers both lr_ratios, so it weighs twice what the others do
    weights = freeze.contrast.weights(len(record.arms))
    assert sorted(weights[weights != 0]) == pytest.approx([-0.5, -0.5, 0.25, 0.25, 0.25, 0.25])


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
    assert effect.comparison.n_same_arm == 2
    assert effect.n_pairs == 8
    assert len(effect.comparison.contrast.cells) == 4


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
    assert (len(effect.comparison.contrast.cells), effect.n_pairs) == (3, 6)


def test_a_failed_seed_leaves_cells_that_are_complete_and_weigh_alike(published) -> None:
    """Against a loop: no cell is taken with fewer seeds than the others."""
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
    effect = effect_of(cut, "augment")
    scores = score_array(cut.study.record, trial_frame(cut.study), METRIC)
    part = complete_part(effect.comparison.contrast, scores)
    values = []
    for light, none in effect.comparison.contrast.cells:
        pairs = scores[light, part.seeds] - scores[none, part.seeds]
        if not np.isnan(pairs).any():
            values.append(pairs.mean())
    assert effect.judged.estimate.n_cells_left_out == 1
    assert len(values) == 5
    assert effect.estimate == pytest.approx(np.mean(values))


def test_baseline_level_is_that_of_the_baseline_arm(published) -> None:
    record = published.study.record
    assert [baseline_level(record, axis) for axis in record.axes] == ["all", "0.1", "none", "0"]
    moved = record.model_copy(update={"baseline_arm_id": record.arms[-1].arm_id})
    assert [baseline_level(moved, axis) for axis in record.axes] == ["-1", "1.0", "light", "0"]


def test_one_pair_of_arms_is_a_paired_t_test(build) -> None:
    """Against scipy: nothing lends its variance, and main effects' error is this comparison's."""
    study = build(axes={"augment": ("none", "light")}, seeds=range(7), n_images=40)
    judged = effect_of(study, "augment").judged
    a, b = (
        np.array([run.metrics[METRIC] for run in study.study.runs if run.arm_id == arm.arm_id])
        for arm in study.study.record.arms
    )
    expected = stats.ttest_rel(b, a)
    interval = expected.confidence_interval(1 - MAINS_ALPHA)
    assert (judged.estimate.value, judged.low, judged.high) == pytest.approx(
        ((b - a).mean(), interval.low, interval.high)
    )
    assert judged.p == pytest.approx(expected.pvalue * ALPHA / MAINS_ALPHA)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "alpha"), [("mains", MAINS_ALPHA), ("interactions", INTERACTIONS_ALPHA)]
)
def test_corrected_p_is_that_of_statsmodels_by_the_share_of_its_family(
    published, family: str, alpha: float
) -> None:
    multiple = pytest.importorskip("statsmodels.stats.multitest")
    found = [
        effect
        for effect in getattr(effects_of(published), family)
        if effect.metric == METRIC and effect.verdict is not Verdict.UNKNOWN
    ]
    assert len(found) >= 3
    # scaled so that every corrected p of a report is compared with 5 %
    plain = [effect.judged.estimate.p for effect in found]
    rejected, _, _, _ = multiple.multipletests(plain, method="bonferroni", alpha=alpha)
    assert [effect.judged.p < ALPHA for effect in found] == rejected.tolist()
    assert [effect.judged.excludes_zero for effect in found] == rejected.tolist()
    scaled = [min(p * len(found) * ALPHA / alpha, 1.0) for p in plain]
    assert [effect.judged.p for effect in found] == pytest.approx(scaled)


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


def test_columns_of_a_merged_arm_are_the_mean_of_its_levels(published) -> None:
    columns = axis_columns(published.study.record)
    assert columns["lr_ratio"][0].tolist() == [0.5, 0.5]
    assert all(np.allclose(own.sum(axis=1), 1) for own in columns.values())


def test_one_seed_has_no_spread_and_claims_nothing(build) -> None:
    one = build(seeds=(0,))
    effects = effects_of(one)
    assert effects.n_tests == 0
    for effect in effects.all:
        assert math.isnan(effect.judged.low) and math.isnan(effect.judged.p)
        assert effect.verdict is Verdict.UNKNOWN
    assert math.isnan(seed_sd(trial_frame(one.study), METRIC))


def test_images_are_in_the_one_error_of_interval_and_p(published) -> None:
    with_images = compute_results(published.study, published.predictions).effects
    of_metric = [effect for effect in with_images.mains if effect.metric == METRIC]
    effect = max(of_metric, key=lambda effect: effect.judged.estimate.se_images)
    with_ = effect.judged.estimate
    without = effect_of(published, effect.comparison.axes[0]).judged.estimate
    assert with_.se_images > 0 and math.isnan(without.se_images)
    assert with_.value == without.value
    assert with_.se_seeds >= without.se_seeds
    assert with_.se == pytest.approx(math.hypot(with_.se_seeds, with_.se_images))
    # interval and p are of the same t: where one reaches 0, the other reaches the family's error
    half = effect.judged.high - effect.judged.estimate.value
    each = 2 * stats.t.sf(half / with_.se, with_.df)
    n_mains = len(with_images.mains) // 2
    assert each == pytest.approx(MAINS_ALPHA / n_mains)
    p = 2 * stats.t.sf(abs(with_.value) / with_.se, with_.df)
    assert effect.judged.p == pytest.approx(min(p * ALPHA / each, 1.0))


def test_no_pair_at_all() -> None:
    gap = summarise([])
    assert gap.n == 0 and math.isnan(gap.mean) and math.isnan(gap.low)


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
    """Against simulated paired t tests at the error that one of five comparisons has."""
    n = 9
    design = Design(square=2.0, rank=1, alpha=0.05 / 5)
    effect = smallest_effect(design, n, sd=1.0)
    rng = np.random.default_rng(0)
    differences = rng.normal(effect, math.sqrt(2), size=(4000, n))
    p = stats.ttest_1samp(differences, 0, axis=1).pvalue
    assert np.mean(p < 0.05 / 5) == pytest.approx(0.8, abs=0.03)
    assert seeds_to_find(design, effect * (1 + 1e-9), sd=1.0) == n


@pytest.mark.parametrize(
    ("verdict", "seeds", "sentence"),
    [
        (Verdict.BETTER, None, "**better**"),
        (Verdict.NO_LARGER, None, "no difference larger than 3.0 points"),
        (
            Verdict.UNDECIDED,
            12,
            "undecided, no difference larger than 3.0 points; about 12 seeds would settle it",
        ),
        (
            Verdict.UNDECIDED,
            None,
            "undecided, no difference larger than 3.0 points; more than 100 seeds would settle it",
        ),
        (Verdict.UNKNOWN, None, "unknown: one seed cannot separate it from seed noise"),
    ],
)
def test_what_is_said_of_an_effect(published, verdict, seeds, sentence) -> None:
    found = effect_of(published, "freeze_depth")
    judged = replace(found.judged, low=-0.01, high=0.03, verdict=verdict)
    assert effect_verdict(replace(found, judged=judged, seeds_to_settle=seeds)) == sentence
