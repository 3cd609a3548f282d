"""Data sets in shards: files of one kind below a folder, whose names tell their splits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.data.sources._base import Collection, Item
from ablate.data.sources._index import SPLIT_WORDS
from ablate.data.sources._kinds import is_left_behind, is_left_behind_folder
from ablate.data.sources._places import check_link, relative_to
from ablate.data.sources.image_folder import VERSION
from ablate.errors import DataError, escaped, is_printable, some

_FIRST_WORD = re.compile(r"[A-Za-z]+")
_N_NAMED = 5


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of many images."""

    path: Path
    name: str
    """POSIX path below the folder, as errors call it."""
    split: str | None

    @property
    def stem(self) -> str:
        """The name without its suffix: what ids of its images begin with."""
        return self.name.removesuffix(self.path.suffix)


def find_shards(root: Path, *, suffix: str, data_dir: Path) -> list[Shard]:
    """Return the shards at or below `root`, sorted by name.

    `train-00000-of-00002.parquet`, `test/0000.parquet` and `val_3.tar` tell their splits. Raises
    DataError where there is no shard, where one leads out of the data folder, or where some names
    tell a split and others none.
    """
    shards: list[Shard] = []
    for path, name in _files(root, suffix):
        if not is_printable(name):
            raise DataError(
                f"a shard's name must be UTF-8 without control characters, got '{escaped(name)}'; "
                "rename it."
            )
        check_link(path, name, what="a shard", data_dir=data_dir)
        if not path.is_file():
            raise DataError(f"a shard must be a file that can be read, {name} is not; remove it.")
        shards.append(Shard(path, name, _split_of(name)))
    if not shards:
        raise DataError(
            f"data.path must be a {suffix} file or a folder that holds some, "
            f"{escaped(relative_to(root, data_dir))} is neither."
        )
    _check_splits(shards)
    return shards


def _files(root: Path, suffix: str) -> list[tuple[Path, str]]:
    if not root.is_dir():
        return [(root, root.name)] if root.suffix.lower() == suffix else []
    found = []
    for path in sorted(root.rglob("*")):
        *folders, file = path.relative_to(root).parts
        is_clutter = is_left_behind(file) or any(map(is_left_behind_folder, folders))
        # In lower case, which a pattern of rglob would not be everywhere.
        if path.suffix.lower() == suffix and not is_clutter:
            found.append((path, path.relative_to(root).as_posix()))
    return found


def _split_of(name: str) -> str | None:
    """The split that a file's first word tells, or that of the nearest folder."""
    for part in reversed(name.split("/")):
        word = _FIRST_WORD.match(part)
        if word is not None and word[0].lower() in SPLIT_WORDS:
            return SPLIT_WORDS[word[0].lower()]
    return None


def _check_splits(shards: Sequence[Shard]) -> None:
    without = [shard.name for shard in shards if shard.split is None]
    if without and len(without) < len(shards):
        raise DataError(
            "all shards must be called after their split (train, val, test), or none of them, "
            f"these are not: {some(without, most=_N_NAMED)}; rename them, or move them away."
        )


def sharded(
    root: Path,
    *,
    class_names: tuple[str, ...],
    items: Sequence[Item],
    remarks: Sequence[str],
    data_dir: Path,
) -> Collection:
    """Return the images of shards at `root` as a collection."""
    return Collection(
        title=root.stem if root.is_file() else root.name,
        version=VERSION,
        licence="not stated",
        origin=f"data.path {relative_to(root, data_dir)}",
        is_synthetic=False,
        class_names=class_names,
        items=tuple(items),
        remarks=tuple(remarks),
    )
