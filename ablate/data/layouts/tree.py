"""Labels from folders: which level of a tree is the split and which the class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ablate.data.sources._index import SPLIT_WORDS
from ablate.data.sources._roles import (
    IMAGE_FOLDERS,
    are_fold_names,
    are_split_names,
    split_and_rest,
)

_MOST_CLASSES_OF_GROUPS = 20
"""Folders that every folder above repeats: classes within groups, where they are few."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Which folders of a path say what; levels count from 0."""

    split: int | None
    """None where no level holds splits."""
    label: int
    folds: int | None = None
    """Level of folders that are called as folds."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Levels that say something, counted from 1 as `data.group_by` counts."""
        numbers = []
        for level in (self.split, self.folds, self.label):
            if level is not None:
                numbers.append(level + 1)
        return tuple(numbers)


def split_of_folder(name: str) -> str | None:
    """The split that a folder's name stands for, in any of the languages that are known."""
    word = SPLIT_WORDS.get(name.lower())
    if word is not None:
        return word
    role = split_and_rest(name)
    if role is None:
        return None
    return role[0]


def find_levels(paths: Sequence[str]) -> Levels | None:
    """Return the levels of splits and classes in the paths of images; None where none forks."""
    folders = list(map(_folders_in, paths))
    split = None
    folds = None
    level = 0
    # From the root down: wrappers, then perhaps splits, then the classes.
    while level < max(map(len, folders), default=0):
        names = _names_at(folders, level)
        if folds is None and split is None and are_fold_names(names):
            folds = level
        elif _are_splits(names):
            # `seg_train/seg_train`, as archives are unpacked: the first of the two counts.
            split = level if split is None else split
        elif len(names) > 1:
            return _label_level(folders, Levels(split, level, folds))
        level += 1
    return None


def _folders_in(path: str) -> tuple[str, ...]:
    return PurePosixPath(path).parts[:-1]


def _names_at(folders: Sequence[tuple[str, ...]], level: int) -> list[str]:
    """Names of the folders at a level that say something, sorted."""
    names = set()
    for parts in folders:
        if len(parts) > level:
            names.add(parts[level])
    return sorted(filter(_says_something, names))


def _says_something(name: str) -> bool:
    # `images`, `jpg` and the like stand in the paths of all classes.
    return name.lower() not in IMAGE_FOLDERS


def _are_splits(names: Sequence[str]) -> bool:
    """Whether folders are the splits; a class that is called `train` has other neighbours."""
    if not names:
        return False
    called = list(map(split_of_folder, names))
    # `train` alone, or all of them: each a split, and no split twice.
    if None not in called and len(set(called)) == len(called):
        return len(names) > 1 or names[0].lower() in SPLIT_WORDS
    return are_split_names(names) and None not in called


def _label_level(folders: Sequence[tuple[str, ...]], levels: Levels) -> Levels:
    """The level of the classes, which is one deeper where groups hold the same few folders."""
    below: defaultdict[str, set[str]] = defaultdict(set)
    for parts in folders:
        if len(parts) > levels.label + 1:
            below[parts[levels.label]].add(parts[levels.label + 1])
    counts: Counter[str] = Counter()
    for names in below.values():
        counts.update(filter(_says_something, names))
    # `bottle/train`, `cable/train`: each class has its own splits.
    if levels.split is None and _are_splits(sorted(counts)):
        return Levels(levels.label + 1, levels.label, levels.folds)
    are_few = 2 <= len(counts) <= _MOST_CLASSES_OF_GROUPS and len(counts) < len(below)
    # Patients with `benign` and `malignant` in each: the patients are no classes. With two folders
    # that hold the same, either level may be the classes: the upper one is taken.
    if are_few and min(counts.values()) > 1 and len(below) > 2:
        return Levels(levels.split, levels.label + 1, levels.folds)
    return levels


def label_of(path: str, levels: Levels) -> str | None:
    """The class folder of an image; None where it lies above."""
    folders = _folders_in(path)
    if len(folders) <= levels.label:
        return None
    return folders[levels.label]


def split_of(path: str, levels: Levels) -> str | None:
    """The split that an image lies in; None where there are none, or where it lies above."""
    folders = _folders_in(path)
    if levels.split is None or len(folders) <= levels.split:
        return None
    return split_of_folder(folders[levels.split])


def split_in_path(path: str) -> str | None:
    """The split that a folder of a path is called as, where folders are no classes."""
    for folder in _folders_in(path):
        split = split_of_folder(folder)
        if split is not None:
            return split
    return None
