"""Losses beside independent ones: torchvision's, scikit-learn's, torch's, and sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.multiclass import OneVsRestClassifier
from torchvision.ops import sigmoid_focal_loss

from ablate.errors import SpecError
from ablate.recipe.recipe import Recipe
from ablate.study.tasks.classification import CLASSIFICATION
from ablate.targets import OneLabel
from ablate.training.tasks import TrainTargets, make_task
from ablate.training.tasks.class_weights import (
    check_class_weights,
    class_weights,
    effective_class_weights,
)
from ablate.training.tasks.classification import Classification, probabilities
from ablate.training.trial_run import run_trial

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(12, 3, generator=GENERATOR) * 2
LABELS = torch.randint(0, 3, (12,), generator=GENERATOR)
MIXED = torch.softmax(torch.randn(12, 3, generator=GENERATOR), dim=1)
WEIGHTS = torch.tensor([1.0, 4.0, 0.5])
NAMES = ("a", "b", "c")
KINDS = pytest.mark.parametrize("kind", ["cross_entropy", "focal", "bce"])


def _task(recipe: Recipe, labels: np.ndarray) -> Classification:
    in_use = TrainTargets(OneLabel(labels, len(NAMES)), NAMES)
    task = make_task(CLASSIFICATION.name, recipe, in_use, device="cpu")
    assert isinstance(task, Classification)
    return task


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.5])
def test_focal_loss_of_two_classes_is_torchvisions(gamma: float) -> None:
    two = LOGITS[:, :2]
    expected = sigmoid_focal_loss(
        two[:, 1] - two[:, 0], (LABELS > 0).float(), alpha=-1, gamma=gamma, reduction="mean"
    )
    assert Classification(kind="focal", focal_gamma=gamma).loss(
        two, (LABELS > 0).long()
    ).item() == pytest.approx(expected.item(), abs=1e-6)


def test_bce_sums_the_log_losses_of_each_class_against_the_rest() -> None:
    expected = sum(
        log_loss(c == LABELS, torch.sigmoid(LOGITS[:, c].double()).numpy()) for c in range(3)
    )
    assert Classification(kind="bce").loss(LOGITS, LABELS).item() == pytest.approx(
        expected, abs=1e-5
    )


def test_bce_predicts_as_scikit_learns_one_vs_rest_does() -> None:
    features = np.random.default_rng(0).normal(size=(60, 5)) + np.repeat(np.eye(3, 5), 20, axis=0)
    model = OneVsRestClassifier(LogisticRegression()).fit(features, np.repeat(np.arange(3), 20))
    found = probabilities(torch.from_numpy(model.decision_function(features)), kind="bce")
    np.testing.assert_allclose(found.numpy(), model.predict_proba(features), atol=1e-6)
    assert probabilities(torch.full((1, 3), -300.0), kind="bce").isfinite().all()


@KINDS
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_mixed_label_costs_what_its_parts_cost(kind: str, weights: torch.Tensor | None) -> None:
    """Every loss is linear in the label, so a mixture costs the mixture of the losses.

    That is, over the mixture of the weights.
    """
    task = Classification(0.0, weights, kind=kind)  # type: ignore[arg-type]
    for logits, shares in zip(LOGITS, MIXED, strict=True):
        costs = torch.stack(
            [
                task.loss(logits[None], torch.tensor([c])) * task.mass(torch.tensor([c]))
                for c in range(3)
            ]
        )
        expected = (shares * costs).sum() / task.mass(shares[None])
        assert task.loss(logits[None], shares[None]).item() == pytest.approx(
            expected.item(), rel=1e-5
        )


def test_mixed_cross_entropy_is_torchs() -> None:
    assert Classification(0.1).loss(LOGITS, MIXED).item() == pytest.approx(
        F.cross_entropy(LOGITS, MIXED, label_smoothing=0.1).item(), rel=1e-6
    )


@KINDS
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_label_as_a_share_costs_the_same(
    kind: str, smoothing: float, weights: torch.Tensor | None
) -> None:
    task = Classification(smoothing, weights, kind=kind)  # type: ignore[arg-type]
    assert task.loss(LOGITS, LABELS).item() == pytest.approx(
        task.loss(LOGITS, F.one_hot(LABELS, 3).float()).item(), rel=1e-5
    )


@KINDS
def test_parts_of_a_batch_sum_to_the_whole(kind: str) -> None:
    for targets in (LABELS, MIXED):
        task = Classification(0.1, WEIGHTS, kind=kind)  # type: ignore[arg-type]
        parts = sum(
            task.loss(LOGITS[part], targets[part]) * task.mass(targets[part])
            for part in (slice(0, 5), slice(5, 12))
        ) / task.mass(targets)
        assert float(parts) == pytest.approx(task.loss(LOGITS, targets).item(), rel=1e-5)


def test_losses_and_weights_differ() -> None:
    tasks = [
        Classification(),
        Classification(kind="focal"),
        Classification(kind="bce"),
        Classification(0.1),
        Classification(0.0, WEIGHTS),
    ]
    assert len({round(task.loss(LOGITS, LABELS).item(), 5) for task in tasks}) == len(tasks)


def test_logit_adjustment_shifts_the_loss_and_not_the_prediction() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2])
    task = _task(Recipe(logit_adjustment=1.5), labels)
    shifted = LOGITS + 1.5 * torch.log(torch.tensor([0.6, 0.3, 0.1]))
    assert task.loss(LOGITS, LABELS).item() == pytest.approx(
        F.cross_entropy(shifted, LABELS).item(), rel=1e-6
    )
    torch.testing.assert_close(task.predict(LOGITS), torch.softmax(LOGITS, 1))


def test_effective_weights_as_computed_by_hand() -> None:
    """1 - 0.9^n for 1, 2 and 10 images: 0.1, 0.19, 0.6513."""
    inverse = np.array([1 / 0.1, 1 / 0.19, 1 / (1 - 0.9**10)])
    assert effective_class_weights(np.array([1, 2, 10]), beta=0.9) == pytest.approx(
        3 * inverse / inverse.sum()
    )
    assert effective_class_weights(np.array([1, 2, 10]), beta=0.0) == pytest.approx([1, 1, 1])
    almost = effective_class_weights(np.array([1, 2, 10]), beta=1 - 1e-9)
    assert almost == pytest.approx(3 * np.array([1, 0.5, 0.1]) / 1.6, rel=1e-4)


def test_given_weights_by_list_and_by_name() -> None:
    labels = np.arange(3)
    by_list, by_name = Recipe(class_weights=(1, 2.5, 3)), Recipe(class_weights={"b": 4})
    assert class_weights(by_list, labels, class_names=NAMES).tolist() == [1, 2.5, 3]  # type: ignore[union-attr]
    assert class_weights(by_name, labels, class_names=NAMES).tolist() == [1, 4, 1]  # type: ignore[union-attr]
    assert class_weights(Recipe(), labels, class_names=NAMES) is None
    assert Recipe.model_validate(by_name.model_dump(mode="json")) == by_name


def test_weights_that_do_not_fit_the_classes_are_refused() -> None:
    with pytest.raises(SpecError) as by_name:
        check_class_weights(Recipe(class_weights={"d": 2, "a": 1}), NAMES)
    assert str(by_name.value) == "class_weights must name classes of the data (a, b, c), got d"
    with pytest.raises(SpecError) as by_list:
        check_class_weights(Recipe(class_weights=(1, 2)), NAMES)
    assert (
        str(by_list.value)
        == "class_weights must have a weight for each of the 3 classes (a, b, c), got 2"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"loss": "focal"},
        {"loss": "bce"},
        {"logit_adjustment": 1.0},
        {"class_weights": "effective", "effective_beta": 0.9},
    ],
)
def test_a_loss_reaches_training(make_request, fields: dict[str, object]) -> None:
    losses: list[float] = []
    for recipe in ({}, fields):
        run_trial(
            make_request(epochs=1, **recipe),
            lambda _e, _n, metrics: losses.append(metrics["train/loss"]),
        )
    assert losses[0] != losses[1]
