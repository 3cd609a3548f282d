"""Sources: a name in a grid file -> the function that finds its images.

What a source finds depends on what the task labels images with, so each kind of targets has a
list of its own. Other packages bring more, see `_plugins`; what they need to write one is here:
`Collection`, `Item`, `NotAvailable`, `Source`, and `file_item` and `archived_item` to make items.
"""

from __future__ import annotations

import difflib

from ablate.data.sources import (
    flowers102,
    image_folder,
    labelled_folder,
    parquet,
    rendered_bouquets,
    rendered_flowers,
    textile,
    torchvision_named,
    webdataset,
)
from ablate.data.sources._archived import archived_item
from ablate.data.sources._base import Collection, Item, NotAvailable, Source
from ablate.data.sources._files import file_item
from ablate.data.sources._plugins import plugin_names, plugin_of
from ablate.errors import DataError
from ablate.study.tasks import TASKS, TaskSpec, task_of

__all__ = [
    "SOURCES_OF",
    "Collection",
    "Item",
    "NotAvailable",
    "Source",
    "archived_item",
    "file_item",
    "reads_path",
    "source_of",
]

SOURCES_OF: dict[str, dict[str, Source]] = {
    "one_label": {
        "flowers102": flowers102.collect,
        "rendered_flowers": rendered_flowers.collect,
        "textile": textile.collect,
        "folder": image_folder.collect,
        "parquet": parquet.collect,
        "webdataset": webdataset.collect,
    },
    "several_labels": {
        "folder": labelled_folder.collect,
        "parquet": parquet.collect_several_labels,
        "webdataset": webdataset.collect_several_labels,
        "rendered_bouquets": rendered_bouquets.collect,
    },
}
"""`TaskSpec.targets` -> name -> source. torchvision's own data sets have one label per image."""


def source_of(name: str, *, field: str, task: str) -> Source:
    """Return the source called `name` of a task; `field` is where the name stands.

    Raises DataError with the nearest name, with the task that has such a source, or where the
    package that brings it cannot be imported.
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
    # Behind the built-in ones: a package cannot change what a name of ablate means.
    plugin = plugin_of(name, targets=spec.targets)
    if plugin is not None:
        return plugin
    words = [*sources, *plugin_names()]
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


_WITHOUT_PATH = {"flowers102", "rendered_flowers", "rendered_bouquets", "textile"}


def reads_path(name: str) -> bool:
    """Whether a source reads `data.path`: all do but those that are one data set by their name."""
    return name not in _WITHOUT_PATH and not name.startswith(torchvision_named.PREFIX)
