"""folder: your own images. Class folders, class folders inside split folders, or a CSV index; `data.path` says where below the data folder."""

from __future__ import annotations

from pathlib import Path

from ablate.data.images import SUFFIXES, below
from ablate.data.sources._base import Collection, Item, NotToBeHad
from ablate.data.sources._index import SPLIT_WORDS, file_item, read_index
from ablate.errors import DataError
from ablate.spec.trial import DataSpec


def collect(spec: DataSpec, *, data_dir: Path) -> Collection:
    """Return the images of `spec.path`. Raises NotToBeHad where it does not exist, DataError where it leads outside or holds nothing fit."""
    if not spec.path:
        raise DataError("source folder needs data.path: a folder or a CSV file below the data folder.")
    path = below(data_dir, spec.path, what="data.path")
    if not path.exists():
        raise NotToBeHad(f"data.path must be a folder or a CSV file below the data folder {data_dir}, got {spec.path!r}, which does not exist.")
    if path.is_file() and path.suffix.lower() != ".csv":
        raise DataError(f"data.path must be a folder or a CSV file, got the file {spec.path!r}.")
    class_names, items = read_index(path, root=path.parent) if path.is_file() else _read_folders(path, spec.path)
    return Collection(
        title=path.stem if path.is_file() else path.name,
        version="unversioned; see the fingerprint",
        licence="not stated",
        origin=f"data.path {Path(spec.path).as_posix()}",
        is_synthetic=False,
        class_names=class_names,
        items=items,
    )


def _read_folders(root: Path, name: str) -> tuple[tuple[str, ...], tuple[Item, ...]]:
    children = _folders(root)
    splits = {child: SPLIT_WORDS[child.name.lower()] for child in children if child.name.lower() in SPLIT_WORDS}
    if splits and len(splits) < len(children):
        odd = ", ".join(sorted(child.name for child in children if child not in splits))
        raise DataError(f"a folder must hold either split folders or class folders, {name} holds both; these are no splits: {odd}.")
    if len(set(splits.values())) < len(splits):
        raise DataError(f"each split must have one folder in {name}, got {', '.join(sorted(child.name for child in splits))}.")
    tops: dict[Path, str | None] = dict(splits) if splits else {root: None}
    class_names = tuple(sorted({folder.name for top in tops for folder in _folders(top)}))
    if not class_names:
        raise DataError(f"a folder of images must hold one folder per class, {name} holds none.")
    position = {class_name: i for i, class_name in enumerate(class_names)}
    items = [
        file_item(root, path.relative_to(root).as_posix(), label=position[folder.name], split=split)
        for top, split in tops.items()
        for folder in _folders(top)
        for path in _images(folder)
    ]
    return class_names, tuple(items)


def _folders(root: Path) -> list[Path]:
    return sorted(child for child in root.iterdir() if child.is_dir() and not child.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir())
