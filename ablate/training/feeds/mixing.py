"""Mixup and cutmix: images of a batch mixed in pairs, and their labels in the same shares.

A kept activation is of one image, and what a trunk makes of a mixed image is no mixture of two
activations: recipes that mix run their whole network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from ablate.streams import stream
from ablate.targets import targets_of_array
from ablate.training.feeds.batches import ImageFeed


@dataclass(frozen=True)
class MixedFeed:
    """An image feed whose train batches are mixed; evaluation stays clean.

    With both alphas a coin picks one way per batch.
    """

    images: ImageFeed
    mixup: float
    cutmix: float
    n_classes: int

    @property
    def labels(self) -> NDArray[np.int64]:
        """See `Feed`."""
        return self.images.labels

    @cached_property
    def _images_and_membership(self) -> ImageFeed:
        """The feed with 0 and 1 for each class (N, C) in place of labels: they can be mixed."""
        split = self.images.split
        # 0 and 1, so that a share of a label is a number between them.
        membership = targets_of_array(split.labels, n_classes=self.n_classes).membership()
        return replace(self.images, split=replace(split, labels=membership))

    def train(
        self, *, policy: str, seed: int, epoch: int, batch_size: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Mixed images (B, 3, S, S) and shares (B, C).

        Shares sum to 1 where each image has one label.
        """
        batches = self._images_and_membership.train(
            policy=policy, seed=seed, epoch=epoch, batch_size=batch_size
        )
        for step, (images, membership) in enumerate(batches):
            # By epoch and step: a trial that goes on from a checkpoint mixes the same pairs.
            rng = np.random.Generator(np.random.Philox(stream(seed, "mix", epoch, step)))
            shares = membership.float()
            yield mixed(images, shares, rng, mixup=self.mixup, cutmix=self.cutmix)

    def evaluate(self, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Feed`."""
        return self.images.evaluate(batch_size=batch_size)


def mixed(
    images: Tensor, shares: Tensor, rng: Generator, *, mixup: float, cutmix: float
) -> tuple[Tensor, Tensor]:
    """Mix (B, 3, H, W) with itself in a random order, and shares (B, C) alike.

    Blended (mixup: Zhang et al., 2018), or with a box of the other image (cutmix: Yun et al.,
    2019).
    """
    # The coin is tossed only where both are on.
    is_blend = bool(mixup) and (not cutmix or rng.random() < 0.5)
    alpha = cutmix
    if is_blend:
        alpha = mixup
    kept = float(rng.beta(alpha, alpha))
    # An image may meet itself: then it stays as it is.
    other = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    if is_blend:
        return torch.lerp(images[other], images, kept), torch.lerp(shares[other], shares, kept)
    height, width = images.shape[2:]
    top, bottom = _extent(height, kept, rng)
    left, right = _extent(width, kept, rng)
    result = images.clone()
    result[:, :, top:bottom, left:right] = images[other, :, top:bottom, left:right]
    # The border cut off a part of the box: the labels follow what is really shown.
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return result, torch.lerp(shares[other], shares, kept)


def _extent(side: int, kept: float, rng: Generator) -> tuple[int, int]:
    """A box whose sides are sqrt(1 - kept) of the image's, cut off at the image's border.

    Its middle is a random point of the image.
    """
    half = int(side * math.sqrt(1 - kept)) // 2
    middle = int(rng.integers(side))
    return max(middle - half, 0), min(middle + half, side)
