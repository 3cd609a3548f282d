"""Items of images that have no file of their own: one of many in an archive or a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from PIL import Image

from ablate.data.images import Look, digest_of_image, look_at, read_image
from ablate.data.sources._base import Item
from ablate.targets import Label

Fetch = Callable[[], bytes]
"""Returns an image as it is kept, undecoded. Raises DataError where it cannot be read."""


def archived_item(
    image_id: str,
    fetch: Fetch,
    *,
    label: Label,
    split: str | None,
    cells: Mapping[str, str] | None = None,
) -> Item:
    """Return the item of an image whose bytes `fetch` reads when they are needed.

    `image_id` is also how errors call it. `fetch` is called from several threads.
    """
    return Item(
        image_id,
        label,
        split,
        read=partial(_read, fetch, image_id),
        digest=partial(_digest, fetch, image_id),
        look=partial(_look, fetch, image_id),
        cells=cells or {},
    )


# Three functions and no lambda: items of a large data set are made of partials, which are small.
def _read(fetch: Fetch, name: str) -> Image.Image:
    return read_image(fetch(), name=name)


def _digest(fetch: Fetch, name: str) -> str:
    return digest_of_image(fetch(), name=name)


def _look(fetch: Fetch, name: str) -> Look:
    return look_at(fetch(), name=name)
