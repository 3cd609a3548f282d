"""The closed list of sources: a name in a grid file -> the function that finds its images."""

from __future__ import annotations

import difflib

from ablate.data.sources import (
    flowers102,
    folder,
    labelled_folder,
    rendered_bouquets,
    rendered_flowers,
    textile,
    torchvision_named,
)
from ablate.data.sources._base import Source
from ablate.errors import DataError
from ablate.study.trial import TaskName

SOURCES: dict[str, Source] = {
    "flowers102": flowers102.collect,
    "rendered_flowers": rendered_flowers.collect,
    "textile": textile.collect,
    "folder": folder.collect,
}


MULTILABEL_SOURCES: dict[str, Source] = {
    "folder": labelled_folder.collect,
    "rendered_bouquets": rendered_bouquets.collect,
}
"""Of images with several labels; what a source finds depends on the task."""


def source_of(name: str, *, field: str, task: TaskName) -> Source:
    """Return the source called `name` of a task; `field` is where the name stands. Raises DataError with the nearest name."""
    if task == "multilabel":
        if name not in MULTILABEL_SOURCES:
            raise DataError(
                f"data.{field} must be one of {', '.join(MULTILABEL_SOURCES)} for task multilabel, got {name!r}."
            )
        return MULTILABEL_SOURCES[name]
    if name in MULTILABEL_SOURCES and name not in SOURCES:
        raise DataError(
            f"data.{field} must have one label an image for task classification, got {name!r}; say task: multilabel."
        )
    if name.startswith(torchvision_named.PREFIX):
        torchvision_named.check_name(name.removeprefix(torchvision_named.PREFIX))
        return torchvision_named.collect
    if name not in SOURCES:
        words = [*SOURCES, f"{torchvision_named.PREFIX}<Name>"]
        near = difflib.get_close_matches(name, words, n=1, cutoff=0.0)[0]
        raise DataError(
            f"data.{field} must be one of {', '.join(words)}, got {name!r}; did you mean {near}?"
        )
    return SOURCES[name]
