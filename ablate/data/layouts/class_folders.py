"""One folder a class, perhaps below one folder a split."""

from __future__ import annotations

from dataclasses import replace

from ablate.data.layouts._base import Found, LabelledImage, Trap
from ablate.data.layouts._listing import Listing
from ablate.data.layouts.counted import counted
from ablate.data.layouts.mask_files import Sorted
from ablate.data.layouts.tree import find_levels, label_of, split_of, split_of_folder
from ablate.errors import escaped, some

_N_NAMED = 5


def read_class_folders(_: Listing, sorted_images: Sorted) -> Found | None:
    """Labels by folder; None where the images lie in one folder."""
    photos = sorted_images.photos
    levels = find_levels(photos)
    if levels is None:
        return None
    images = []
    without = []
    names = set()
    for path in photos:
        label = label_of(path, levels)
        if label is None:
            without.append(path)
        else:
            names.add(label)
            images.append(LabelledImage(path, (label,), split_of(path, levels)))
    found = Found(
        layout=_layout_words(has_splits=levels.split is not None, level=levels.label),
        evidence=f"{len(images)} images in folders of {len(names)} names",
        images=tuple(images),
    )
    traps = _traps(found, without)
    if levels.folds is not None:
        traps.append(Trap("folds", "folders are called as folds: their images are put together"))
    return replace(found, traps=tuple(traps), folder_levels=levels.numbers)


def _layout_words(*, has_splits: bool, level: int) -> str:
    if has_splits:
        return "class folders in split folders"
    if level > 0:
        return f"class folders, {level} folders down"
    return "class folders"


def _traps(found: Found, without: list[str]) -> list[Trap]:
    traps = []
    called = list(filter(split_of_folder, found.class_names))
    if called:
        names = some(list(map(escaped, called)), most=_N_NAMED)
        traps.append(
            Trap(
                "class called as a split",
                f"classes are called as splits ({names}), beside others that are not: "
                "taken for classes all the same",
            )
        )
    if without:
        traps.append(
            Trap(
                "images without a label",
                f"{counted(without, 'image')} above the class folders: left out, "
                f"for example {escaped(without[0])}",
            )
        )
    return traps
