"""What flows through the trained part of a network: images through all of it, or kept activations through its suffix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.store import ImageStore
from ablate.model.cut import Cut, Uncut, cut_network
from ablate.model.network import Network
from ablate.spec.recipe import Recipe
from ablate.spec.request import Compute
from ablate.training.activations import ActivationCache, CacheUse, Rows
from ablate.training.batches import ImageFeed, epoch_order, split_batches

PREFIX_BATCH = 64
MAX_ROW_BYTES = 1_500_000
"""Activations larger than this an image are cheaper computed again than read again."""
MAX_VIEW_BYTES = 4_000_000_000
N_CHECKED = 8
"""Real images on which a cut is checked."""


class Feed(Protocol):
    """Batches of one split."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) labels in the order of `evaluate`."""
        ...

    def train(self, *, policy: str, seed: int, epoch: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels of one epoch, in the epoch's order."""
        ...

    def evaluate(self, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels of the split in its stored order, clean."""
        ...


@dataclass(frozen=True)
class Lanes:
    """The splits and what they flow through."""

    train: Feed
    val: Feed
    test: Feed
    forward: Callable[[Tensor], Tensor]
    """Inputs of the feeds -> logits (B, n_classes)."""
    how: str
    """For the record: where the network was cut, or why not."""
    use: CacheUse


def open_lanes(
    network: Network,
    store: ImageStore,
    *,
    recipe: Recipe,
    compute: Compute,
    autocast: Callable[[], AbstractContextManager[None]],
    cache: ActivationCache | None,
) -> Lanes:
    """Cut the network where that pays and return what trains it; without `cache` nothing is cut."""
    feeds = {name: ImageFeed(store.split(name), network.preprocessing, compute) for name in ("train", "val", "test")}
    images = next(iter(feeds["train"].evaluate(batch_size=N_CHECKED)))[0]
    cut = Uncut("not asked for") if cache is None else cut_network(network, images, autocast=autocast)
    whole = Lanes(feeds["train"], feeds["val"], feeds["test"], network.module, f"uncut: {cut.reason}" if isinstance(cut, Uncut) else "", CacheUse())
    if isinstance(cut, Uncut) or cache is None:
        return whole
    with torch.no_grad(), autocast():
        row = cut.prefix(images)
    row_bytes = row[0].numel() * row.element_size()
    shape = "x".join(map(str, row.shape[1:]))
    if row_bytes > MAX_ROW_BYTES or row_bytes * max(len(feed) for feed in feeds.values()) > MAX_VIEW_BYTES:
        return Lanes(whole.train, whole.val, whole.test, whole.forward, f"uncut: {row_bytes} bytes an image at {cut.door} cost more than they save", whole.use)
    identity = _identity(network, store.path, cut=cut, recipe=recipe, compute=compute)
    use = CacheUse()
    lanes = {name: CutFeed(feed, name, cut, identity, cache, use, autocast) for name, feed in feeds.items()}
    how = f"cut at {cut.door}, {shape} {str(row.dtype).removeprefix('torch.')}"
    return Lanes(lanes["train"], lanes["val"], lanes["test"], cut.suffix, how, use)


@dataclass(frozen=True)
class CutFeed:
    """Kept activations of one split, in place of its images."""

    images: ImageFeed
    split: str
    cut: Cut
    identity: dict[str, Any]
    cache: ActivationCache
    use: CacheUse
    autocast: Callable[[], AbstractContextManager[None]]
    _clean: dict[str, Rows] = field(default_factory=dict)
    """The clean view once it was asked for: it is needed every epoch."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """See `Feed`."""
        return self.images.labels

    def train(self, *, policy: str, seed: int, epoch: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Feed`."""
        rows = self._rows(policy, seed=seed, epoch=epoch)
        for batch in split_batches(epoch_order(len(self.labels), seed=seed, epoch=epoch), batch_size=batch_size):
            yield self._batch(rows, batch)

    def evaluate(self, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Feed`."""
        rows = self._rows("none", seed=0, epoch=0)
        for start in range(0, len(self.labels), batch_size):
            yield self._batch(rows, np.arange(start, min(start + batch_size, len(self.labels))))

    def _batch(self, rows: Rows, batch: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        device = self.images.compute.device
        return rows.batch(batch).to(device, non_blocking=True), torch.from_numpy(self.labels[batch]).to(device, non_blocking=True)

    def _rows(self, policy: str, *, seed: int, epoch: int) -> Rows:
        if policy == "none":
            if "rows" not in self._clean:
                self._clean["rows"] = self._opened({"policy": "none"}, policy, seed=seed, epoch=epoch)
            return self._clean["rows"]
        return self._opened({"policy": policy, "seed": seed, "epoch": epoch}, policy, seed=seed, epoch=epoch)

    def _opened(self, view: dict[str, Any], policy: str, *, seed: int, epoch: int) -> Rows:
        return self.cache.rows({**self.identity, "split": self.split, **view}, self._computed(policy, seed=seed, epoch=epoch), self.use)

    def _computed(self, policy: str, *, seed: int, epoch: int) -> Iterator[Tensor]:
        """The prefix over the split in its stored order; the modules of the prefix rest in eval mode whatever the mode of the whole."""
        for images in self.images.view(policy=policy, seed=seed, epoch=epoch, batch_size=PREFIX_BATCH):
            with torch.no_grad(), self.autocast():
                yield self.cut.prefix(images)


def _identity(network: Network, store_path: Path, *, cut: Cut, recipe: Recipe, compute: Compute) -> dict[str, Any]:
    """Everything that determines a row besides the view."""
    return {
        "images": store_path.name,
        "preprocessing": [network.preprocessing.image_size, *network.preprocessing.mean, *network.preprocessing.std],
        "backbone": recipe.backbone,
        "weights": network.weights.digest,
        "door": cut.door,
        "compute": compute.model_dump(mode="json"),
        "versions": [torch.__version__, timm.__version__],
    }
