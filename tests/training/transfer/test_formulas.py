"""The terms beside the loss against their papers' formulas, written out by loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ablate.training.transfer.bss import spectral_tail
from ablate.training.transfer.co_tuning import (
    TEMPERATURES,
    LabelledLogits,
    category_relationship,
    co_tuning_loss,
    source_targets,
)
from ablate.training.transfer.feature_maps import behaviour_change
from ablate.training.transfer.lwf import forgetting, softened


def drawn(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def chances(logits: Any, temperature: float) -> list[float]:
    powers = [math.exp(float(one) / temperature) for one in logits]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_forgetting_is_the_papers_cross_entropy_less_what_no_weight_changes(
    temperature: float,
) -> None:
    """Li and Hoiem: -sum y'_o log y'_now with y' = y^(1/T) / sum y^(1/T)."""
    before, now = drawn(4, 6, seed=1, scale=3), drawn(4, 6, seed=2, scale=3)
    expected = 0.0
    for old, new in zip(before, now, strict=True):
        y_old, y_new = chances(old, 1.0), chances(new, 1.0)
        kept = [y ** (1 / temperature) for y in y_old]
        seen = [y ** (1 / temperature) for y in y_new]
        for k, s in zip(kept, seen, strict=True):
            y_kept, y_seen = k / sum(kept), s / sum(seen)
            expected += y_kept * (math.log(y_kept) - math.log(y_seen)) / len(before)
    kept_rows = softened(before, temperature=temperature)
    assert float(forgetting(now, kept_rows, temperature=temperature)) == pytest.approx(
        expected, rel=1e-4
    )
    assert float(forgetting(before, kept_rows, temperature=temperature)) == pytest.approx(
        0.0, abs=1e-6
    )


def test_a_class_that_is_certain_gives_numbers() -> None:
    logits = torch.tensor([[300.0, 0.0, -300.0]])
    kept = softened(logits, temperature=1.0)
    assert float(kept[0, 1]) == 0.0
    assert float(forgetting(logits, kept, temperature=1.0)) == pytest.approx(0.0)


@pytest.mark.parametrize(("shape", "k"), [((8, 5), 1), ((8, 5), 3), ((3, 9), 2), ((2, 9), 5)])
def test_the_spectral_tail_is_made_of_the_smallest_eigenvalues(
    shape: tuple[int, int], k: int
) -> None:
    """Chen et al.: the sum of the k smallest squared singular values; those are eigenvalues."""
    features = drawn(*shape, seed=3).requires_grad_()
    small = features if shape[0] <= shape[1] else features.T
    eigenvalues = torch.linalg.eigvalsh(small @ small.T)  # rising
    expected = eigenvalues[:k].sum()
    value = spectral_tail(features, k=k)
    assert float(value.detach()) == pytest.approx(float(expected.detach()), rel=1e-3, abs=1e-5)
    (ours,) = torch.autograd.grad(value, features)
    (theirs,) = torch.autograd.grad(expected, features)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def test_behaviour_is_compared_channel_by_channel() -> None:
    """Li et al.: sum over filters of |FM_j(w) - FM_j(start)|^2, here over the places of a map."""
    now = {"map": drawn(2, 3, 4, 5, seed=1), "tokens": drawn(2, 7, 6, seed=2)}
    start = {"map": drawn(2, 3, 4, 5, seed=3), "tokens": drawn(2, 7, 6, seed=4)}
    expected = 0.0
    for image in range(2):
        for channel in range(3):
            gap = now["map"][image, channel] - start["map"][image, channel]
            expected += 0.5 * float(gap.norm() ** 2) / 20 / 2
        for channel in range(6):
            gap = now["tokens"][image, :, channel] - start["tokens"][image, :, channel]
            expected += 0.5 * float(gap.norm() ** 2) / 7 / 2
    value = behaviour_change(now, start, channel_axes={"map": 1, "tokens": 2})
    assert float(value) == pytest.approx(expected, rel=1e-5)


def labelled(n: int, *, seed: int) -> LabelledLogits:
    """Images of three classes that a source classifier of five mostly takes for 0, 2 and 4."""
    labels = np.arange(n) % 3
    logits = drawn(n, 5, seed=seed)
    for row, label in enumerate(labels):
        logits[row, 2 * label] += 2.0
    return LabelledLogits(logits, labels)


def test_the_relationship_is_the_mean_of_the_source_probabilities_of_a_class() -> None:
    """You et al., direct approach, at the temperature under which val's labels are most likely."""
    train, val = labelled(30, seed=1), labelled(21, seed=2)
    relationship, temperature = category_relationship(train, val, n_classes=3)
    losses = {}
    for candidate in TEMPERATURES:
        rows = [[0.0] * 5 for _ in range(3)]
        for logits, label in zip(train.logits, train.labels, strict=True):
            for source, chance in enumerate(chances(logits, candidate)):
                rows[label][source] += chance / 10
        loss = 0.0
        for logits, label in zip(val.logits, val.labels, strict=True):
            likely = 0.0
            for source, chance in enumerate(chances(logits, candidate)):
                whole = sum(rows[other][source] for other in range(3))
                likely += rows[label][source] / whole * chance
            loss -= math.log(likely)
        losses[candidate] = loss
        if candidate == temperature:
            np.testing.assert_allclose(relationship.numpy(), rows, atol=1e-6)
    assert min(losses, key=lambda one: losses[one]) == temperature
    assert relationship.argmax(dim=1).tolist() == [0, 2, 4]
    torch.testing.assert_close(relationship.sum(dim=1), torch.ones(3))


def test_a_class_without_a_train_image_is_the_mean_of_all() -> None:
    train, val = labelled(30, seed=1), labelled(21, seed=2)
    relationship, temperature = category_relationship(train, val, n_classes=4)
    mean = torch.softmax(train.logits.double() / temperature, dim=1).mean(dim=0)
    torch.testing.assert_close(relationship[3], mean.float())


def test_co_tuning_is_the_cross_entropy_with_the_row_of_the_class() -> None:
    relationship, logits = drawn(3, 5, seed=1).softmax(dim=1), drawn(4, 5, seed=2)
    labels = torch.tensor([2, 0, 0, 1])
    expected = 0.0
    for row, label in zip(logits, labels, strict=True):
        for source, chance in enumerate(chances(row, 1.0)):
            expected -= float(relationship[label, source]) * math.log(chance) / 4
    value = co_tuning_loss(logits, source_targets(labels, relationship))
    assert float(value) == pytest.approx(expected, rel=1e-5)
    shares = torch.nn.functional.one_hot(labels, 3).float()
    torch.testing.assert_close(
        source_targets(0.3 * shares + 0.7 * shares.flip(0), relationship),
        0.3 * relationship[labels] + 0.7 * relationship[labels.flip(0)],
    )
