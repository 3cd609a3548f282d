"""The image stores of a study: one for each backbone and way of showing images to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.data import build_store
from ablate.data.build_store import WantedImages
from ablate.data.darkness import brightest_of
from ablate.data.dataset import DataSet
from ablate.data.duplicates import near_duplicates
from ablate.data.store import ImageStore, open_store
from ablate.model.backbone_facts import Preprocessing
from ablate.recipe.policy import is_cropped
from ablate.recipe.shown_part import ShownTo
from ablate.study.record import DataFacts
from ablate.workflow.folders import Folders
from ablate.workflow.prepare.check_arms import CheckedArms
from ablate.workflow.prepare.resolved import Resolved

Progress = Callable[[str, int, int], None]
"""Takes (what is done, done, total)."""


def build_stores(
    resolved: Resolved, arms: CheckedArms, folders: Folders, *, on_progress: Progress
) -> dict[ShownTo, Path]:
    """Return the folders of the image stores of all arms.

    Images are decoded only where no earlier study has left them, and once for all stores. Raises
    DataError, StoreError.
    """
    cropped = set()
    for arm in resolved.arms_to_check:
        if is_cropped(arm.recipe):
            cropped.add((arm.recipe.backbone, resolved.data.shown_to(arm.recipe)))
    wanted = {}
    # In order of their names: the messages and the disk see the same in every run.
    for shown_to in sorted(arms.images, key=str):
        wanted[shown_to] = wanted_images(arms.images[shown_to], has_crops=shown_to in cropped)
    stores = build_store.build_stores(
        resolved.data_set,
        list(wanted.values()),
        home=folders.home,
        on_progress=partial(on_progress, "decoding images"),
    )
    return {shown_to: stores[one].path for shown_to, one in wanted.items()}


def wanted_images(preprocessing: Preprocessing, *, has_crops: bool) -> WantedImages:
    """How images are stored for a network.

    `has_crops` says whether augmentation cuts crops from its train images.
    """
    # Crops are magnified: they are taken from finer images, which take more disk.
    fine = None
    if has_crops:
        fine = preprocessing.fine_side
    return WantedImages(
        preprocessing.store_side,
        preprocessing.interpolation,
        fine,
        preprocessing.view,
        preprocessing.tiles,
    )


def store_for(
    preprocessing: Preprocessing,
    data_set: DataSet,
    *,
    home: Path,
    has_crops: bool,
    on_progress: Progress,
) -> ImageStore:
    """Return the store below `home` of the images as one network wants them.

    Raises DataError, StoreError.
    """
    wanted = wanted_images(preprocessing, has_crops=has_crops)
    stores = build_store.build_stores(
        data_set, [wanted], home=home, on_progress=partial(on_progress, "decoding images")
    )
    return stores[wanted]


def with_pixel_facts(facts: DataFacts, stores: Mapping[ShownTo, Path]) -> DataFacts:
    """Add what only decoded images show: near duplicates across splits, and dark data sets."""
    # Every store has the same images; the first by name, so that a study's record stays the same.
    decoded = open_store(stores[min(stores, key=str)])
    shown = {
        "near_duplicates": near_duplicates(decoded),
        "brightest": brightest_of(_images(decoded)),
    }
    return facts.model_copy(update=shown)


def _images(store: ImageStore) -> Iterator[NDArray[np.uint8]]:
    for split in store.splits.values():
        yield from split.images
