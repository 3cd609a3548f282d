"""What flows through the trained part of a network: images through all of it, or kept activations through its suffix."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.store import ImageStore
from ablate.model.cut import Autocast, Cut, Uncut, cut_network
from ablate.model.network import Network
from ablate.spec.recipe import Recipe
from ablate.spec.request import Compute
from ablate.training.activations import ActivationCache, CacheUse, Rows, View
from ablate.training.batches import ImageFeed, in_order, split_batches
from ablate.training.mixing import MixedFeed
from ablate.training.sampling import Sampling, every_image, few_shot_rows

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


def open_lanes(network: Network, store: ImageStore, *, recipe: Recipe, compute: Compute, autocast: Autocast, sharing: Sharing | None, seed: int) -> Lanes:
    """Cut the network where that pays and return what trains it; without `sharing` nothing is cut. `seed` draws the few-shot subset."""
    feeds = {name: ImageFeed(store.split(name), network.preprocessing, compute, every_image(store.split(name).labels)) for name in ("val", "test")}
    train = store.split("train")
    rows = few_shot_rows(train.labels, train.image_ids, shots=recipe.shots, seed=seed)
    feeds["train"] = ImageFeed(train, network.preprocessing, compute, Sampling(rows, train.labels[rows], recipe.sampler))
    if recipe.mixup or recipe.cutmix:
        mixing = MixedFeed(feeds["train"], recipe.mixup, recipe.cutmix, len(store.class_names))
        why = "train images are mixed, kept activations are of single images"
        return Lanes(mixing, feeds["val"], feeds["test"], network.module, f"uncut: {why}", CacheUse())
    if sharing is None:
        return _whole(network, feeds, "not asked for")
    identity = _identity(network, store.path, recipe=recipe, compute=compute)
    images = next(feeds["train"].view(policy="none", seed=0, epoch=0, batch_size=N_CHECKED))
    cut = cut_network(network, images, autocast=autocast, waypoints=sharing.waypoints, structure=json.dumps(identity, sort_keys=True))
    if isinstance(cut, Uncut):
        return _whole(network, feeds, cut.reason)
    last = len(cut.doors) - 1
    longest = max(len(feed) for feed in feeds.values())
    kept = frozenset(door for door in range(last + 1) if cut.row_bytes(door) <= MAX_ROW_BYTES and cut.row_bytes(door) * longest <= MAX_VIEW_BYTES)
    if last not in kept:
        return _whole(network, feeds, f"{cut.row_text(last)} an image at {cut.doors[last]} cost more to keep than to compute")
    use = CacheUse()
    lanes = {name: CutFeed(feed, name, cut, identity, sharing.cache, use, autocast, kept) for name, feed in feeds.items()}
    return Lanes(lanes["train"], lanes["val"], lanes["test"], cut.suffix, f"cut at {cut.doors[last]}, {cut.row_text(last)}", use)


def _whole(network: Network, feeds: Mapping[str, ImageFeed], why: str) -> Lanes:
    return Lanes(feeds["train"], feeds["val"], feeds["test"], network.module, f"uncut: {why}", CacheUse())


@dataclass(frozen=True)
class Sharing:
    """What a trial shares with others."""

    cache: ActivationCache
    waypoints: tuple[int, ...]
    """Freeze depths at which other trials cut."""


@dataclass(frozen=True)
class CutFeed:
    """Kept activations of one split, in place of its images."""

    images: ImageFeed
    split: str
    cut: Cut
    identity: dict[str, Any]
    cache: ActivationCache
    use: CacheUse
    autocast: Autocast
    kept: frozenset[int]
    _clean: list[Rows] = field(default_factory=list)
    """The clean view once it was asked for: it is needed every epoch."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """See `Feed`."""
        return self.images.labels

    def train(self, *, policy: str, seed: int, epoch: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Feed`."""
        rows = self._clean_rows() if policy == "none" else self._rows(policy, seed=seed, epoch=epoch)
        for batch in split_batches(self.images.sampling.epoch(seed=seed, epoch=epoch), batch_size=batch_size):
            yield self._batch(rows, batch)

    def evaluate(self, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Feed`."""
        rows = self._clean_rows()
        for batch in in_order(self.images.sampling.rows, batch_size=batch_size):
            yield self._batch(rows, batch)

    def _batch(self, rows: Rows, batch: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        device = self.images.compute.device
        return rows.batch(batch).to(device, non_blocking=True), torch.from_numpy(self.images.split.labels[batch]).to(device, non_blocking=True)

    def _clean_rows(self) -> Rows:
        if not self._clean:
            self._clean.append(self._rows("none", seed=0, epoch=0))
        return self._clean[0]

    def _rows(self, policy: str, *, seed: int, epoch: int) -> Rows:
        named = {"policy": "none"} if policy == "none" else {"policy": policy, "seed": seed, "epoch": epoch}
        view = View(
            identity={**self.identity, "split": self.split, **named},
            doors=self.cut.doors,
            from_images=lambda: self._from_images(policy, seed=seed, epoch=epoch),
            from_rows=self._from_rows,
            kept=self.kept,
        )
        return self.cache.rows(view, self.use)

    def _from_images(self, policy: str, *, seed: int, epoch: int) -> Iterator[tuple[Tensor, ...]]:
        """The prefix over the split in its stored order; the modules of the prefix rest in eval mode whatever the mode of the whole."""
        for images in self.images.view(policy=policy, seed=seed, epoch=epoch, batch_size=PREFIX_BATCH):
            with torch.no_grad(), self.autocast():
                yield self.cut.prefix(images)

    def _from_rows(self, rows: Rows, door: int) -> Iterator[Tensor]:
        for positions in in_order(np.arange(len(self.images)), batch_size=PREFIX_BATCH):
            batch, _ = self._batch(rows, positions)
            with torch.no_grad(), self.autocast():
                yield self.cut.advance(batch, door=door)


def _identity(network: Network, store_path: Path, *, recipe: Recipe, compute: Compute) -> dict[str, Any]:
    """Everything that determines a row besides the view and the door."""
    return {
        "images": store_path.name,
        "preprocessing": [network.preprocessing.image_size, *network.preprocessing.mean, *network.preprocessing.std],
        "backbone": recipe.backbone,
        "weights": network.weights.digest,
        "compute": compute.model_dump(mode="json"),
        "versions": [torch.__version__, timm.__version__],
    }
