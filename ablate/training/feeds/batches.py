"""Which images come when, and as what: orders, views and normalised batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.augment import clean
from ablate.data.store import StoredSplit
from ablate.model.backbone_facts import Preprocessing
from ablate.study.request import Compute
from ablate.training.feeds.drawn_views import DrawnViews, drawer
from ablate.training.feeds.sampling import Sampling


def split_batches(order: NDArray[np.int64], *, batch_size: int) -> list[NDArray[np.int64]]:
    """Cut an order (N,) into batches. A last batch of one image joins the batch before it."""
    batches = in_order(order, batch_size=batch_size)
    # BatchNorm has no variance over one
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


def in_order(rows: NDArray[np.int64], *, batch_size: int) -> list[NDArray[np.int64]]:
    """Cut rows (N,) into batches as they stand."""
    batches = []
    for start in range(0, len(rows), batch_size):
        batches.append(rows[start : start + batch_size])
    return batches


@dataclass(frozen=True)
class ImageFeed:
    """Batches of one split for one network, on the device.

    Normalised images (B, 3, H, W) float32 and labels (B,) or (B, C) int64.
    """

    split: StoredSplit
    preprocessing: Preprocessing
    compute: Compute
    sampling: Sampling
    drawn: DrawnViews | None = None
    """Where views are kept that other trials draw too."""

    def __len__(self) -> int:
        """Images of the whole split, of which `sampling` may use a part."""
        return len(self.split.labels)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) or (N, C) of the images in use, in the stored order."""
        return self.sampling.labels

    def train(
        self, *, policy: str, seed: int, epoch: int, batch_size: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the epoch's batches in the epoch's order, each image in its view of that epoch."""
        order = self.sampling.epoch(seed=seed, epoch=epoch)
        # Once an epoch: kept views are opened, or their drawing begins, before the first batch.
        draw = self._drawer(policy=policy, seed=seed, epoch=epoch)
        for batch in split_batches(order, batch_size=batch_size):
            yield self._normalised(draw(batch.tolist())), self._labels(batch)

    def beside(self, values: Tensor, *, seed: int, epoch: int, batch_size: int) -> Iterator[Tensor]:
        """Yield rows of `values` (N, ...), which has one for each image of the whole split.

        Batch by batch those of the images that `train` yields, on the device.
        """
        order = self.sampling.epoch(seed=seed, epoch=epoch)
        for batch in split_batches(order, batch_size=batch_size):
            yield values[torch.from_numpy(batch)].to(self.compute.device, non_blocking=True)

    def evaluate(self, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the images in use in their stored order, as clean centre crops."""
        side = self.preprocessing.image_size
        for batch in in_order(self.sampling.rows, batch_size=batch_size):
            images = clean(self.split.images, batch.tolist(), image_size=side)
            yield self._normalised(images), self._labels(batch)

    def view(self, *, policy: str, seed: int, epoch: int, batch_size: int) -> Iterator[Tensor]:
        """Yield the whole split in its stored order, each image in its view of that epoch.

        Those are the images of `train` without their order and labels, (B, 3, H, W).
        """
        draw = self._drawer(policy=policy, seed=seed, epoch=epoch)
        # Few shots leave none out here: what is computed from all images is what others share.
        for start in range(0, len(self), batch_size):
            yield self._normalised(draw(range(start, min(start + batch_size, len(self)))))

    def _drawer(self, *, policy: str, seed: int, epoch: int) -> Callable[[Sequence[int]], Tensor]:
        """What gives the views of some images, from those that are kept or drawn now."""
        rows = None
        if self.drawn is not None:
            rows = self.drawn.rows(policy=policy, seed=seed, epoch=epoch)
        if rows is None:
            return drawer(self.split, self.preprocessing, policy=policy, seed=seed, epoch=epoch)
        kept = rows
        return lambda positions: kept.batch(np.asarray(positions, dtype=np.int64))

    def _normalised(self, images: Tensor) -> Tensor:
        # as bytes to the device: a quarter of what floats would take
        images = images.to(self.compute.device, non_blocking=True)
        if self.compute.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        # on the device, in float32: mean and deviation of the backbone's own pretraining
        return self.preprocessing.normalised(images)

    def _labels(self, batch: NDArray[np.int64]) -> Tensor:
        labels = torch.from_numpy(self.split.labels[batch])
        return labels.to(self.compute.device, non_blocking=True)
