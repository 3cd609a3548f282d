"""Batches of kept activations, in place of the images that they were made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.model.splitting.call_order import Autocast
from ablate.model.splitting.parts import SplitNetwork
from ablate.study.view_identity import CLEAN, FrozenTrunk, Showing, view_identity
from ablate.training.feeds.activations import ActivationCache
from ablate.training.feeds.batches import ImageFeed, in_order, split_batches
from ablate.training.feeds.rows import CacheUse, Rows, View

PREFIX_BATCH = 64
"""Images in the prefix at a time. A fixed number: other sizes of batches round otherwise, and rows
must not depend on who computed them."""


@dataclass(frozen=True)
class Sharing:
    """What a trial shares with others."""

    cache: ActivationCache
    waypoints: tuple[int, ...]
    """Freeze depths at which other trials split their networks."""
    n_users: int
    """Trials that need the same views of train."""
    n_drawers: int = 1
    """Trials and passes of a prefix that draw the same images of train."""


@dataclass
class Ahead:
    """Views that a trial will need later: it may build them while it waits for another trial."""

    held_out: list[View] = field(default_factory=list)
    """Of val and test."""
    of_train: list[View] = field(default_factory=list)
    """Of the epochs to come."""

    @property
    def views(self) -> list[View]:
        """All of them, those that are needed first in front."""
        return [*self.held_out, *self.of_train]


@dataclass(frozen=True)
class Prefix:
    """The frozen part of a split network, and where its activations are kept."""

    split: SplitNetwork
    trunk: FrozenTrunk
    autocast: Autocast
    kept: frozenset[int]
    """Numbers of the split points whose activations are worth keeping."""
    sharing: Sharing
    use: CacheUse
    ahead: Ahead
    """Shared by the feeds of a trial."""


@dataclass(frozen=True)
class KeptFeed:
    """Kept activations of one split. Satisfies `trained_part.Feed`."""

    images: ImageFeed
    split_name: str
    prefix: Prefix
    n_epochs: int
    """Epochs, over all phases, after which this feed is of no use."""
    whole: KeptFeed | None = None
    """That of all images, where each seed has a split of its own: clean activations of an image are
    the same in every split, and are computed once."""
    _clean: list[Rows] = field(default_factory=list)
    """The clean view once it was asked for: it is needed every epoch."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """See `Feed`."""
        return self.images.labels

    def train(
        self, *, policy: str, seed: int, epoch: int, batch_size: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Feed`."""
        if policy == CLEAN:
            rows = self._clean_rows()
        else:
            # What this process may build while another one builds the view of this epoch.
            ahead = self.prefix.ahead
            ahead.of_train = []
            for later in range(epoch + 1, self.n_epochs):
                ahead.of_train.append(self.view(policy, seed=seed, epoch=later))
            rows = self._rows(policy, seed=seed, epoch=epoch)
        # Rows lie in the stored order; an epoch takes them in the order that it would take images.
        order = self.images.sampling.epoch(seed=seed, epoch=epoch)
        for batch in split_batches(order, batch_size=batch_size):
            yield self._batch(rows, batch)

    def beside(self, values: Tensor, *, seed: int, epoch: int, batch_size: int) -> Iterator[Tensor]:
        """See `Feed`."""
        return self.images.beside(values, seed=seed, epoch=epoch, batch_size=batch_size)

    def evaluate(self, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Feed`."""
        rows = self._clean_rows()
        for batch in in_order(self.images.sampling.rows, batch_size=batch_size):
            yield self._batch(rows, batch)

    def _batch(self, rows: Rows, batch: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        # Rows lie on disk or in memory: batch by batch to the device, as images would be.
        device = self.images.compute.device
        labels = torch.from_numpy(self.images.split.labels[batch])
        return (
            rows.batch(batch).to(device, non_blocking=True),
            labels.to(device, non_blocking=True),
        )

    def _clean_rows(self) -> Rows:
        if self.whole is not None:
            places = self.images.split.rows
            assert places is not None
            return self.whole._clean_rows().picked(places)
        if not self._clean:
            # seed and epoch are no part of a clean view: 0 for both names one view for all
            self._clean.append(self._rows(CLEAN, seed=0, epoch=0))
        return self._clean[0]

    def _rows(self, policy: str, *, seed: int, epoch: int) -> Rows:
        view = self.view(policy, seed=seed, epoch=epoch)
        return self.prefix.sharing.cache.rows(
            view, self.prefix.use, meanwhile=self.prefix.ahead.views
        )

    def view(self, policy: str, *, seed: int, epoch: int) -> View:
        """What the cache is asked for: the split as an epoch shows it, at the split points."""
        if policy == CLEAN and self.whole is not None:
            return self.whole.view(policy, seed=seed, epoch=epoch)
        # Crops of a finer train split are other pixels under the same policy.
        fine_size = None
        if self.images.split.fine is not None:
            fine_size = int(self.images.split.fine.shape[1])
        showing = Showing(self.split_name, policy=policy, seed=seed, epoch=epoch, fine=fine_size)
        kept: frozenset[int] = frozenset()
        # An augmented view that nobody else needs is read once: writing it would cost more.
        if policy == CLEAN or self.prefix.sharing.n_users > 1:
            kept = self.prefix.kept
        return View(
            identity=view_identity(self.prefix.trunk, showing),
            split_points=self.prefix.split.split_points,
            from_images=self._pass_of(policy, seed=seed, epoch=epoch),
            from_rows=self._from_rows,
            kept=kept,
        )

    def _pass_of(
        self, policy: str, *, seed: int, epoch: int
    ) -> Callable[[], Iterator[tuple[Tensor, ...]]]:
        """The prefix over the split in its stored order.

        Its modules rest in eval mode, whatever the mode of the whole network.
        """

        def from_images() -> Iterator[tuple[Tensor, ...]]:
            batches = self.images.view(
                policy=policy, seed=seed, epoch=epoch, batch_size=PREFIX_BATCH
            )
            for images in batches:
                # In the precision that the trial trains in: it is a part of the key.
                with torch.no_grad(), self.prefix.autocast():
                    yield self.prefix.split.prefix(images)

        return from_images

    def _from_rows(self, rows: Rows, number: int) -> Iterator[Tensor]:
        """Rows of an earlier split point, `number` -> batches at the last one."""
        # All images of the split, not those of a few-shot subset: others share these rows.
        every_image = np.arange(len(self.images))
        for positions in in_order(every_image, batch_size=PREFIX_BATCH):
            batch, _ = self._batch(rows, positions)
            with torch.no_grad(), self.prefix.autocast():
                yield self.prefix.split.advance(batch, start=number)
