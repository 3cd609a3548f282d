"""Which images come when, and as what: orders, views and normalised batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.augment import clean, views
from ablate.data.store import StoredSplit
from ablate.model.backbone import Preprocessing
from ablate.spec.request import Compute
from ablate.streams import stream


def epoch_order(n_images: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return a permutation of range(n_images) that depends on the seed and the epoch only."""
    return np.random.Generator(np.random.Philox(key=stream(seed, "order", epoch))).permutation(n_images)


def split_batches(order: NDArray[np.int64], *, batch_size: int) -> list[NDArray[np.int64]]:
    """Cut an order into batches. A last batch of one image joins the batch before it: BatchNorm has no variance over one."""
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


@dataclass(frozen=True)
class ImageFeed:
    """Batches of one split for one network: normalised images (B, 3, H, W) float32 and labels (B,) int64, on the device."""

    split: StoredSplit
    preprocessing: Preprocessing
    compute: Compute

    def __len__(self) -> int:
        return len(self.split.labels)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,), in the stored order."""
        return self.split.labels

    def train(self, *, policy: str, seed: int, epoch: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the epoch's batches in the epoch's order, each image in its view of that epoch."""
        for batch in split_batches(epoch_order(len(self), seed=seed, epoch=epoch), batch_size=batch_size):
            images = views(self.split.images, batch.tolist(), policy=policy, image_size=self.preprocessing.image_size, seed=seed, epoch=epoch)
            yield self._normalised(images), self._labels(batch)

    def evaluate(self, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the split in its stored order, as clean centre crops."""
        for start in range(0, len(self), batch_size):
            batch = range(start, min(start + batch_size, len(self)))
            yield self._normalised(clean(self.split.images, batch, image_size=self.preprocessing.image_size)), self._labels(batch)

    def view(self, *, policy: str, seed: int, epoch: int, batch_size: int) -> Iterator[Tensor]:
        """Yield the split in its stored order, each image in its view of that epoch: the batches of `train` without their order and labels."""
        for start in range(0, len(self), batch_size):
            batch = range(start, min(start + batch_size, len(self)))
            yield self._normalised(views(self.split.images, batch, policy=policy, image_size=self.preprocessing.image_size, seed=seed, epoch=epoch))

    def _normalised(self, images: Tensor) -> Tensor:
        images = images.to(self.compute.device, non_blocking=True)
        if self.compute.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return self.preprocessing.normalised(images)

    def _labels(self, batch: Sequence[int] | NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self.split.labels[np.asarray(batch)]).to(self.compute.device, non_blocking=True)
