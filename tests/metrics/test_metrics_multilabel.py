from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from ablate.errors import CheckFailed, TrialError
from ablate.metrics.multilabel import per_label, resampled_label_f1, score
from ablate.metrics.ranking import rank_classes
from ablate.metrics.resampling import image_weights, resampled_area
from ablate.study.tasks.multilabel import MULTILABEL
from ablate.targets import SeveralLabels


def _draw(seed: int, *, n: int = 60, n_classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Class c is on about one image in c + 2; probabilities know something of it.

    They come in steps, so that there are ties.
    """
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, n_classes)) < 1 / (np.arange(n_classes) + 2)).astype(np.int64)
    return np.round(np.clip(rng.random((n, n_classes)) * 0.7 + 0.3 * labels, 0, 1), 2).astype(
        np.float32
    ), labels


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 40))
@example(seed=987, n=2)  # one class present: a slice of one column would be taken for binary labels
def test_scores_are_those_of_scikit_learn_over_the_classes_present(seed: int, n: int) -> None:
    probabilities, labels = _draw(seed, n=n)
    called, found = probabilities >= 0.5, score(probabilities, labels)
    present = [c for c in range(5) if labels[:, c].any()]
    mixed = [c for c in present if not labels[:, c].all()]
    assert set(found) == set(MULTILABEL.metric_names)
    assert found["subset_accuracy"] == pytest.approx((called == labels).all(axis=1).mean())
    if called.any() or labels.any():
        assert found["micro_f1"] == pytest.approx(
            f1_score(labels, called, average="micro", zero_division=0)
        )
    else:
        assert np.isnan(found["micro_f1"])
    if not present:
        assert np.isnan([found["macro_f1"], found["average_precision_macro"]]).all()
        return
    assert found["macro_f1"] == pytest.approx(
        f1_score(labels, called, labels=present, average="macro", zero_division=0)
    )
    assert found["average_precision_macro"] == pytest.approx(
        np.mean([average_precision_score(labels[:, c], probabilities[:, c]) for c in present])
    )
    if mixed:
        assert found["auroc_ovr_macro"] == pytest.approx(
            roc_auc_score(labels[:, mixed], probabilities[:, mixed], average="macro")
        )
    else:
        assert np.isnan(found["auroc_ovr_macro"])


def test_a_perfect_answer_scores_one_although_a_class_is_absent_and_one_everywhere() -> None:
    labels = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [1, 1, 0, 1]])
    assert score(0.2 + 0.6 * labels, labels) == dict.fromkeys(MULTILABEL.metric_names, 1.0)


def test_an_absent_class_that_is_called_costs_micro_f1_alone() -> None:
    labels = np.array([[1, 0, 0], [0, 1, 0]])
    found = score(np.array([[0.9, 0.1, 0.9], [0.1, 0.9, 0.1]]), labels)
    assert (found["macro_f1"], found["micro_f1"], found["subset_accuracy"]) == (1.0, 0.8, 0.5)
    assert np.isnan(per_label(np.full((2, 3), 0.1), labels).f1).tolist() == [False, False, True]


def test_a_class_is_called_from_one_half() -> None:
    assert score(np.array([[0.5, 0.4999]]), np.array([[1, 1]]))["macro_f1"] == 0.5


def test_a_draw_of_every_image_once_gives_the_score_itself() -> None:
    probabilities, labels = _draw(3)
    same = np.ones((2, len(labels)), dtype=np.float32)
    found = score(probabilities, labels)
    assert resampled_label_f1(probabilities, labels, same) == pytest.approx([found["macro_f1"]] * 2)
    assert resampled_area(rank_classes(probabilities, labels), same) == pytest.approx(
        [found["auroc_ovr_macro"]] * 2
    )


def test_draws_are_of_whole_images_and_their_scores_those_of_the_images_drawn() -> None:
    probabilities, labels = _draw(4, n=300)
    weights = image_weights(SeveralLabels(labels, labels.shape[1]), n_draws=400, seed=0)
    assert weights.sum(axis=1) == pytest.approx(np.full(400, 300.0), rel=1e-5)
    of_class = weights @ labels[:, 0]
    assert of_class.std() > 1  # classes vary in size: nothing was drawn within a class
    draw = np.repeat(np.arange(300), np.rint(weights[0] * 299 / 300).astype(int))
    assert len(draw) == 299
    assert resampled_label_f1(probabilities, labels, weights)[0] == pytest.approx(
        score(probabilities[draw], labels[draw])["macro_f1"]
    )


@pytest.mark.slow
def test_the_spread_of_draws_is_that_of_fresh_images() -> None:
    fresh = [score(*_draw(1000 + seed, n=300)) for seed in range(200)]
    probabilities, labels = _draw(5, n=300)
    weights = image_weights(SeveralLabels(labels, labels.shape[1]), n_draws=400, seed=0)
    drawn = {
        "macro_f1": resampled_label_f1(probabilities, labels, weights),
        "auroc_ovr_macro": resampled_area(rank_classes(probabilities, labels), weights),
    }
    for name, values in drawn.items():
        assert values.std() == pytest.approx(np.std([one[name] for one in fresh]), rel=0.25), name


@pytest.mark.parametrize(
    ("probabilities", "labels", "error", "message"),
    [
        (np.ones((2, 3)), np.ones(2, dtype=int), CheckFailed, "probabilities and labels must both "
                                                              "be (N, C) with N >= 1, got (2, 3) "
                                                              "and (2,)"),
        (
            np.full((1, 2), 1.5), np.ones((1, 2), dtype=int), CheckFailed,
            "probabilities must lie in [0, 1] and labels be 0 or 1; take the sigmoid of the logits "
            "first",
        ),
        (
            np.array([[np.nan, 0.5], [0.5, 0.5]]), np.ones((2, 2), dtype=int), TrialError,
            "probabilities must be finite, got NaN or infinity for 1 of 2 images: training "
            "diverged; lower head_lr, or set precision to fp32",
        ),
    ],
)  # fmt: skip
def test_wrong_arrays_are_refused(
    probabilities: np.ndarray, labels: np.ndarray, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        score(probabilities, labels)
    assert str(caught.value) == message
