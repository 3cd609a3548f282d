"""COCO JSON: `images`, `annotations` and `categories` in one file, perhaps one for each split."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ablate.data.layouts._base import Found
from ablate.data.layouts._boxes import ImageIndex, found_in_boxes
from ablate.data.layouts._listing import Listing
from ablate.data.layouts.mask_files import Sorted
from ablate.data.layouts.tree import split_of_folder

# COCO's own instances_train2017.json has 470 MB.
_MOST_BYTES = 500_000_000
_MOST_FILES = 50
_KEYS = {"images", "annotations", "categories"}


def read_coco(listing: Listing, sorted_images: Sorted) -> Found | None:
    """Read every COCO file of a folder; None where there is none."""
    index = ImageIndex(sorted_images.photos)
    classes_of: dict[str, list[str]] = {}
    split_of: dict[str, str | None] = {}
    n_boxes = 0
    # Some formats have a JSON for each image: of those a few are opened, and no more.
    for name in listing.others_ending(".json")[:_MOST_FILES]:
        content = _coco(listing.path(name))
        if content is None:
            continue
        images = _images(content, index, near=str(PurePosixPath(name).parent))
        for image in images.values():
            # An image that is listed and has no box is an answer: nothing is in it.
            classes_of.setdefault(image, [])
            split_of[image] = _split(name)
        names = _category_names(content)
        for row in _rows(content, "annotations"):
            shown_in = images.get(str(row.get("image_id")))
            category = names.get(str(row.get("category_id")))
            if shown_in is not None and category is not None:
                classes_of[shown_in].append(category)
                n_boxes += 1
    return found_in_boxes("COCO JSON", classes_of, split_of=split_of, n_boxes=n_boxes)


def _coco(path: Path) -> Mapping[str, Any] | None:
    """The content of a file with the keys of COCO; None for any other file."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    # Results of a detector, and many other files, are JSON too.
    if not isinstance(content, dict) or not content.keys() >= _KEYS:
        return None
    return content


def _rows(content: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    rows = content[key]
    if not isinstance(rows, list):
        return []
    return [row for row in rows if isinstance(row, dict)]


def _category_names(content: Mapping[str, Any]) -> dict[str, str]:
    """Id of a category -> its name. Ids as text: some tools write numbers, some strings."""
    names = {}
    for row in _rows(content, "categories"):
        names[str(row.get("id"))] = str(row.get("name"))
    return names


def _images(content: Mapping[str, Any], index: ImageIndex, *, near: str) -> dict[str, str]:
    """Id in the file -> the image that is here."""
    found = {}
    for row in _rows(content, "images"):
        image = index.find(str(row.get("file_name", "")), near=near)
        if image is not None:
            found[str(row.get("id"))] = image
    return found


def _split(name: str) -> str | None:
    """The split that a file's name or folder stands for: `instances_train2017.json`."""
    path = PurePosixPath(name)
    for word in (path.stem, path.parent.name):
        split = split_of_folder(word)
        if split is not None:
            return split
    return None
