"""A flat folder whose file names begin with the class: `cat.17.jpg`, `dog_2.jpg`."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath

from ablate.data.layouts._base import Found, LabelledImage, Trap
from ablate.data.layouts._listing import Listing
from ablate.data.layouts.mask_files import Sorted
from ablate.errors import escaped, some

_WORD = re.compile(r"([^\W\d_]+(?:[ _-][^\W\d_]+)*)[ ._-]*\(?\d+\)?")
_FEWEST = 5
_MOST_CLASSES = 200


def read_file_words(_: Listing, sorted_images: Sorted) -> Found | None:
    """Labels by the first word of file names; None unless a few words cover all of them."""
    images = []
    counts: Counter[str] = Counter()
    for photo in sorted_images.photos:
        match = _WORD.fullmatch(PurePosixPath(photo).stem)
        if match is None:
            return None
        images.append(LabelledImage(photo, (match[1],)))
        counts[match[1]] += 1
    if not 2 <= len(counts) <= _MOST_CLASSES or min(counts.values()) < _FEWEST:
        return None
    words = [f"{escaped(name)} {n}" for name, n in sorted(counts.items())]
    text = (
        "no folder and no table names classes: the first word of each file's name is taken for "
        f"its class ({some(words, most=_FEWEST)})"
    )
    return Found(
        layout="class words in file names",
        evidence=f"{len(counts)} words in {len(images)} names",
        images=tuple(images),
        traps=(Trap("labels from file names", text),),
    )
