"""The closed list of sources: a name in a grid file -> the function that finds its images.

What a source finds depends on what the task labels images with, so each kind of targets has a
list of its own.
"""

from __future__ import annotations

import difflib

from ablate.data.sources import (
    flowers102,
    image_folder,
    labelled_folder,
    rendered_bouquets,
    rendered_flowers,
    textile,
    torchvision_named,
)
from ablate.data.sources._base import Source
from ablate.errors import DataError
from ablate.study.tasks import TASKS, TaskSpec, task_of

SOURCES_OF: dict[str, dict[str, Source]] = {
    "one_label": {
        "flowers102": flowers102.collect,
        "rendered_flowers": rendered_flowers.collect,
        "textile": textile.collect,
        "folder": image_folder.collect,
    },
    "several_labels": {
        "folder": labelled_folder.collect,
        "rendered_bouquets": rendered_bouquets.collect,
    },
}
"""`TaskSpec.targets` -> name -> source. torchvision's own data sets have one label per image."""


def source_of(name: str, *, field: str, task: str) -> Source:
    """Return the source called `name` of a task; `field` is where the name stands.

    Raises DataError with the nearest name, or with the task that has such a source.
    """
    spec = task_of(task)
    sources = SOURCES_OF[spec.targets]
    if name in sources:
        return sources[name]
    takes_torchvision = spec.targets == "one_label"
    # A word with a name behind it stands for a family, and in no table.
    if name.startswith(torchvision_named.PREFIX) and takes_torchvision:
        torchvision_named.check_name(name.removeprefix(torchvision_named.PREFIX))
        return torchvision_named.collect
    words = list(sources)
    if takes_torchvision:
        words.append(f"{torchvision_named.PREFIX}<Name>")
    raise DataError(
        f"data.{field} must be one of {', '.join(words)} for task {task}, got {name!r}"
        f"{_way_out(name, spec, words)}"
    )


def _way_out(name: str, spec: TaskSpec, words: list[str]) -> str:
    """Another task, where one has that source; else the nearest name."""
    # The right source with the wrong task is likelier than a typing error.
    for other in TASKS.values():
        if other.targets != spec.targets and name in SOURCES_OF[other.targets]:
            return f"; it is a source for task: {other.name}."
    # cutoff 0: some way out is always named, however far off the name is
    near = difflib.get_close_matches(name, words, n=1, cutoff=0.0)
    return f"; did you mean {near[0]}?" if near else "."
