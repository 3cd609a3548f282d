"""Pascal VOC: one XML file an image, with an `object` and its `name` for each box."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from ablate.data.layouts._base import Found
from ablate.data.layouts._boxes import ImageIndex, found_in_boxes
from ablate.data.layouts._listing import Listing
from ablate.data.layouts.mask_files import Sorted
from ablate.data.layouts.tree import split_in_path

_MOST_BYTES = 1_000_000
# By pattern, not by a parser of XML: files of strangers may hold entities that grow without bound.
_OBJECT = re.compile(r"<object>.*?</object>", re.DOTALL)
_NAME = re.compile(r"<name>\s*([^<]*?)\s*</name>")
_LISTS = "ImageSets/Main"


def read_voc(listing: Listing, sorted_images: Sorted) -> Found | None:
    """Read the XML files of a folder; None where none belongs to an image."""
    index = ImageIndex(sorted_images.photos)
    classes_of: dict[str, list[str]] = {}
    split_of: dict[str, str | None] = {}
    n_boxes = 0
    lists = _listed_splits(listing)
    for name in listing.others_ending(".xml"):
        image = index.find(PurePosixPath(name).stem, near=str(PurePosixPath(name).parent))
        text = _text(listing, name)
        if image is None or "<annotation" not in text:
            continue
        classes = _classes(text)
        n_boxes += len(classes)
        classes_of[image] = classes
        split_of[image] = lists.get(PurePosixPath(image).stem) or split_in_path(image)
    return found_in_boxes("Pascal VOC", classes_of, split_of=split_of, n_boxes=n_boxes)


def _text(listing: Listing, name: str) -> str:
    try:
        with listing.path(name).open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _classes(text: str) -> list[str]:
    """The class of each box, in the order of the file."""
    classes = []
    for box in _OBJECT.findall(text):
        # The first: parts of an object have names of their own, behind it.
        name = _NAME.search(box)
        if name is not None and name[1]:
            classes.append(name[1])
    return classes


def _listed_splits(listing: Listing) -> dict[str, str]:
    """Stem of an image -> its split, as the lists in `ImageSets/Main` have it."""
    splits = {}
    for name in listing.others_ending(".txt"):
        path = PurePosixPath(name)
        # `cat_train.txt` lists images of one class, `trainval.txt` those of two splits.
        if not path.parent.as_posix().endswith(_LISTS) or path.stem not in ("train", "val", "test"):
            continue
        for word in _text(listing, name).split():
            splits[word] = path.stem
    return splits
