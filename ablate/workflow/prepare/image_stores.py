"""The image stores of a study: one for each backbone, at its resolution."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.data.build_store import build_store
from ablate.data.darkness import brightest_of
from ablate.data.dataset import DataSet
from ablate.data.duplicates import near_duplicates
from ablate.data.store import ImageStore, open_store
from ablate.model.backbone_facts import Preprocessing, RecipeFacts
from ablate.recipe.policy import is_cropped
from ablate.study.record import DataFacts
from ablate.workflow.folders import Folders
from ablate.workflow.prepare.resolved import Resolved

Progress = Callable[[str, int, int], None]
"""Takes (what is done, done, total)."""


def build_stores(
    resolved: Resolved,
    facts: Mapping[str, RecipeFacts],
    folders: Folders,
    *,
    on_progress: Progress,
) -> dict[str, Path]:
    """Return backbone -> the folder of its image store; `facts` by arm_id.

    Images are decoded only where no earlier study has left them. Raises DataError, StoreError.
    """
    # By backbone: image size and interpolation are its own, whatever arm it trains in.
    wanted = {}
    cropped = set()
    for arm in resolved.arms_to_check:
        own = facts[arm.arm_id].preprocessing
        wanted[arm.recipe.backbone] = own.shown(resolved.data.view, resolved.data.crop_share)
        if is_cropped(arm.recipe):
            cropped.add(arm.recipe.backbone)
    stores = {}
    # In order of their names: the messages and the disk see the same in every run.
    for backbone, preprocessing in sorted(wanted.items()):
        store = store_for(
            preprocessing,
            resolved.data_set,
            home=folders.home,
            has_crops=backbone in cropped,
            on_progress=on_progress,
        )
        stores[backbone] = store.path
    return stores


def store_for(
    wanted: Preprocessing,
    data_set: DataSet,
    *,
    home: Path,
    has_crops: bool,
    on_progress: Progress | None = None,
) -> ImageStore:
    """Return the store below `home` of the images as a backbone wants them.

    `has_crops` says whether augmentation cuts crops from its train images. Raises DataError,
    StoreError.
    """
    # Crops are magnified: they are taken from finer images, which take more disk.
    fine = None
    if has_crops:
        fine = wanted.fine_side
    on_image = None
    if on_progress is not None:
        on_image = partial(on_progress, "decoding images")
    return build_store(
        data_set,
        home=home,
        side=wanted.store_side,
        interpolation=wanted.interpolation,
        fine=fine,
        view=wanted.view,
        on_progress=on_image,
    )


def with_pixel_facts(facts: DataFacts, stores: Mapping[str, Path]) -> DataFacts:
    """Add what only decoded images show: near duplicates across splits, and dark data sets."""
    # Every store has the same images; the first by name, so that a study's record stays the same.
    decoded = open_store(stores[min(stores)])
    shown = {
        "near_duplicates": near_duplicates(decoded),
        "brightest": brightest_of(_images(decoded)),
    }
    return facts.model_copy(update=shown)


def _images(store: ImageStore) -> Iterator[NDArray[np.uint8]]:
    for split in store.splits.values():
        yield from split.images
