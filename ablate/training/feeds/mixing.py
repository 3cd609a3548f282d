"""Mixup and cutmix: images of a batch mixed in pairs, and their labels in the same shares.

A kept activation is of one image, and what a trunk makes of a mixed image is no mixture of two
activations: recipes that mix run their whole network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
            mixture = self._mixture(images.shape, seed=seed, epoch=epoch, step=step)
            yield mixture.of_images(images), mixture.of_shares(membership.float())

    def beside(self, values: Tensor, *, seed: int, epoch: int, batch_size: int) -> Iterator[Tensor]:
        """See `Feed`."""
        rows = self.images.beside(values, seed=seed, epoch=epoch, batch_size=batch_size)
        side = self.images.preprocessing.image_size
        for step, batch in enumerate(rows):
            shape = (len(batch), 3, side, side)
            # drawn again: the pairs and shares of the images of this step
            mixture = self._mixture(shape, seed=seed, epoch=epoch, step=step)
            yield mixture.of_shares(batch)

    def _mixture(self, shape: Sequence[int], *, seed: int, epoch: int, step: int) -> Mixture:
        # By epoch and step: a trial that goes on from a checkpoint mixes the same pairs.
        rng = np.random.Generator(np.random.Philox(stream(seed, "mix", epoch, step)))
        return draw_mixture(shape, rng, mixup=self.mixup, cutmix=self.cutmix)

    def evaluate(self, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Feed`."""
        return self.images.evaluate(batch_size=batch_size)


@dataclass(frozen=True)
class Mixture:
    """Which images of a batch are mixed with which, and how."""

    partner: NDArray[np.int64]
    """(B,): an image may be its own partner; then it stays as it is."""
    kept: float
    """Share of the label that is the image's own, in [0, 1]."""
    box: tuple[slice, slice] | None
    """Rows and columns of the partner's that are shown; None where all of both are blended."""

    def of_images(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> those that are shown."""
        other = self._partners(images)
        if self.box is None:
            return torch.lerp(other, images, self.kept)
        result = images.clone()
        result[:, :, *self.box] = other[:, :, *self.box]
        return result

    def of_shares(self, shares: Tensor) -> Tensor:
        """Shares (B, C), or anything else that is known of each image -> the same of the mixed."""
        return torch.lerp(self._partners(shares), shares, self.kept)

    def _partners(self, values: Tensor) -> Tensor:
        return values[torch.from_numpy(self.partner).to(values.device)]


def draw_mixture(shape: Sequence[int], rng: Generator, *, mixup: float, cutmix: float) -> Mixture:
    """How images of a shape (B, 3, H, W) are mixed.

    Blended (mixup: Zhang et al., 2018), or with a box of the other image (cutmix: Yun et al.,
    2019).
    """
    # The coin is tossed only where both are on.
    is_blend = bool(mixup) and (not cutmix or rng.random() < 0.5)
    alpha = cutmix
    if is_blend:
        alpha = mixup
    kept = float(rng.beta(alpha, alpha))
    n_images, _, height, width = shape
    partner = rng.permutation(n_images)
    if is_blend:
        return Mixture(partner, kept, None)
    top, bottom = _extent(height, kept, rng)
    left, right = _extent(width, kept, rng)
    # The border cut off a part of the box: the labels follow what is really shown.
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return Mixture(partner, kept, (slice(top, bottom), slice(left, right)))


def _extent(side: int, kept: float, rng: Generator) -> tuple[int, int]:
    """A box whose sides are sqrt(1 - kept) of the image's, cut off at the image's border.

    Its middle is a random point of the image.
    """
    half = int(side * math.sqrt(1 - kept)) // 2
    middle = int(rng.integers(side))
    return max(middle - half, 0), min(middle + half, side)
