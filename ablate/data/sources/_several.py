"""Several folders as one data set: `data.paths`. Classes of the same name come together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ablate.data.sources._base import Collection, Item, Source
from ablate.data.sources._class_names import check_class_names, in_label_order, positions_of
from ablate.data.sources._places import below, portable
from ablate.errors import DataError, escaped, some
from ablate.in_order import places
from ablate.study.trial import DataSpec

_N_NAMED = 5


def collect_places(collect: Source, spec: DataSpec, *, data_dir: Path) -> Collection:
    """Return what a source finds at `data.path`, or at each of `data.paths`, as one collection.

    Ids of images in several places begin with their place. Raises what the source raises, and
    DataError where two places lie in each other, where some have splits and others none, or where
    classes differ in spelling alone.
    """
    if spec.paths is None:
        return collect(spec, data_dir=data_dir)
    found: dict[str, Collection] = {}
    for path in _apart(spec.paths, data_dir):
        one = spec.model_copy(update={"path": path, "paths": None})
        found[path] = collect(one, data_dir=data_dir)
    _check_splits(found)
    return _merged(found)


def _apart(paths: Sequence[str], data_dir: Path) -> list[str]:
    """The places as records call them. Raises DataError where one lies in another."""
    names: list[str] = []
    # Through all links: two names of one folder would make every image stand twice.
    real: dict[Path, str] = {}
    for path in paths:
        target = below(data_dir, path, what="data.paths").resolve()
        for other, its_name in real.items():
            if target.is_relative_to(other) or other.is_relative_to(target):
                raise DataError(
                    f"data.paths must lie apart, '{escaped(path)}' and '{escaped(its_name)}' are "
                    "one in the other; leave out one of them."
                )
        real[target] = path
        names.append(portable(path, data_dir=data_dir, what="data.paths"))
    return names


def _check_splits(found: Mapping[str, Collection]) -> None:
    """Either all places have splits or none has. Raises DataError."""
    with_splits: list[str] = []
    without: list[str] = []
    for path, collection in found.items():
        if any(item.split is not None for item in collection.items):
            with_splits.append(escaped(path))
        else:
            without.append(escaped(path))
    if with_splits and without:
        raise DataError(
            "all of data.paths must have splits, or none of them, "
            f"{some(with_splits, most=_N_NAMED)} has and {some(without, most=_N_NAMED)} has not; "
            "sort the images into split folders, or point at the folders inside them."
        )


def _merged(found: Mapping[str, Collection]) -> Collection:
    collections = list(found.values())
    class_names = _class_names(collections)
    check_class_names(class_names, where="data.paths")
    items: list[Item] = []
    for path, collection in found.items():
        items += _moved(path, collection, class_names)
    first = collections[0]
    return Collection(
        title=_joined([collection.title for collection in collections], " + "),
        version=_joined([collection.version for collection in collections], "; "),
        licence=_joined([collection.licence for collection in collections], "; "),
        origin=_joined([collection.origin for collection in collections], ", "),
        is_synthetic=all(collection.is_synthetic for collection in collections),
        class_names=class_names,
        items=tuple(items),
        split_rule=first.split_rule,
        remarks=(*_remarks_of_places(found), *_class_remarks(found, class_names)),
    )


def _class_names(collections: Sequence[Collection]) -> tuple[str, ...]:
    # Where all agree, their order may mean something: that of labels in an index.
    first = collections[0].class_names
    names: set[str] = set()
    do_agree = True
    for collection in collections:
        names.update(collection.class_names)
        do_agree = do_agree and collection.class_names == first
    if do_agree:
        return first
    return tuple(in_label_order(names))


def _moved(path: str, collection: Collection, class_names: tuple[str, ...]) -> list[Item]:
    """The items of one place, by their names and labels in the whole."""
    position = places(class_names)
    names = collection.class_names
    moved = []
    for item in collection.items:
        label: int | tuple[int, ...]
        if isinstance(item.label, tuple):
            label = positions_of(map(names.__getitem__, item.label), position)
        else:
            label = position[names[item.label]]
        image_id = (PurePosixPath(path) / item.image_id).as_posix()
        moved.append(replace(item, image_id=image_id, label=label))
    return moved


def _joined(texts: Sequence[str], separator: str) -> str:
    # Each once, in the order of the places.
    return separator.join(dict.fromkeys(texts))


def _remarks_of_places(found: Mapping[str, Collection]) -> list[str]:
    lines: list[str] = []
    for path, collection in found.items():
        for remark in collection.remarks:
            lines.append(f"in {escaped(path)}, {remark}")
    return lines


def _class_remarks(found: Mapping[str, Collection], class_names: Sequence[str]) -> list[str]:
    """Which classes come together, and which one place has alone."""
    if len(found) == 1:
        return []
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path, collection in found.items():
        for name in collection.class_names:
            places[name].append(escaped(path))
    # the places that share them -> classes
    together: defaultdict[str, list[str]] = defaultdict(list)
    for name in class_names:
        together[_words(places[name], len(found))].append(escaped(name))
    lines = []
    for words, names in together.items():
        lines.append(f"note: classes from {words}: {some(names, most=_N_NAMED)}")
    return lines


def _words(places: Sequence[str], n_all: int) -> str:
    if len(places) == 1:
        return f"{places[0]} alone"
    if len(places) == n_all:
        return "all of data.paths, taken together"
    return f"{some(places, most=_N_NAMED)}, taken together"
