"""How strangers lay out their images: each layout is a file that reads labels in one way.

`ablate init` looks at any folder with these; what a grid file then names is read by the stricter
`data.sources`.
"""

from __future__ import annotations

import json

from ablate.data.layouts._base import Found, Layout, Trap
from ablate.data.layouts._listing import Listing
from ablate.data.layouts.class_folders import read_class_folders
from ablate.data.layouts.coco import read_coco
from ablate.data.layouts.counted import counted
from ablate.data.layouts.file_words import read_file_words
from ablate.data.layouts.marked import read_marked
from ablate.data.layouts.mask_files import Sorted, sort_masks
from ablate.data.layouts.table import read_table_beside
from ablate.data.layouts.voc import read_voc
from ablate.data.layouts.yolo import read_yolo
from ablate.errors import DataError, escaped

# What is written down goes before what folders are called, and that before what is guessed.
LAYOUTS: tuple[Layout, ...] = (
    read_coco,
    read_voc,
    read_yolo,
    read_table_beside,
    read_class_folders,
    read_marked,
    read_file_words,
)
SHARD_SOURCES = {".parquet": "parquet", ".tar": "webdataset"}
"""How files are called that hold many images -> the source that reads them."""


def recognise(listing: Listing, sorted_images: Sorted) -> Found:
    """Return the labels of a folder's images, as the first layout that fits reads them.

    Raises DataError where no layout fits, or where there are fewer than two classes.
    """
    name = escaped(listing.root.name)
    if not listing.images:
        _check_no_shards(listing, name)
        raise DataError(
            f"FOLDER must hold images, {name} holds none that can be read"
            f"{_instead(listing)}; give the folder that the images lie in."
        )
    for layout in LAYOUTS:
        found = layout(listing, sorted_images)
        if found is not None:
            _check_classes(found, name)
            return found
    raise DataError(
        f"the images of FOLDER must have labels, {len(listing.images)} images of {name} have none: "
        "no class folders, no table that names them, no COCO, VOC or YOLO boxes, no masks; sort "
        "the images into one folder per class, or name them in a CSV (columns file, label)"
        f"{_table_beside(listing)}."
    )


def _check_no_shards(listing: Listing, name: str) -> None:
    """Name the source that reads a folder of tables or archives, which need no grid by init."""
    for suffix, source in SHARD_SOURCES.items():
        shards = listing.others_ending(suffix)
        if shards:
            # A name with a blank or a colon in it would be read as something else.
            path = json.dumps(f"./{listing.root.name}", ensure_ascii=False)
            raise DataError(
                f"FOLDER must hold image files, {name} holds {counted(shards, suffix + ' file')}, "
                f"which source: {source} reads as they are: `ablate advise` on the same folder "
                f"says what to set, and a grid file beside it has data: {{source: {source}, "
                f"path: {path}}}."
            )


def _table_beside(listing: Listing) -> str:
    """Where a table lies beside the folder and not in it, as `train.csv` beside `train`."""
    tables = sorted(listing.root.parent.glob("*.[ct]sv"))
    if not tables:
        return ""
    name = escaped(tables[0].name)
    return f"; {name} lies beside the folder: if it names them, give the folder above"


def _instead(listing: Listing) -> str:
    """What there is in place of images."""
    n_odd = sum(map(len, listing.odd.values()))
    if not listing.others and not n_odd:
        return ", it is empty"
    words = []
    if listing.others:
        words.append(counted(listing.others, "other file"))
    for kind, names in listing.odd.items():
        words.append(f"{kind} ({len(names)})")
    return f" but {', '.join(words)}"


def _check_classes(found: Found, name: str) -> None:
    names = found.class_names
    if len(names) < 2:
        raise DataError(
            f"a study needs images of two classes at least, {name} ({found.layout}; "
            f"{found.evidence}) has {len(names)}: {', '.join(map(escaped, names)) or 'none'}; "
            "add images of another class, or give the folder above."
        )


__all__ = [
    "LAYOUTS",
    "SHARD_SOURCES",
    "Found",
    "Listing",
    "Sorted",
    "Trap",
    "recognise",
    "sort_masks",
]
