"""Mixup and cutmix: images of a batch mixed in pairs, and their labels in the same shares.

A kept activation is of one image, and what a trunk makes of a mixed image is no mixture of two activations: recipes that mix run their whole network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from ablate.streams import stream
from ablate.training.feeds.batches import ImageFeed


@dataclass(frozen=True)
class MixedFeed:
    """An image feed whose train batches are mixed; with both alphas a coin picks one way a batch. Evaluation stays clean."""

    images: ImageFeed
    mixup: float
    cutmix: float
    n_classes: int

    @property
    def labels(self) -> NDArray[np.int64]:
        """See `Feed`."""
        return self.images.labels

    def train(
        self, *, policy: str, seed: int, epoch: int, batch_size: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Mixed images (B, 3, S, S) and shares (B, C), which sum to 1 where each image has one label."""
        for step, (images, labels) in enumerate(
            self.images.train(policy=policy, seed=seed, epoch=epoch, batch_size=batch_size)
        ):
            rng = np.random.Generator(np.random.Philox(stream(seed, "mix", epoch, step)))
            shares = (
                labels.float() if labels.ndim == 2 else F.one_hot(labels, self.n_classes).float()
            )
            yield mixed(images, shares, rng, mixup=self.mixup, cutmix=self.cutmix)

    def evaluate(self, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Feed`."""
        return self.images.evaluate(batch_size=batch_size)


def mixed(
    images: Tensor, shares: Tensor, rng: Generator, *, mixup: float, cutmix: float
) -> tuple[Tensor, Tensor]:
    """Mix (B, 3, H, W) with itself in a random order, shares (B, C) alike: blended (Zhang et al., 2018) or with a box of the other (Yun et al., 2019)."""
    is_blend = bool(mixup) and (not cutmix or rng.random() < 0.5)
    own = float(rng.beta(mixup, mixup) if is_blend else rng.beta(cutmix, cutmix))
    other = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    if is_blend:
        return torch.lerp(images[other], images, own), torch.lerp(shares[other], shares, own)
    top, bottom = _extent(images.shape[2], own, rng)
    left, right = _extent(images.shape[3], own, rng)
    whole = images.clone()
    whole[:, :, top:bottom, left:right] = images[other, :, top:bottom, left:right]
    own = 1 - (bottom - top) * (right - left) / (
        images.shape[2] * images.shape[3]
    )  # what the border cut off stays the image's own
    return whole, torch.lerp(shares[other], shares, own)


def _extent(side: int, own: float, rng: Generator) -> tuple[int, int]:
    """A box whose sides are sqrt(1 - own) of the image's, around a point of the image, cut off at the border."""
    half, middle = int(side * math.sqrt(1 - own)) // 2, int(rng.integers(side))
    return max(middle - half, 0), min(middle + half, side)
