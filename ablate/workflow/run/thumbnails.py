"""Small versions of a study's images, from its image store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablate.data.store import ImageStore, StoredSplit, open_store
from ablate.in_order import places
from ablate.study.trial import WHOLE
from ablate.workflow.prepare.prepared import Prepared

SIDE = 96


def take_thumbnails(
    prepared: Prepared, wanted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], NDArray[np.uint8]]:
    """(split, image_id) -> (SIDE, SIDE, 3) uint8 of the images that the store holds."""
    # Several stores show the same images at different resolutions: any will do.
    store = open_store(prepared.stores[min(prepared.stores, key=str)])
    rows = {}
    # The keys of the pairs: every split that is wanted, once.
    for split in dict(wanted):
        rows[split] = places(_images_of(store, split).image_ids)
    thumbnails = {}
    for split, image_id in wanted:
        if image_id in rows[split]:
            image = _images_of(store, split).images[rows[split][image_id]]
            thumbnails[split, image_id] = _small(image)
    return thumbnails


def _images_of(store: ImageStore, split: str) -> StoredSplit:
    """A split; all images where each seed has a split of its own, and test is another for each."""
    if WHOLE in store.splits:
        return store.split(WHOLE)
    return store.split(split)


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS))
