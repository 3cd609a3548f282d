"""Studies of which each seed tests other images: what is paired, resampled, pooled and said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support.reports import text_of

from ablate.errors import CheckFailed
from ablate.reporting.compute import compute_results
from ablate.reporting.evidence.two_studies import compare_studies
from ablate.reporting.predictions.read import read_study
from ablate.reporting.predictions.replicates import with_repeats
from ablate.reporting.text.warnings import warnings
from ablate.study.record import SplitsFacts

SEEDS = (0, 1, 2, 3)
AXES = {"freeze_depth": ("all", -1), "augment": ("none", "light")}
WHOLE = SplitsFacts(n_folds=4, n_images=240, n_splits=4, n_tested=240, fewest_tests=1, most_tests=1)


def with_splits(published, splits: SplitsFacts | None):
    data = published.study.record.data.model_copy(update={"splits": splits})
    return published.with_record(data=data)


def renamed(published, name: Callable[[int, str], str]):
    """The study with other ids of images: `name` takes the seed and an id."""
    frames = {}
    for run in published.study.runs:
        frame = published.frames[run.run_id]
        ids = [name(run.seed, image_id) for image_id in frame["image_id"]]
        frames[run.run_id] = frame.assign(image_id=ids)
    return replace(published, frames=frames)


@pytest.fixture(scope="module")
def study(build):
    return build(axes=AXES, seeds=SEEDS)


@pytest.fixture(scope="module")
def folded(study):
    """Each seed tests 60 images of its own."""
    return with_splits(renamed(study, lambda seed, name: f"{seed}/{name}"), WHOLE)


def test_runs_of_one_seed_must_be_scored_on_the_same_images(folded) -> None:
    read_study(folded.study, folded.predictions)
    first = folded.study.runs[0]
    other = folded.frames[first.run_id].assign(image_id="x")
    wrong = replace(folded, frames={**folded.frames, first.run_id: other})
    with pytest.raises(CheckFailed, match="runs with seed 0 must be scored on the same val"):
        read_study(wrong.study, wrong.predictions)


def test_with_one_split_other_images_are_still_an_error(folded) -> None:
    plain = with_splits(folded, None)
    with pytest.raises(CheckFailed, match="runs of a study must be scored on the same val"):
        read_study(plain.study, plain.predictions)


def test_seeds_that_test_the_same_images_have_the_intervals_of_one_split(study) -> None:
    """The same study read both ways: two ways of resampling the same images."""
    one = compute_results(study.study, study.predictions)
    same = with_splits(study, WHOLE.model_copy(update={"n_images": 60, "most_tests": 4}))
    own = compute_results(same.study, same.predictions)
    for metric in ("test/macro_f1", "test/auroc_ovr_macro"):
        for arm in one.arms["arm_id"]:
            plain = one.number(arm, f"{metric}/high") - one.number(arm, f"{metric}/low")
            drawn = own.number(arm, f"{metric}/high") - own.number(arm, f"{metric}/low")
            assert drawn == pytest.approx(plain, rel=0.15)


def test_images_of_other_seeds_move_apart(study) -> None:
    """Seeds that say the same: of the same images, and of images of their own."""
    said = {}
    for run in study.study.runs:
        if run.seed == 0:
            said[run.arm_id] = study.frames[run.run_id]
    frames = {run.run_id: said[run.arm_id] for run in study.study.runs}
    same = with_splits(replace(study, frames=frames), WHOLE)
    apart = renamed(same, lambda seed, name: f"{seed}/{name}")

    def shared(published) -> float:
        """Correlation between seeds of an arm's draws."""
        drawn = read_study(published.study, published.predictions).resampled
        arm = published.study.record.baseline_arm_id
        first = drawn[arm, 0]["test/macro_f1"]
        second = drawn[arm, 1]["test/macro_f1"]
        return float(np.corrcoef(first, second)[0, 1])

    assert shared(same) == pytest.approx(1)
    assert abs(shared(apart)) < 0.2


def test_every_image_is_judged_by_those_that_tested_it(folded) -> None:
    (pooled,) = read_study(folded.study, folded.predictions).pooled
    assert (pooled.split, pooled.is_by_testers) == ("test", True)
    assert len(pooled.image_ids) == len(set(pooled.image_ids)) == 240
    assert (pooled.votes.sum(axis=1) == len(folded.study.record.arms)).all()
    np.testing.assert_allclose(pooled.probabilities.sum(axis=1), 1, rtol=1e-5)
    # of an image tested by seed 2, the mean of that seed's runs
    of_seed = [folded.frames[run.run_id] for run in folded.study.runs if run.seed == 2]
    rows = pd.concat(frame[frame["image_id"] == "2/test/7"] for frame in of_seed)
    mean = rows.filter(like="p_").to_numpy().mean(axis=0)
    row = pooled.image_ids.index("2/test/7")
    np.testing.assert_allclose(pooled.probabilities[row], mean, rtol=1e-5)


def test_groups_are_resampled_whole_and_widened_by_all_of_them(folded) -> None:
    frames = {}
    for run_id, frame in folded.frames.items():
        number = frame["image_id"].str.extract(r"(\d+)$")[0].astype(int) // 6
        prefix = frame["image_id"].str.rpartition("/")[0]
        frames[run_id] = frame.assign(group=prefix + " " + number.astype(str))
    grouped = replace(folded, frames=frames)
    readings = read_study(grouped.study, grouped.predictions)
    assert set(readings.factors) == set(SEEDS)
    # Ten groups in a fold, forty in all: less widening than the ten alone, more than none.
    assert all(0.9 < factor < 1.1 for factor in readings.factors.values())
    compute_results(grouped.study, grouped.predictions)


def test_what_seeds_repeat_moves_any_difference_of_arms_by_its_share() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, 8))
    scores[2, 5] = np.nan
    drawn = np.repeat(scores[:, :, None], 40_000, axis=2)
    moved = with_repeats(drawn, 2.5)
    # As a contrast has it: the mean over seeds of a difference of two arms.
    gap = (moved[1] - moved[0]).mean(axis=0)
    expected = 2.5 * (scores[1] - scores[0]).var(ddof=1) / 8
    assert gap.var() == pytest.approx(expected, rel=0.03)
    assert np.isnan(moved[2, 5]).all()
    assert not np.isnan(np.delete(moved[2], 5, axis=0)).any()
    assert with_repeats(drawn, 0.0) is drawn


def test_the_report_says_what_was_tested_and_what_intervals_are_over(folded) -> None:
    text = text_of(folded)
    assert (
        "Each seed has a split of its own (the numbers are those of the first): every one of 240 "
        "images is tested once by 4 seeds. All intervals are over splits and seeds: arms are "
        "paired within a seed, on the same images, and an image that several seeds test counts "
        "once."
    ) in text
    assert "The intervals allow for other splits and seeds and other test images" in text
    assert "all verdicts hold together in 95 % of such studies, over splits and seeds" in text
    assert "Each image is judged by the trials that tested it" in text


def test_images_that_nobody_tested_have_a_warning(folded) -> None:
    partly = WHOLE.model_copy(update={"n_folds": 5, "n_images": 300, "fewest_tests": 0})
    few = with_splits(folded, partly)
    lines = warnings(compute_results(few.study, few.predictions))
    assert (
        "**Not every image was tested:** 60 of 300 are in none of the 4 folds that were tested; "
        "5 seeds test each once."
    ) in lines
    assert "**60 of 300 images are tested by none of 4 seeds**; 5 seeds test each once" in (
        text_of(few)
    )


def test_two_studies_pair_seeds_of_equal_places_alone(folded) -> None:
    assert compare_studies(folded.study, folded.study).is_paired
    moved = folded.with_record(seeds=(1, 0, 2, 3))
    assert not compare_studies(folded.study, moved.study).is_paired
