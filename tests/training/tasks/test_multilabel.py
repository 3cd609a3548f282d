from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ablate.metrics.multilabel import score
from ablate.recipe.recipe import Recipe
from ablate.study.tasks.multilabel import MULTILABEL
from ablate.targets import SeveralLabels
from ablate.training.feeds.mixing import draw_mixture
from ablate.training.tasks import TrainTargets, make_task
from ablate.training.tasks.classification import Classification
from ablate.training.tasks.multilabel import Multilabel

NAMES = ("warm", "cold", "striped")
LABELS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 1]])


def _task(recipe: Recipe, labels: np.ndarray) -> Multilabel:
    in_use = TrainTargets(SeveralLabels(labels, len(NAMES)), NAMES)
    task = make_task(MULTILABEL.name, recipe, in_use, device="cpu")
    assert isinstance(task, Multilabel)
    return task


def _logits(n: int = 4) -> torch.Tensor:
    return 2 * torch.randn(n, 3, generator=torch.Generator().manual_seed(0))


def test_the_loss_is_torchs_summed_over_classes_and_averaged_over_images() -> None:
    targets = torch.from_numpy(LABELS)
    each = nn.BCEWithLogitsLoss(reduction="none")(_logits(), targets.float())
    torch.testing.assert_close(Multilabel().loss(_logits(), targets), each.sum(dim=1).mean())


def test_smoothing_moves_yes_and_no_towards_one_half() -> None:
    wanted = torch.where(torch.from_numpy(LABELS) == 1, 0.9, 0.1)
    expected = F.binary_cross_entropy(torch.sigmoid(_logits()), wanted, reduction="sum") / 4
    torch.testing.assert_close(Multilabel(0.2).loss(_logits(), torch.from_numpy(LABELS)), expected)


def test_balanced_weights_make_a_yes_weigh_as_many_times_as_there_are_more_noes() -> None:
    task = _task(Recipe(loss="bce", class_weights="balanced"), LABELS)
    torch.testing.assert_close(task.class_weights, torch.tensor([1 / 3, 1.0, 3.0]))
    p = torch.sigmoid(_logits())
    targets = torch.from_numpy(LABELS).float()
    by_hand = (
        -(torch.tensor([1 / 3, 1.0, 3.0]) * targets * p.log() + (1 - targets) * (1 - p).log()).sum()
        / 4
    )
    torch.testing.assert_close(task.loss(_logits(), torch.from_numpy(LABELS)), by_hand)


def test_weights_by_name_are_those_of_the_positives() -> None:
    task = _task(Recipe(loss="bce", class_weights={"cold": 4.0}), LABELS)
    torch.testing.assert_close(task.class_weights, torch.tensor([1.0, 4.0, 1.0]))
    assert _task(Recipe(loss="bce"), LABELS).class_weights is None


def test_a_class_that_every_image_has_keeps_a_small_weight() -> None:
    labels = np.array([[1, 0], [1, 1]])
    in_use = TrainTargets(SeveralLabels(labels, 2), ("a", "b"))
    recipe = Recipe(loss="bce", class_weights="balanced")
    task = make_task(MULTILABEL.name, recipe, in_use, device="cpu")
    torch.testing.assert_close(task.class_weights, torch.tensor([0.25, 1.0]))


def test_parts_of_a_batch_sum_to_the_whole() -> None:
    task, targets = Multilabel(0.1, torch.tensor([1.0, 2.0, 3.0])), torch.from_numpy(LABELS)
    parts = [
        task.loss(_logits()[own], targets[own]) * (task.mass(targets[own]) / task.mass(targets))
        for own in (slice(0, 3), slice(3, 4))
    ]
    torch.testing.assert_close(sum(parts), task.loss(_logits(), targets))


def test_labels_of_mixed_images_mix_as_they_are() -> None:
    images, targets = (
        torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)),
        torch.from_numpy(LABELS).float(),
    )
    mixture = draw_mixture(images.shape, np.random.default_rng(0), mixup=0.4, cutmix=0.0)
    whole, shares = mixture.of_images(images), mixture.of_shares(targets)
    rng = np.random.default_rng(0)
    own, other = rng.beta(0.4, 0.4), rng.permutation(4)
    torch.testing.assert_close(shares, own * targets + (1 - own) * targets[other])
    torch.testing.assert_close(whole, own * images + (1 - own) * images[other], atol=1e-5, rtol=0)
    assert torch.isfinite(Multilabel().loss(_logits(), shares))


def test_bce_learns_what_a_softmax_cannot() -> None:
    """Three switches that are on or off by themselves: every combination, also none and all."""
    labels = torch.tensor([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]).repeat(8, 1)
    inputs = labels.float() + 0.1 * torch.randn(64, 3, generator=torch.Generator().manual_seed(2))
    found = {}
    for task, targets in (
        (Multilabel(), labels),
        (
            Classification(),
            torch.nan_to_num(labels / labels.sum(dim=1, keepdim=True)),
        ),  # shares that sum to 1, as a softmax has them
    ):
        torch.manual_seed(0)
        head = nn.Linear(3, 3)
        optimizer = torch.optim.AdamW(head.parameters(), lr=0.1)
        for _ in range(300):
            optimizer.zero_grad()
            task.loss(head(inputs), targets).backward()
            optimizer.step()
        found[type(task).__name__] = score(
            task.predict(head(inputs).detach()).numpy(), labels.numpy()
        )
    assert found["Multilabel"]["macro_f1"] == pytest.approx(1.0)
    assert found["Multilabel"]["subset_accuracy"] == 1.0
    assert found["Classification"]["subset_accuracy"] < 0.8
