"""The closed list of sources: a name in a grid file -> the function that finds its images."""

from __future__ import annotations

import difflib

from ablate.data.sources import flowers102, folder, rendered_flowers, textile, torchvision_named
from ablate.data.sources._base import Source
from ablate.errors import DataError

SOURCES: dict[str, Source] = {
    "flowers102": flowers102.collect,
    "rendered_flowers": rendered_flowers.collect,
    "textile": textile.collect,
    "folder": folder.collect,
}


def source_of(name: str, *, field: str) -> Source:
    """Return the source called `name`; `field` is where the name stands. Raises DataError with the nearest name."""
    if name.startswith(torchvision_named.PREFIX):
        torchvision_named.check_name(name.removeprefix(torchvision_named.PREFIX))
        return torchvision_named.collect
    if name not in SOURCES:
        words = [*SOURCES, f"{torchvision_named.PREFIX}<Name>"]
        near = difflib.get_close_matches(name, words, n=1, cutoff=0.0)[0]
        raise DataError(f"data.{field} must be one of {', '.join(words)}, got {name!r}; did you mean {near}?")
    return SOURCES[name]
