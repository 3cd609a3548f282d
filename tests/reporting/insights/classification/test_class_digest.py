"""What predictions say, against scikit-learn on the same frames."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from ablate.errors import CheckFailed, StoreError
from ablate.reporting.insights.classification.class_digest import class_digest
from ablate.reporting.insights.classification.confusion import most_confused
from ablate.reporting.predictions.read import read_study


def read_insight(study, arm, predictions):
    return class_digest(read_study(study, predictions), study.record, arm.arm_id)


def own_frames(published, arm):
    frames = [
        published.frames[run.run_id] for run in published.study.runs if run.arm_id == arm.arm_id
    ]
    return [frame[frame["split"] == "test"] for frame in frames]


def test_scores_of_classes_are_means_over_seeds(published) -> None:
    arm = published.study.record.arms[0]
    insight = read_insight(published.study, arm, published.predictions)
    labels = [frame["label"].to_numpy() for frame in own_frames(published, arm)]
    probabilities = [frame.filter(like="p_").to_numpy() for frame in own_frames(published, arm)]
    f1 = [
        sk.f1_score(y, p.argmax(axis=1), average=None)
        for y, p in zip(labels, probabilities, strict=True)
    ]
    auroc = [
        [sk.roc_auc_score(y == c, p[:, c]) for c in range(5)]
        for y, p in zip(labels, probabilities, strict=True)
    ]
    assert insight is not None and insight.n_seeds == 2
    np.testing.assert_allclose(insight.classes["f1"], np.mean(f1, axis=0))
    np.testing.assert_allclose(insight.classes["auroc"], np.mean(auroc, axis=0))
    np.testing.assert_array_equal(
        insight.confusion,
        sum(
            sk.confusion_matrix(y, p.argmax(axis=1))
            for y, p in zip(labels, probabilities, strict=True)
        ),
    )


@pytest.mark.slow
def test_macro_f1_of_the_runs_is_the_mean_over_classes(published) -> None:
    for arm in published.study.record.arms:
        insight = read_insight(published.study, arm, published.predictions)
        published_mean = np.mean(
            [
                run.metrics["test/macro_f1"]
                for run in published.study.runs
                if run.arm_id == arm.arm_id
            ]
        )
        assert insight is not None and insight.classes["f1"].mean() == pytest.approx(published_mean)


def test_an_absent_class_has_no_scores_and_is_not_confused(build) -> None:
    study = build(absent=(2,))
    insight = read_insight(study.study, study.study.record.arms[0], study.predictions)
    assert insight is not None
    row = insight.classes.iloc[2]
    assert row["support"] == 0 and np.isnan([row["recall"], row["f1"], row["auroc"]]).all()
    assert insight.confusion[2].sum() == 0


def test_most_confused_are_sorted_and_never_the_diagonal(published) -> None:
    insight = read_insight(published.study, published.study.record.arms[0], published.predictions)
    assert insight is not None
    pairs = most_confused(insight.confusion, published.study.record.data.class_names, n_pairs=4)
    errors = insight.confusion - np.diag(insight.confusion.diagonal())
    assert [n for *_, n in pairs] == sorted(errors.ravel(), reverse=True)[:4]
    assert all(label != taken for label, taken, _ in pairs)


def test_predictions_that_the_store_cannot_give_are_left_out(published) -> None:
    def missing(run):
        if run.seed == 0:
            raise StoreError("gone")
        return published.frames[run.run_id]

    insight = read_insight(published.study, published.study.record.arms[0], missing)
    assert insight is not None and insight.n_seeds == 1


def test_predictions_without_test_are_a_bug(published) -> None:
    arm = published.study.record.arms[0]
    with pytest.raises(CheckFailed) as caught:
        read_insight(
            published.study, arm, lambda run: published.frames[run.run_id].query("split == 'val'")
        )
    assert str(caught.value) == "predictions of run run000 must hold the split test, got ['val']"


def test_runs_scored_on_different_images_are_a_bug(published) -> None:
    def shuffled(run):
        frame = published.frames[run.run_id]
        return frame.assign(image_id="x") if run.run_id == "run003" else frame

    with pytest.raises(CheckFailed) as caught:
        read_study(published.study, shuffled)
    assert str(caught.value) == (
        "runs of a study must be scored on the same val images and labels, "
        "those of run run003 differ from those of run000"
    )


def test_mistakes_are_those_that_most_seeds_made(published) -> None:
    arm = published.study.record.arms[0]
    insight = read_insight(published.study, arm, published.predictions)
    frames = own_frames(published, arm)
    wrong = []
    for frame in frames:
        probabilities = frame.filter(like="p_").to_numpy()
        taken = probabilities.argmax(axis=1)
        wrong += [
            (i, y, t, p)
            for i, y, t, p in zip(
                frame["image_id"], frame["label"], taken, probabilities.max(axis=1), strict=True
            )
            if y != t
        ]
    first = insight.mistakes[0]
    own = [p for i, y, t, p in wrong if (i, y, t) == (first.image_id, first.label, first.predicted)]
    assert (first.n_seeds, first.confidence) == (len(own), pytest.approx(np.mean(own)))
    counts = [
        sum((i, y, t) == key for i, y, t, _ in wrong) for key in {(i, y, t) for i, y, t, _ in wrong}
    ]
    assert first.n_seeds == max(counts)


def test_reliability_of_seeds_together_is_that_of_their_predictions_together(published) -> None:
    from ablate.metrics.calibration import reliability

    arm = published.study.record.arms[0]
    insight = read_insight(published.study, arm, published.predictions)
    frames = own_frames(published, arm)
    probabilities = np.concatenate([frame.filter(like="p_").to_numpy() for frame in frames]).astype(
        float
    )
    expected = reliability(probabilities, np.concatenate([frame["label"] for frame in frames]))
    np.testing.assert_array_equal(insight.reliability.count, expected.count)
    assert insight.reliability.ece == pytest.approx(expected.ece)
