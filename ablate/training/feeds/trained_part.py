"""What flows through the trained part of a network.

Images through all of it, or the kept activations of a frozen prefix through the rest.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.store import ImageStore
from ablate.model.cost import is_worth_keeping
from ablate.model.network import Network
from ablate.model.splitting.call_order import Autocast
from ablate.model.splitting.find_split import NotSplit, split_network
from ablate.model.splitting.parts import SplitNetwork
from ablate.recipe.recipe import Recipe
from ablate.study.request import CacheSpec, Compute
from ablate.study.trial import WHOLE
from ablate.study.trial_facts import FoldedNorms, PrefixCut
from ablate.study.view_identity import CLEAN, FrozenTrunk
from ablate.training.feeds.activations import ActivationCache
from ablate.training.feeds.batches import ImageFeed
from ablate.training.feeds.drawn_views import DrawnViews
from ablate.training.feeds.kept_feed import Ahead, KeptFeed, Prefix, Sharing
from ablate.training.feeds.mixing import MixedFeed
from ablate.training.feeds.rows import CacheUse
from ablate.training.feeds.sampling import Sampling, every_image, few_shot_rows

MAX_VIEW_BYTES = 4_000_000_000
"""A view is in memory while it is built."""
N_CHECKED = 8
"""Real images on which a split is checked."""


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

    def beside(self, values: Tensor, *, seed: int, epoch: int, batch_size: int) -> Iterator[Tensor]:
        """Rows of `values` (N, ...), one for each image of the whole split, as `train` has images.

        In the same batches, on the device; float, and mixed where images are mixed.
        """
        ...

    def evaluate(self, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels of the split in its stored order, clean."""
        ...


@dataclass(frozen=True)
class TrainedPart:
    """The splits and what they flow through."""

    train: Feed
    val: Feed
    test: Feed
    forward: Callable[[Tensor], Tensor]
    """Inputs of the feeds -> logits (B, n_classes)."""
    cut: PrefixCut
    """Where the network was split, or why not."""
    use: CacheUse
    compute: Compute
    close: Callable[[], object] = lambda: None
    """Make the network whole again, so that it can be split elsewhere. It is of no use
    afterwards."""
    score: Callable[[Tensor], Tensor] | None = None
    """As `forward`, for evaluation alone, where there is a faster way."""
    folded_norms: FoldedNorms = FoldedNorms()  # noqa: RUF009 (frozen)
    """How `score` differs from `forward`."""

    def evaluate(self, inputs: Tensor) -> Tensor:
        """Inputs of the feeds -> logits (B, n_classes), the network being in eval mode."""
        return (self.score or self.forward)(inputs)


def open_trained_part(
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
) -> TrainedPart:
    """Split the network where that pays and return what trains it; without `sharing` it runs whole.

    `seed` draws the few-shot subset. `use` counts on what earlier phases of the trial used.
    `n_epochs`, counted over all phases, is where this one ends at the latest (the recipe's where
    None).
    """
    use = use or CacheUse()
    n_epochs = n_epochs or recipe.epochs
    feeds = _image_feeds(network, store, recipe=recipe, compute=compute, seed=seed)
    # Before mixing: a mixed feed takes its single images from here.
    if sharing is not None and recipe.shots is None:
        feeds["train"] = _drawn_once(feeds["train"], store, sharing, use, n_epochs=n_epochs)
    # Three ways: mixed images and unshared ones run whole, the rest is split where that pays.
    if recipe.mixup or recipe.cutmix:
        trained_part = _whole(
            network, feeds, use, "train images are mixed, kept activations are of single images"
        )
        mixed = MixedFeed(feeds["train"], recipe.mixup, recipe.cutmix, len(store.class_names))
        trained_part = dataclasses.replace(trained_part, train=mixed)
    elif sharing is None:
        trained_part = _whole(network, feeds, use, "not asked for")
    else:
        trunk = trunk_of(network, store, recipe=recipe, compute=compute)
        whole = _whole_images(network, store, compute)
        longest = max(len(feed) for feed in (*feeds.values(), *whole))
        prefix = _split(
            network, feeds["train"], trunk, longest, autocast=autocast, sharing=sharing, use=use
        )
        # A reason in place of a prefix: the record shows it.
        if isinstance(prefix, str):
            trained_part = _whole(network, feeds, use, prefix)
        else:
            kept = _kept_feeds(prefix, feeds, whole, store, n_epochs=n_epochs)
            trained_part = _on_kept_rows(prefix, kept, compute)
    # The record tells for each phase where it was split, or why not.
    use.cuts.append(trained_part.cut)
    return trained_part


def train_sampling(recipe: Recipe, store: ImageStore, *, seed: int) -> Sampling:
    """The train images of a recipe and a seed, and how they are drawn."""
    train = store.split("train")
    rows = few_shot_rows(train.labels, train.image_ids, shots=recipe.shots, seed=seed)
    return Sampling(rows, train.labels[rows], recipe.sampler)


def sharing_of(spec: CacheSpec) -> Sharing:
    """What a request says of sharing."""
    cache = ActivationCache(spec.folder, spec.max_gb)
    return Sharing(cache, spec.waypoints, spec.n_users, spec.n_drawers)


def trunk_of(
    network: Network, store: ImageStore, *, recipe: Recipe, compute: Compute
) -> FrozenTrunk:
    """Return all that determines the activations of a built network's frozen prefix."""
    preprocessing = network.preprocessing
    return FrozenTrunk(
        backbone=recipe.backbone,
        weights=network.weights.digest,
        pooling=network.pooling,
        compute=compute.model_dump(mode="json"),
        images=store.clean_key,
        preprocessing=(preprocessing.image_size, *preprocessing.mean, *preprocessing.std),
        versions=(torch.__version__, timm.__version__),
    )


def _image_feeds(
    network: Network, store: ImageStore, *, recipe: Recipe, compute: Compute, seed: int
) -> dict[str, ImageFeed]:
    samplings = {"train": train_sampling(recipe, store, seed=seed)}
    # few shots and samplers are of train alone: scores are over every image
    for name in ("val", "test"):
        samplings[name] = every_image(store.split(name).labels)
    feeds = {}
    for name, sampling in samplings.items():
        feeds[name] = ImageFeed(store.split(name), network.preprocessing, compute, sampling)
    return feeds


def _drawn_once(
    feed: ImageFeed, store: ImageStore, sharing: Sharing, use: CacheUse, *, n_epochs: int
) -> ImageFeed:
    """The train feed with views that others draw too kept for them; few-shot trials draw few."""
    # Nobody else comes for the views: keeping them would cost more than it saves.
    if sharing.n_drawers < 2:
        return feed
    # A CacheUse of its own: what is counted there is drawn views, and only the problems are shared.
    drawn = DrawnViews(
        sharing.cache,
        feed.split,
        store.clean_key,
        feed.preprocessing,
        n_epochs,
        feed.compute.threads,
        CacheUse(problems=use.problems),
    )
    return dataclasses.replace(feed, drawn=drawn)


def _whole(
    network: Network, feeds: Mapping[str, ImageFeed], use: CacheUse, why: str
) -> TrainedPart:
    """Images through the whole network."""
    return TrainedPart(
        feeds["train"],
        feeds["val"],
        feeds["test"],
        forward=network.module,
        cut=PrefixCut(why_uncut=why),
        use=use,
        compute=feeds["train"].compute,
    )


def _whole_images(network: Network, store: ImageStore, compute: Compute) -> tuple[ImageFeed, ...]:
    """All images in one feed, where each seed has a split of its own; else nothing."""
    if store.whole is None:
        return ()
    sampling = every_image(store.whole.labels)
    return (ImageFeed(store.whole, network.preprocessing, compute, sampling),)


def _kept_feeds(
    prefix: Prefix,
    feeds: Mapping[str, ImageFeed],
    whole: Sequence[ImageFeed],
    store: ImageStore,
    *,
    n_epochs: int,
) -> dict[str, KeptFeed]:
    """Feeds of the prefix's activations, by split."""
    of_whole = None
    for feed in whole:
        # Named by all images, so that trials with other splits find the same rows.
        trunk = dataclasses.replace(prefix.trunk, images=store.whole_key)
        of_whole = KeptFeed(feed, WHOLE, dataclasses.replace(prefix, trunk=trunk), n_epochs)
    kept = {}
    for name, feed in feeds.items():
        kept[name] = KeptFeed(feed, name, prefix, n_epochs, of_whole)
    return kept


def _on_kept_rows(prefix: Prefix, kept: Mapping[str, KeptFeed], compute: Compute) -> TrainedPart:
    """Kept activations of the prefix through the suffix."""
    # While another process computes train, this one may go ahead with what it needs anyway.
    for name in ("val", "test"):
        prefix.ahead.held_out.append(kept[name].view(CLEAN, seed=0, epoch=0))
    split = prefix.split
    # The deepest split point is this trial's own; those before it are where others split.
    last = len(split.split_points) - 1
    return TrainedPart(
        kept["train"],
        kept["val"],
        kept["test"],
        forward=split.suffix,
        cut=PrefixCut(at=split.split_points[last], row=split.row_text(last)),
        use=prefix.use,
        compute=compute,
        close=split.undo,
    )


def _split(
    network: Network,
    train: ImageFeed,
    trunk: FrozenTrunk,
    longest: int,
    *,
    autocast: Autocast,
    sharing: Sharing,
    use: CacheUse,
) -> Prefix | str:
    """Split the network in place; a reason where that cannot be done, or does not pay.

    `longest` is the number of images of the largest view.
    """
    # Real images, to see what the network does with them: a split is found by watching a pass.
    images = next(train.view(policy=CLEAN, seed=0, epoch=0, batch_size=N_CHECKED))
    split = split_network(
        network,
        images,
        autocast=autocast,
        earlier_depths=sharing.waypoints,
        structure=json.dumps(dataclasses.asdict(trunk), sort_keys=True),
    )
    if isinstance(split, NotSplit):
        return split.reason
    kept = _worth_keeping(split, trunk, train, longest)
    last = len(split.split_points) - 1
    if last not in kept:
        # In place, so it must be taken back before the network runs whole.
        split.undo()
        row = split.row_text(last)
        point = split.split_points[last]
        return f"{row} an image at {point} cost more to keep than to compute"
    return Prefix(split, trunk, autocast, kept, sharing, use, Ahead())


def _worth_keeping(
    split: SplitNetwork, trunk: FrozenTrunk, train: ImageFeed, longest: int
) -> frozenset[int]:
    """Numbers of the split points whose activations are cheaper to keep than to compute."""
    # The largest split decides for all: one trial keeps all its splits at the same points.
    side = train.preprocessing.image_size
    kept = set()
    for number, point in enumerate(split.split_points):
        # Two bounds: a view must fit in memory, and reading it must be faster than computing it.
        is_small = split.row_bytes(number) * longest <= MAX_VIEW_BYTES
        device = train.compute.device
        if is_small and is_worth_keeping(trunk.backbone, side, point, device=device):
            kept.add(number)
    return frozenset(kept)
