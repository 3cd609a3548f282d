"""Co-Tuning: each target class is a mixture of source classes, and both classifiers are tuned.

You, Kou, Long and Wang, "Co-Tuning for Transfer Learning", NeurIPS 2020. The category relationship
p(source class | target class) is the paper's direct approach. The paper calibrates the source
probabilities on the source's own val images, which no download carries; here the temperature is
the one whose relationship explains the labels of val best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TEMPERATURES = tuple(2.0 ** (step / 4) for step in range(-12, 13))
"""Tried for the source probabilities: 1/8 to 8, a quarter of a doubling apart."""
_LEAST = 1e-12
"""Below every probability that a float32 softmax can tell from 0 next to others."""


@dataclass(frozen=True, eq=False)
class LabelledLogits:
    """Logits of the source classifier on clean images, and the images' own labels."""

    logits: Tensor
    """(N, K)."""
    labels: NDArray[np.int64]
    """(N,)."""

    def probabilities(self, temperature: float) -> NDArray[np.float64]:
        """(N, K) in double precision: what is averaged must not depend on the order much."""
        return np.asarray(torch.softmax(self.logits.double() / temperature, dim=1).numpy())


def category_relationship(
    train: LabelledLogits, val: LabelledLogits, *, n_classes: int
) -> tuple[Tensor, float]:
    """p(source class | target class) as (C, K) float32, and the temperature that it was found at.

    The temperature is that of `TEMPERATURES` under which labels of val are most likely by the
    relationship alone. Rows of classes without a train image are the mean over all images.
    """
    losses = []
    for temperature in TEMPERATURES:
        relationship = mean_by_class(train, temperature, n_classes=n_classes)
        losses.append(_loss_of(relationship, train, val, temperature))
    # the first of equal ones, so that no machine chooses otherwise
    temperature = TEMPERATURES[int(np.argmin(losses))]
    chosen = mean_by_class(train, temperature, n_classes=n_classes)
    return torch.from_numpy(chosen).float(), temperature


def mean_by_class(
    train: LabelledLogits, temperature: float, *, n_classes: int
) -> NDArray[np.float64]:
    """Mean source probabilities of the images of each target class, (C, K)."""
    probabilities = train.probabilities(temperature)
    rows = np.tile(probabilities.mean(axis=0), (n_classes, 1))
    for label in np.unique(train.labels):
        rows[label] = probabilities[train.labels == label].mean(axis=0)
    return rows


def _loss_of(
    relationship: NDArray[np.float64],
    train: LabelledLogits,
    val: LabelledLogits,
    temperature: float,
) -> float:
    """Mean negative log-likelihood of val's labels.

    p(target | image) is the sum over source classes of p(target | source) p(source | image), with
    Bayes' rule for the first.
    """
    n_classes = len(relationship)
    shares = np.bincount(train.labels, minlength=n_classes) / len(train.labels)
    joint = relationship * shares[:, None]  # (C, K)
    of_source = joint / np.maximum(joint.sum(axis=0), _LEAST)  # p(target | source), by column
    likely = val.probabilities(temperature) @ of_source.T  # (N, C)
    right = likely[np.arange(len(val.labels)), val.labels]
    return float(-np.log(np.maximum(right, _LEAST)).mean())


def source_targets(labels: Tensor, relationship: Tensor) -> Tensor:
    """Labels (B,), or shares (B, C) of mixed images -> probabilities of source classes (B, K)."""
    if labels.ndim == 1:
        return relationship[labels]
    return labels.float() @ relationship


def co_tuning_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the source classifier's logits (B, K) with `targets` (B, K), mean."""
    log_now = torch.log_softmax(logits.float(), dim=1)
    return -(targets * log_now).sum(dim=1).mean()
