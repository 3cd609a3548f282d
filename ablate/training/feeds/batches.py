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
from ablate.model.facts import Preprocessing
from ablate.study.request import Compute
from ablate.training.feeds.sampling import Sampling


def split_batches(order: NDArray[np.int64], *, batch_size: int) -> list[NDArray[np.int64]]:
    """Cut an order into batches. A last batch of one image joins the batch before it: BatchNorm has no variance over one."""
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


def in_order(rows: NDArray[np.int64], *, batch_size: int) -> list[NDArray[np.int64]]:
    """Cut rows into batches as they stand."""
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]


@dataclass(frozen=True)
class ImageFeed:
    """Batches of one split for one network: normalised images (B, 3, H, W) float32 and labels (B,) or (B, C) int64, on the device."""

    split: StoredSplit
    preprocessing: Preprocessing
    compute: Compute
    sampling: Sampling

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
        for batch in split_batches(
            self.sampling.epoch(seed=seed, epoch=epoch), batch_size=batch_size
        ):
            yield (
                self._normalised(
                    self._views(batch.tolist(), policy=policy, seed=seed, epoch=epoch)
                ),
                self._labels(batch),
            )

    def evaluate(self, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the images in use in their stored order, as clean centre crops."""
        for batch in in_order(self.sampling.rows, batch_size=batch_size):
            yield (
                self._normalised(
                    clean(
                        self.split.images, batch.tolist(), image_size=self.preprocessing.image_size
                    )
                ),
                self._labels(batch),
            )

    def view(self, *, policy: str, seed: int, epoch: int, batch_size: int) -> Iterator[Tensor]:
        """Yield the whole split in its stored order, each image in its view of that epoch: the batches of `train` without their order and labels."""
        for start in range(0, len(self), batch_size):
            batch = range(start, min(start + batch_size, len(self)))
            yield self._normalised(self._views(batch, policy=policy, seed=seed, epoch=epoch))

    def _views(self, batch: Sequence[int], *, policy: str, seed: int, epoch: int) -> Tensor:
        wanted = self.preprocessing
        return views(
            self.split.images,
            batch,
            policy=policy,
            image_size=wanted.image_size,
            interpolation=wanted.interpolation,
            seed=seed,
            epoch=epoch,
            fine=self.split.fine,
        )

    def _normalised(self, images: Tensor) -> Tensor:
        images = images.to(self.compute.device, non_blocking=True)
        if self.compute.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return self.preprocessing.normalised(images)

    def _labels(self, batch: Sequence[int] | NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self.split.labels[np.asarray(batch)]).to(
            self.compute.device, non_blocking=True
        )
