"""Augmented views that several trials draw: kept as bytes, drawn once.

Measured at 224 pixels, milliseconds of one core an image: writing a view and taking its digest
0.35, opening it again 0.09; drawing it 0.2 to 0.3 for `light`, 0.9 for RandAugment, 1.6 to 3.5 for
the others. So what is more than a crop and a flip is kept, where two trials need it: one that
trains the whole network, and another one, or the pass that computes activations. Bytes are what
they are whoever draws them, so a trial's numbers do not depend on what is kept.

They lie among the activations, under the same bound, and are opened, verified and dropped as those
are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from torch import Tensor

from ablate.data.augment import views
from ablate.data.store import StoredSplit
from ablate.model.backbone_facts import Preprocessing
from ablate.recipe.policy import level_of
from ablate.study.view_identity import CLEAN
from ablate.training.feeds.activations import ActivationCache
from ablate.training.feeds.rows import CacheUse, Rows, View

CHEAP_LEVELS = frozenset({CLEAN, "light"})
"""Of policies that crop and flip at most."""
MAX_VIEW_BYTES = 1_000_000_000
"""A view of a split is in memory while it is drawn."""
SHARE_OF_CACHE = 0.25
"""Of the bound, that all epochs of one policy and seed may take: others must fit beside them, and
those of a first epoch must not be dropped before a second trial comes for them."""
SPLIT_POINT = "images"
"""What stands in the place of a network's split point."""
VERSION = 1
"""Part of the key; grows when the same policy would give other pixels."""
# Images drawn at a time; each view is drawn by itself, so no number depends on it.
_BATCH = 64


@dataclass(frozen=True)
class DrawnViews:
    """The views of train that other trials draw too."""

    cache: ActivationCache
    split: StoredSplit
    images: str
    """Key of the decoded images."""
    preprocessing: Preprocessing
    n_epochs: int
    """Of the trial, over all phases."""
    threads: int
    """Of its slot: the mean of an image that contrast needs rounds by them."""
    use: CacheUse
    """Apart from that of the trial, which counts activations."""

    def rows(self, *, policy: str, seed: int, epoch: int) -> Rows | None:
        """The views of one epoch, (N, 3, S, S) uint8, drawn now where nobody has.

        None where they are not worth keeping, or another trial draws them at this moment and
        nothing is left to draw ahead meanwhile.
        """
        if not self._is_worth_keeping(policy):
            return None
        later = []
        for number in range(epoch + 1, self.n_epochs):
            later.append(self._view(policy, seed, number))
        view = self._view(policy, seed, epoch)
        return self.cache.rows_at_once(view, self.use, meanwhile=later)

    def _is_worth_keeping(self, policy: str) -> bool:
        # bytes of one epoch: three channels, one byte each
        n_bytes = len(self.split.labels) * 3 * self.preprocessing.image_size**2
        room = SHARE_OF_CACHE * self.cache.max_gb * 1e9
        # Worth it where drawing costs more than reading, and all epochs fit at once.
        is_small = n_bytes <= MAX_VIEW_BYTES and n_bytes * self.n_epochs <= room
        return is_small and level_of(policy) not in CHEAP_LEVELS

    def _view(self, policy: str, seed: int, epoch: int) -> View:
        identity: dict[str, Any] = {
            # `ablate cache` lists entries by backbone; pixels are of none
            "backbone": "any",
            "images": self.images,
            "split": "train",
            "policy": policy,
            "seed": seed,
            "epoch": epoch,
            "image_size": self.preprocessing.image_size,
            "interpolation": self.preprocessing.interpolation,
            # whatever else could change a pixel: code, libraries, threads
            "drawing": [VERSION, torch.__version__, torchvision.__version__, self.threads],
        }
        # Crops are cut from the finer images where there are some: other pixels.
        if self.split.fine is not None:
            identity["fine"] = int(self.split.fine.shape[1])

        def from_images() -> Iterator[tuple[Tensor, ...]]:
            draw = drawer(self.split, self.preprocessing, policy=policy, seed=seed, epoch=epoch)
            n_images = len(self.split.labels)
            for start in range(0, n_images, _BATCH):
                yield (draw(range(start, min(start + _BATCH, n_images))),)

        return View(
            identity=identity,
            split_points=(SPLIT_POINT,),
            from_images=from_images,
            from_rows=_never,
            kept=frozenset({0}),
        )


def drawer(
    split: StoredSplit, preprocessing: Preprocessing, *, policy: str, seed: int, epoch: int
) -> Callable[[Sequence[int]], Tensor]:
    """What draws some images of a split as one epoch shows them, (B, 3, S, S) uint8."""

    def draw(positions: Sequence[int]) -> Tensor:
        return views(
            split.images,
            positions,
            policy=policy,
            image_size=preprocessing.image_size,
            interpolation=preprocessing.interpolation,
            seed=seed,
            epoch=epoch,
            fine=split.fine,
        )

    return draw


def _never(rows: Rows, number: int) -> Iterator[Tensor]:
    """Views have one split point: there is no earlier one to go on from."""
    raise AssertionError(rows, number)
