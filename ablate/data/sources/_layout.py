"""Which level of a tree of folders holds the classes.

A tree that can be read in two ways is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ablate.data.sources._index import SPLIT_WORDS
from ablate.data.sources._roles import are_fold_names, are_images_and_labels, are_split_names
from ablate.errors import DataError, escaped, some

_N_NAMED = 8
_MAX_WRAPPERS = 5
"""Folders within folders that are searched; links may lead in circles."""
_BY_CSV = "name the images in a CSV (columns file, label, split) and give it as data.path"
# Passed in, so that the walk notes what it cannot enter while the layout is read.
Folders = Callable[[Path], list[Path]]
"""Returns the folders in a folder that may hold images, sorted."""


def split_tops(root: Path, name: str, *, folders: Folders) -> Mapping[Path, str | None]:
    """Return the folders whose children are the classes, each with its split.

    Where there are no splits, that is `root` with None. `name` is how errors call `root`.

    Raises DataError where split folders and class folders lie side by side, where a split has two
    folders or one without classes, or where the children are no classes.
    """
    # Splits first: `train/cat` and `val/cat` must not become the classes train and val.
    children = folders(root)
    splits = {}
    for child in children:
        split = SPLIT_WORDS.get(child.name.lower())
        if split is not None:
            splits[child] = split
    if not splits:
        # {path} is filled in later, with the innermost folder.
        _check_level(name, children, folders=folders, way_out="or write data.path: {path}")
        return {root: None}
    # From here on some child is called as a split: all must be, and each split once.
    _check_alike(splits, children, name)
    for top in splits:
        _check_split(f"{name}/{escaped(top.name)}", folders(top), folders=folders)
    return dict(splits)


def _check_split(name: str, classes: Sequence[Path], *, folders: Folders) -> None:
    """Check what lies in a split folder. Raises DataError."""
    if not classes:
        raise DataError(
            f"a split folder must hold one folder per class, {name} holds "
            "none; move it away (what is missing is drawn from train where data.split_seed "
            f"and data.fractions are set), or, if it is a class, {_BY_CSV}."
        )
    _check_level(name, classes, folders=folders, way_out="which is the split")


def _check_alike(splits: Mapping[Path, str], children: Sequence[Path], name: str) -> None:
    if len(splits) < len(children):
        others = _names(set(children) - splits.keys())
        split_words = " or ".join(_names(splits))
        raise DataError(
            "a folder must hold either split folders or class folders, "
            f"{name} holds both; these are not splits: {_listed(others)}. If they are, rename them "
            "to train, val or test; if not, move them away; or, where "
            f"{split_words} is a class, {_BY_CSV}."
        )
    # `val` and `valid` beside each other, for one
    if len(set(splits.values())) < len(splits):
        raise DataError(
            f"each split must have one folder in {name}, got {_listed(_names(splits))}; "
            "merge or rename them."
        )


def _names(folders: Iterable[Path]) -> list[str]:
    """Names of folders, sorted."""
    return sorted(folder.name for folder in folders)


def _check_level(name: str, classes: Sequence[Path], *, folders: Folders, way_out: str) -> None:
    """Check that folders are classes, not splits, folds or a wrapper. Raises DataError.

    `way_out` is what else can be done about a wrapper, whose innermost folder is `{path}`.
    """
    names = [path.name for path in classes]
    below: dict[Path, frozenset[str]] = {}
    for path in classes:
        below[path] = frozenset(_names(folders(path)))
    # One class alone cannot be trained: a single folder with folders in it is a wrapper.
    if len(classes) == 1 and below[classes[0]]:
        raise DataError(_wrapper_text(classes[0], name, folders, way_out))
    _check_no_labels(name, names)
    _check_once(name, below)
    # By their names, in several languages, or by what they hold where the names say nothing.
    are_splits = are_split_names(names) or are_fold_names(names)
    if are_splits or _repeat_each_other(classes, folders):
        raise DataError(_splits_text(name, names, below[classes[0]]))


def _check_no_labels(name: str, names: Sequence[str]) -> None:
    """Check that folders are not images and their masks or labels. Raises DataError."""
    if are_images_and_labels(names):
        raise DataError(
            f"class folders must be named after their classes, {name} holds {_listed(names)}, "
            "which look like images and their masks or labels; sort the images into class "
            f"folders, or {_BY_CSV}."
        )


def _check_once(name: str, below: Mapping[Path, frozenset[str]]) -> None:
    """Check that no class folder holds the class folders again. Raises DataError."""
    names = set(_names(below))
    for path, inside in below.items():
        repeated = inside & names
        # one name alone may well be a sub-folder: `rose/red` beside the class `red`
        if len(repeated) > 1:
            raise DataError(
                f"class folders must be there once, {name}/{escaped(path.name)} holds folders "
                f"with the names of its neighbours ({_listed(sorted(repeated))}), as an "
                "archive that was unpacked twice; remove one of the two."
            )


def _first_fork(folder: Path, folders: Folders) -> frozenset[str]:
    """Names of the folders at the first level below `folder` that holds more than one."""
    # `fold_1/images/cat` is a fold as `fold_1/cat` is: wrappers on the way do not count
    return frozenset(_names(folders(_unwrapped(folder, folders))))


def _unwrapped(folder: Path, folders: Folders) -> Path:
    """The folder itself, or what it wraps: a folder that holds one folder ... that holds many."""
    for _ in range(_MAX_WRAPPERS):
        inner = folders(folder)
        # A single folder without folders in it is a class of one, not a wrapper.
        if len(inner) != 1 or not folders(inner[0]):
            break
        folder = inner[0]
    return folder


def _repeat_each_other(tops: Sequence[Path], folders: Folders) -> bool:
    """Whether all folders hold the same two or more sub-folders, but for a few.

    Splits of the same classes do, whatever they are called; classes do not.
    """
    below: list[frozenset[str]] = []
    for top in tops:
        below.append(_first_fork(top, folders))
    # Without capitals: `Cat` in one split and `cat` in another are one class.
    counts: Counter[str] = Counter()
    for names in below:
        counts.update(map(str.casefold, names))
    shared: set[str] = set()
    for name, n in counts.items():
        if n > 1:
            shared.add(name)
    # One name in common is a coincidence, such as `other` in two classes.
    if len(below) < 2 or len(shared) < 2:
        return False
    return all(_are_mostly_shared(names, shared) for names in below)


def _are_mostly_shared(names: frozenset[str], shared: set[str]) -> bool:
    # Half of them: a split may lack rare classes.
    n_shared = len(set(map(str.casefold, names)) & shared)
    return n_shared >= max(1, len(names) / 2)


def _wrapper_text(only: Path, name: str, folders: Folders, way_out: str) -> str:
    """The way out of folders that hold nothing but one folder."""
    inner = _unwrapped(only, folders)
    # as it would be written in the grid file, below the data folder
    path = "/".join([name, *map(escaped, inner.relative_to(only.parent).parts)])
    classes = _listed(_names(folders(inner)))
    return (
        f"a folder of images must hold one folder per class, {name} holds {escaped(only.name)} "
        f"alone, with the folders {classes} in {path}; "
        f"move those up to {name}, {way_out.format(path=path)}."
    )


def _splits_text(name: str, names: Sequence[str], first_below: frozenset[str]) -> str:
    inside = ""
    if first_below:
        inside = f", with {_listed(sorted(first_below))} in the first"
    return (
        f"class folders must be named after their classes, {name} holds {_listed(names)}{inside}: "
        "they look like splits or folds of the same classes. If they are splits, rename them to "
        "train, val and test, with one folder per class directly in each; if they are classes, "
        f"{_BY_CSV}."
    )


def _listed(names: Sequence[str]) -> str:
    return some(list(map(escaped, names)), most=_N_NAMED)
