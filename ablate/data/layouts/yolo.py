"""YOLO: a text file an image, in a folder `labels` or beside it, with `class x y w h` a line."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import yaml

from ablate.data.layouts._base import Found, Trap
from ablate.data.layouts._boxes import found_in_boxes
from ablate.data.layouts._listing import Listing
from ablate.data.layouts.mask_files import Sorted
from ablate.data.layouts.tree import split_in_path

_MOST_BYTES = 1_000_000
# A class and at least four numbers: a box, or the corners of a polygon.
_LINE = re.compile(r"\s*(\d+)((?:\s+-?[0-9.]+(?:[eE][-+]?\d+)?){4,})\s*")
_NAMES = ("classes.txt", "obj.names", "names.txt")


def read_yolo(listing: Listing, sorted_images: Sorted) -> Found | None:
    """Read the label files of a folder; None where fewer than half of the images have one."""
    texts = set(listing.others_ending(".txt"))
    names, named_by = _class_names(listing)
    classes_of: dict[str, list[str]] = {}
    split_of: dict[str, str | None] = {}
    n_boxes = 0
    n_files = 0
    for image in sorted_images.photos:
        file = _label_file(image, texts)
        # No file, like an empty one, says that nothing is in the image.
        numbers: list[int] | None = []
        if file is not None:
            numbers = _numbers(listing.path(file))
            n_files += numbers is not None
        if numbers is None:
            continue
        n_boxes += len(numbers)
        classes_of[image] = [names.get(number, f"class {number}") for number in numbers]
        split_of[image] = split_in_path(image)
    if 2 * n_files < len(sorted_images.photos):
        return None
    traps = []
    if not names:
        traps.append(Trap("names of classes", "no data.yaml or classes.txt names the classes"))
    layout = "YOLO"
    if named_by:
        layout = f"YOLO ({named_by})"
    return found_in_boxes(layout, classes_of, split_of=split_of, n_boxes=n_boxes, traps=traps)


def _label_file(image: str, texts: set[str]) -> str | None:
    path = PurePosixPath(image).with_suffix(".txt")
    candidates = [path.as_posix()]
    # `images/train/1.jpg` -> `labels/train/1.txt`; the folder may stand at any level
    for level, folder in enumerate(path.parts[:-1]):
        if folder.lower() in ("images", "imgs", "img", "image"):
            swapped = (*path.parts[:level], "labels", *path.parts[level + 1 :])
            candidates.append("/".join(swapped))
    for candidate in candidates:
        if candidate in texts:
            return candidate
    return None


def _numbers(path: Path) -> list[int] | None:
    """The class of each line; None where a line is no box."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return None
    numbers = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is not None:
            numbers.append(int(match[1]))
        elif line.strip():
            return None
    return numbers


def _class_names(listing: Listing) -> tuple[dict[int, str], str | None]:
    """Number -> class name, and the file that says so."""
    for name in listing.others_ending(".yaml", ".yml"):
        names = _names_in_yaml(listing.path(name))
        if names:
            return names, name
    for name in listing.others:
        if PurePosixPath(name).name.lower() in _NAMES:
            lines = _lines(listing.path(name))
            return dict(enumerate(lines)), name
    return {}, None


def _names_in_yaml(path: Path) -> dict[int, str]:
    try:
        with path.open("rb") as file:
            content = yaml.safe_load(file.read(_MOST_BYTES))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    names = content.get("names") if isinstance(content, dict) else None
    # `names: [cat, dog]` and `names: {0: cat, 1: dog}` are both in use.
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        return {}
    found = {}
    for number, name in names.items():
        if str(number).isdecimal():
            found[int(number)] = str(name)
    return found


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return list(filter(None, map(str.strip, text.splitlines())))
