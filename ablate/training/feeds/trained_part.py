"""What flows through the trained part of a network: images through all of it, or kept activations through its suffix."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.store import ImageStore
from ablate.model.cost import is_worth_keeping
from ablate.model.splitting.call_order import Autocast
from ablate.model.splitting.find_split import NotSplit, split_network
from ablate.model.splitting.parts import SplitNetwork
from ablate.model.network import Network
from ablate.recipe.recipe import Recipe
from ablate.study.request import CacheSpec, Compute
from ablate.training.feeds.activations import ActivationCache, CacheUse, Rows, View
from ablate.training.feeds.batches import ImageFeed, in_order, split_batches
from ablate.training.feeds.mixing import MixedFeed
from ablate.training.feeds.sampling import Sampling, every_image, few_shot_rows

PREFIX_BATCH = 64
MAX_VIEW_BYTES = 4_000_000_000
"""A view is in memory while it is built."""
N_CHECKED = 8
"""Real images on which a cut is checked."""


class Feed(Protocol):
    """Batches of one split."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) labels in the order of `evaluate`; (N, C) of 0 and 1 where images have several."""
        ...

    def train(
        self, *, policy: str, seed: int, epoch: int, batch_size: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
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
    compute: Compute
    close: Callable[[], None] = lambda: None
    """Make the network whole again, so that it can be cut elsewhere. The lanes are of no use afterwards."""
    score: Callable[[Tensor], Tensor] | None = None
    """As `forward`, for evaluation alone, where there is a faster way."""
    scoring: str = "as trained"
    """For the record: how `score` differs from `forward`."""

    def evaluate(self, inputs: Tensor) -> Tensor:
        """Inputs of the feeds -> logits (B, n_classes), the network being in eval mode."""
        return (self.score or self.forward)(inputs)


def open_lanes(
    network: Network,
    store: ImageStore,
    *,
    recipe: Recipe,
    compute: Compute,
    autocast: Autocast,
    sharing: Sharing | None,
    seed: int,
    use: CacheUse | None = None,
    n_epochs: int | None = None,
) -> Lanes:
    """Cut the network where that pays and return what trains it; without `sharing` nothing is cut.

    `seed` draws the few-shot subset. `use` counts on what earlier lanes of the trial used. `n_epochs`, counted over all phases, is where these lanes end at
    the latest (the recipe's where None).
    """
    use = use or CacheUse()
    samplings = {
        "train": train_sampling(recipe, store, seed=seed),
        **{name: every_image(store.split(name).labels) for name in ("val", "test")},
    }
    feeds = {
        name: ImageFeed(store.split(name), network.preprocessing, compute, sampling)
        for name, sampling in samplings.items()
    }
    if recipe.mixup or recipe.cutmix:
        whole = _whole(
            network, feeds, use, "train images are mixed, kept activations are of single images"
        )
        return dataclasses.replace(
            whole,
            train=MixedFeed(feeds["train"], recipe.mixup, recipe.cutmix, len(store.class_names)),
        )
    if sharing is None:
        return _whole(network, feeds, use, "not asked for")
    identity = _identity(network, store, recipe=recipe, compute=compute)
    images = next(feeds["train"].view(policy="none", seed=0, epoch=0, batch_size=N_CHECKED))
    cut = split_network(
        network,
        images,
        autocast=autocast,
        earlier_depths=sharing.waypoints,
        structure=json.dumps(identity, sort_keys=True),
    )
    if isinstance(cut, NotSplit):
        return _whole(network, feeds, use, cut.reason)
    last = len(cut.split_points) - 1
    longest = max(len(feed) for feed in feeds.values())
    side = network.preprocessing.image_size
    kept = frozenset(
        number
        for number, door in enumerate(cut.split_points)
        if is_worth_keeping(recipe.backbone, side, door, device=compute.device)
        and cut.row_bytes(number) * longest <= MAX_VIEW_BYTES
    )
    if last not in kept:
        cut.undo()
        return _whole(
            network,
            feeds,
            use,
            f"{cut.row_text(last)} an image at {cut.split_points[last]} cost more to keep than to compute",
        )
    wanted: list[View] = []
    lanes = {
        name: CutFeed(
            feed,
            name,
            cut,
            identity,
            sharing,
            use,
            autocast,
            kept,
            n_epochs or recipe.epochs,
            wanted,
        )
        for name, feed in feeds.items()
    }
    wanted += [lanes[name].view("none", seed=0, epoch=0) for name in ("val", "test")]
    return Lanes(
        lanes["train"],
        lanes["val"],
        lanes["test"],
        cut.suffix,
        f"cut at {cut.split_points[last]}, {cut.row_text(last)}",
        use,
        compute,
        cut.undo,
    )


def train_sampling(recipe: Recipe, store: ImageStore, *, seed: int) -> Sampling:
    """The train images of a recipe and a seed, and how they are drawn."""
    train = store.split("train")
    rows = few_shot_rows(train.labels, train.image_ids, shots=recipe.shots, seed=seed)
    return Sampling(rows, train.labels[rows], recipe.sampler)


def _whole(network: Network, feeds: Mapping[str, ImageFeed], use: CacheUse, why: str) -> Lanes:
    return Lanes(
        feeds["train"],
        feeds["val"],
        feeds["test"],
        network.module,
        f"uncut: {why}",
        use,
        feeds["train"].compute,
    )


@dataclass(frozen=True)
class Sharing:
    """What a trial shares with others."""

    cache: ActivationCache
    waypoints: tuple[int, ...]
    """Freeze depths at which other trials cut."""
    n_users: int
    """Trials that need the same views of train."""


def sharing_of(spec: CacheSpec) -> Sharing:
    """What a request says of sharing."""
    return Sharing(ActivationCache(spec.folder, spec.max_gb), spec.waypoints, spec.n_users)


@dataclass(frozen=True)
class CutFeed:
    """Kept activations of one split, in place of its images."""

    images: ImageFeed
    split: str
    cut: SplitNetwork
    identity: dict[str, Any]
    sharing: Sharing
    use: CacheUse
    autocast: Autocast
    kept: frozenset[int]
    n_epochs: int
    wanted: list[View]
    """Views that the trial will need besides the one that it asks for; the feeds of a trial share the list."""
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
        if policy != "none" and epoch + 1 < self.n_epochs:
            self.wanted[:] = [
                *self.wanted[:2],
                *(
                    self.view(policy, seed=seed, epoch=later)
                    for later in range(epoch + 1, self.n_epochs)
                ),
            ]
        rows = (
            self._clean_rows() if policy == "none" else self._rows(policy, seed=seed, epoch=epoch)
        )
        for batch in split_batches(
            self.images.sampling.epoch(seed=seed, epoch=epoch), batch_size=batch_size
        ):
            yield self._batch(rows, batch)

    def evaluate(self, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Feed`."""
        rows = self._clean_rows()
        for batch in in_order(self.images.sampling.rows, batch_size=batch_size):
            yield self._batch(rows, batch)

    def _batch(self, rows: Rows, batch: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        device = self.images.compute.device
        return rows.batch(batch).to(device, non_blocking=True), torch.from_numpy(
            self.images.split.labels[batch]
        ).to(device, non_blocking=True)

    def _clean_rows(self) -> Rows:
        if not self._clean:
            self._clean.append(self._rows("none", seed=0, epoch=0))
        return self._clean[0]

    def _rows(self, policy: str, *, seed: int, epoch: int) -> Rows:
        return self.sharing.cache.rows(
            self.view(policy, seed=seed, epoch=epoch), self.use, meanwhile=self.wanted
        )

    def view(self, policy: str, *, seed: int, epoch: int) -> View:
        """What the cache is asked for: the split in its view of an epoch, at the doors of the cut."""
        fine = self.images.split.fine
        sharpness = {} if fine is None else {"fine": int(fine.shape[1])}
        named = (
            {"policy": "none"}
            if policy == "none"
            else {"policy": policy, "seed": seed, "epoch": epoch, **sharpness}
        )
        return View(
            identity={**self.identity, "split": self.split, **named},
            doors=self.cut.split_points,
            from_images=lambda: self._from_images(policy, seed=seed, epoch=epoch),
            from_rows=self._from_rows,
            kept=self.kept if policy == "none" or self.sharing.n_users > 1 else frozenset(),
        )

    def _from_images(self, policy: str, *, seed: int, epoch: int) -> Iterator[tuple[Tensor, ...]]:
        """The prefix over the split in its stored order; the modules of the prefix rest in eval mode whatever the mode of the whole."""
        for images in self.images.view(
            policy=policy, seed=seed, epoch=epoch, batch_size=PREFIX_BATCH
        ):
            with torch.no_grad(), self.autocast():
                yield self.cut.prefix(images)

    def _from_rows(self, rows: Rows, door: int) -> Iterator[Tensor]:
        for positions in in_order(np.arange(len(self.images)), batch_size=PREFIX_BATCH):
            batch, _ = self._batch(rows, positions)
            with torch.no_grad(), self.autocast():
                yield self.cut.advance(batch, start=door)


def _identity(
    network: Network, store: ImageStore, *, recipe: Recipe, compute: Compute
) -> dict[str, Any]:
    """Everything that determines a row besides the view and the door."""
    return {
        "images": store.clean_key,
        "preprocessing": [
            network.preprocessing.image_size,
            *network.preprocessing.mean,
            *network.preprocessing.std,
        ],
        "backbone": recipe.backbone,
        "weights": network.weights.digest,
        "pooling": network.pooling,
        "compute": compute.model_dump(mode="json"),
        "versions": [torch.__version__, timm.__version__],
    }
