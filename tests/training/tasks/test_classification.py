"""The classification loss, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from ablate.training.tasks.class_weights import balanced_class_weights
from ablate.training.tasks.classification import Classification

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0], [-1.0, 3.0, 0.2], [0.0, 0.0, 0.0]])
LABELS = torch.tensor([0, 2, 1, 1])


def test_the_loss_is_the_log_loss() -> None:
    probabilities = Classification().predict(LOGITS).double()
    # float32 rows sum to 1 up to their last digit; scikit-learn warns of what float64 shows of it
    probabilities /= probabilities.sum(dim=1, keepdim=True)
    assert Classification().loss(LOGITS, LABELS).item() == pytest.approx(
        log_loss(LABELS.numpy(), probabilities.numpy()), abs=1e-6
    )


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.array([0] * 7 + [1] * 2 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced_class_weights(labels, n_classes=3) == pytest.approx(expected)


def test_class_weights_weigh_as_computed_by_hand() -> None:
    weights = torch.tensor([1.0, 4.0, 2.0])
    each = -torch.log_softmax(LOGITS, dim=1)[torch.arange(4), LABELS]
    expected = (each * weights[LABELS]).sum() / weights[LABELS].sum()
    assert Classification(class_weights=weights).loss(LOGITS, LABELS).item() == pytest.approx(
        expected.item()
    )


def test_label_smoothing_mixes_in_the_uniform_distribution() -> None:
    log_p = torch.log_softmax(LOGITS, dim=1)
    expected = -(0.9 * log_p[torch.arange(4), LABELS] + 0.1 * log_p.mean(dim=1)).mean()
    assert Classification(label_smoothing=0.1).loss(LOGITS, LABELS).item() == pytest.approx(
        expected.item()
    )


def test_half_precision_logits_are_scored_in_full_precision() -> None:
    assert Classification().loss(LOGITS.bfloat16(), LABELS).dtype == torch.float32
    assert Classification().predict(LOGITS.bfloat16()).dtype == torch.float32
