"""Scores against scikit-learn, against cases by hand, and the laws that hold for any input."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from ablate.errors import CheckFailed, TrialError
from ablate.metrics.classification import confusion, per_class, score
from ablate.study.tasks.classification import CLASSIFICATION


def drawn(
    seed: int, n_images: int, n_classes: int, *, decimals: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Labels with every class present, probabilities that know something of them.

    Rounded ones hold ties.
    """
    rng = np.random.default_rng(seed)
    labels = np.concatenate(
        [np.arange(n_classes), rng.integers(0, n_classes, n_images - n_classes)]
    )
    logits = rng.normal(size=(n_images, n_classes)) + 1.5 * np.eye(n_classes)[labels]
    if decimals is not None:
        logits = logits.round(decimals)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities, labels


@pytest.mark.parametrize("n_classes", [2, 3, 10, 102])
@pytest.mark.parametrize("seed", [0, 1])
def test_scores_equal_scikit_learn_where_every_class_is_present(seed: int, n_classes: int) -> None:
    probabilities, labels = drawn(seed, 400, n_classes)
    predicted = probabilities.argmax(axis=1)
    found = score(probabilities, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "macro_f1": sk.f1_score(labels, predicted, average="macro"),
            "auroc_ovr_macro": sk.roc_auc_score(labels, probabilities[:, 1])
            if n_classes == 2
            else sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"),
            "accuracy": sk.accuracy_score(labels, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
            "nll": sk.log_loss(labels, probabilities),
            **(
                {"average_precision": sk.average_precision_score(labels, probabilities[:, 1])}
                if n_classes == 2
                else {}
            ),
        }
    assert tuple(found) == CLASSIFICATION.metrics_of(n_classes)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("decimals", [None, 0])
def test_per_class_equals_scikit_learn(decimals: int | None) -> None:
    probabilities, labels = drawn(3, 300, 7, decimals=decimals)
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        labels, predicted, labels=range(7)
    )
    auroc = [sk.roc_auc_score(labels == c, probabilities[:, c]) for c in range(7)]
    found = per_class(probabilities, labels)
    np.testing.assert_allclose(found.precision, precision)
    np.testing.assert_allclose(found.recall, recall)
    np.testing.assert_allclose(found.f1, f1)
    np.testing.assert_allclose(found.auroc, auroc)
    np.testing.assert_array_equal(found.support, support)
    np.testing.assert_array_equal(
        confusion(labels, predicted, 7), sk.confusion_matrix(labels, predicted)
    )


def test_perfect_ranking_with_an_absent_class_scores_one() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    found = score(probabilities, labels)
    assert (found["macro_f1"], found["auroc_ovr_macro"], found["balanced_accuracy"]) == (
        1.0,
        1.0,
        1.0,
    )
    classes = per_class(probabilities, labels)
    assert classes.present.tolist() == [True, True, False]
    assert np.isnan(
        [classes.precision[2], classes.recall[2], classes.f1[2], classes.auroc[2]]
    ).all()


def test_an_absent_class_that_is_predicted_costs_the_present_ones_only() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    classes = per_class(probabilities, labels)
    np.testing.assert_allclose(classes.precision, [1.0, 1.0, 0.0])
    np.testing.assert_allclose(classes.f1, [2 / 3, 1.0, np.nan])
    assert score(probabilities, labels)["macro_f1"] == pytest.approx(5 / 6)


def test_a_present_class_never_predicted_has_f1_zero_and_no_precision() -> None:
    labels = np.array([0, 1])
    classes = per_class(np.array([[0.9, 0.1], [0.6, 0.4]]), labels)
    np.testing.assert_allclose(classes.precision, [0.5, np.nan])
    np.testing.assert_allclose(classes.f1, [2 / 3, 0.0])
    np.testing.assert_allclose(classes.auroc, [1.0, 1.0])


def test_one_class_alone_has_no_ranking() -> None:
    found = score(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 0]))
    assert np.isnan(found.pop("auroc_ovr_macro"))
    assert np.isnan(found.pop("average_precision"))
    assert found == pytest.approx(
        {
            "macro_f1": 1.0,
            "accuracy": 1.0,
            "balanced_accuracy": 1.0,
            "nll": -np.log([0.9, 0.6]).mean(),
            "ece": 0.25,
        }
    )


def test_a_label_given_no_probability_costs_a_finite_log_loss() -> None:
    assert score(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 1]))["nll"] == pytest.approx(
        -np.log(1e-12) / 2
    )


@given(seed=st.integers(0, 10_000), n_classes=st.integers(2, 6))
def test_order_of_images_and_names_of_classes_do_not_matter(seed: int, n_classes: int) -> None:
    probabilities, labels = drawn(seed, 40, n_classes)
    rng = np.random.default_rng(seed)
    images, names = rng.permutation(40), rng.permutation(n_classes)
    shuffled = score(probabilities[images], labels[images])
    renamed = score(probabilities[:, names], np.argsort(names)[labels])
    assert shuffled == pytest.approx(score(probabilities, labels))
    for found in (shuffled, renamed):
        found.pop("average_precision", None)  # of the second class: renaming moves it
    assert renamed == pytest.approx(shuffled)


@given(seed=st.integers(0, 10_000), n_classes=st.integers(2, 6))
def test_scores_stay_in_their_ranges_and_float32_moves_them_little(
    seed: int, n_classes: int
) -> None:
    probabilities, labels = drawn(seed, 40, n_classes)
    found = score(probabilities, labels)
    assert all(0 <= found[name] <= 1 for name in CLASSIFICATION.metric_names[:-1] if name != "nll")
    assert score(probabilities.astype(np.float32), labels)["auroc_ovr_macro"] == pytest.approx(
        found["auroc_ovr_macro"], abs=1e-3
    )


@pytest.mark.parametrize(
    ("probabilities", "labels", "error", "message"),
    [
        (
            np.ones((2, 2)) / 2,
            [0],
            CheckFailed,
            "probabilities must be (N, C) and labels (N,) with N >= 1, got (2, 2) and (1,)",
        ),
        (
            np.ones((0, 2)),
            [],
            CheckFailed,
            "probabilities must be (N, C) and labels (N,) with N >= 1, got (0, 2) and (0,)",
        ),
        (np.ones((2, 2)) / 2, [0, 2], CheckFailed, "labels must lie in [0, 2), got 0 to 2"),
        (
            np.ones((2, 2)),
            [0, 1],
            CheckFailed,
            "rows of probabilities must be >= 0 and sum to 1 within 0.001; softmax the logits "
            "first",
        ),
        (
            np.array([[np.nan, 0.5], [0.5, 0.5]]),
            [0, 1],
            TrialError,
            "probabilities must be finite, got NaN or infinity for 1 of 2 images: training "
            "diverged; lower head_lr, or set precision to fp32",
        ),
    ],
)
def test_wrong_input_is_named(
    probabilities: np.ndarray, labels: list[int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        score(probabilities, np.array(labels, dtype=np.int64))
    assert str(caught.value) == message
