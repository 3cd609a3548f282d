"""Small versions of a study's images, from its image store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablate.data.store import open_store
from ablate.workflow.prepare.prepared import Prepared

SIDE = 96


def take_thumbnails(
    prepared: Prepared, wanted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], NDArray[np.uint8]]:
    """(split, image_id) -> (SIDE, SIDE, 3) uint8 of the images that the store holds."""
    store = open_store(prepared.stores[min(prepared.stores)])
    places = {
        split: {image_id: i for i, image_id in enumerate(store.split(split).image_ids)}
        for split in dict(wanted)
    }
    return {
        (split, image_id): np.asarray(
            Image.fromarray(store.split(split).images[places[split][image_id]]).resize(
                (SIDE, SIDE), Image.Resampling.LANCZOS
            )
        )
        for split, image_id in wanted
        if image_id in places[split]
    }
