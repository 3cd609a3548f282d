"""The image store: every image decoded and resized once, shared by all trials and processes.

A memory-mapped array per split:

    <home>/images/<key>/meta.json                    what is in it, and the digest of every array
                        train.npy val.npy test.npy   (N, side, side, 3) uint8
                        fine.npy                     (N, fine, fine, 3) uint8: train nearer its own
                                                     resolution, where crops are cut from it

The key names everything that determines the pixels, so a store is never updated: `build_store`
makes it whole, and it is verified on open.

Where each seed of a study has a split of its own there is one array of all images, `all.npy`, and
`fine.npy` of them all; `with_sides` makes train, val and test of it, without a copy.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.checksum import digest_of_file, unsealed_json
from ablate.data.image_rows import ImageRows, PickedRows
from ablate.data.sides import SIDES, rows_of, split_fingerprint
from ablate.errors import StoreError
from ablate.recipe.shown_part import USUAL_VIEW, View
from ablate.study.trial import SPLITS, WHOLE
from ablate.targets import Targets, targets_of_array

VERSION = 1
"""Part of the key; grows when the same images would be stored otherwise."""
FINE = "fine"
META = "meta.json"
PARTIAL = ".partial"
"""Suffix of a store that is being built."""
# A meta.json with any other key is damaged, or of a later version.
_META_FIELDS = ("version", "fingerprint", "side", "interpolation", "class_names", "splits", FINE)


@dataclass(frozen=True)
class StoredSplit:
    """One split as arrays."""

    images: ImageRows
    """(N, side, side, 3), RGB, memory-mapped and read-only."""
    labels: NDArray[np.int64]
    """(N,) positions in `class_names`; (N, C) of 0 and 1 where images have several labels."""
    image_ids: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    """The group of each image; None where nothing groups them."""
    fine: ImageRows | None = None
    """(N, fine, fine, 3), the same squares nearer their own resolution, or None: crops of `images`
    would be resized twice, and softer than clean images."""
    rows: NDArray[np.int64] | None = None
    """(N,) places in `ImageStore.whole`; None where there is none."""


@dataclass(frozen=True)
class ImageStore:
    """An open store."""

    path: Path
    side: int
    """Height and width of every image in pixels."""
    class_names: tuple[str, ...]
    splits: Mapping[str, StoredSplit]
    """Of train, val and test; before `with_sides`, of WHOLE alone."""
    fingerprint: str = ""
    """64 hex digits of the images that it was built from."""
    whole: StoredSplit | None = None
    """All images, where the splits are rows of them."""
    sides: str = ""
    """What `with_sides` was given."""

    @property
    def whole_key(self) -> str:
        """What names the pixels of clean images, whatever the split."""
        return self.path.name.partition("-")[0]

    @property
    def clean_key(self) -> str:
        """What names the pixels of clean images, whether a finer train split is there or not."""
        if not self.sides:
            return self.whole_key
        # Of this split: train of one seed is not train of another one.
        return f"{self.whole_key}.{split_fingerprint(self.fingerprint, self.sides)[:16]}"

    def with_sides(self, sides: str) -> ImageStore:
        """Return the store of all images with train, val and test by a letter an image.

        Raises StoreError where these are letters of other images.
        """
        if set(self.splits) != {WHOLE} or len(sides) != len(self.splits[WHOLE].labels):
            raise StoreError(
                f"an image store must hold all images together for a split of its own, {self.path} "
                "does not; remove it, and it is built again."
            )
        whole = self.splits[WHOLE]
        splits = {}
        for name, letter in zip(SPLITS, SIDES, strict=True):
            splits[name] = _picked(whole, rows_of(sides, letter), has_fine=name == SPLITS[0])
        return dataclasses.replace(self, splits=splits, whole=whole, sides=sides)

    def split(self, name: str) -> StoredSplit:
        """Return train, val or test."""
        return self.splits[name]

    def targets(self, name: str) -> Targets:
        """The labels of train, val or test."""
        return targets_of_array(self.splits[name].labels, n_classes=len(self.class_names))


def _picked(whole: StoredSplit, rows: NDArray[np.int64], *, has_fine: bool) -> StoredSplit:
    groups = None
    if whole.groups is not None:
        groups = tuple(whole.groups[row] for row in rows)
    fine = None
    # crops are cut from train images alone
    if has_fine and whole.fine is not None:
        fine = PickedRows(whole.fine, rows)
    return StoredSplit(
        images=PickedRows(whole.images, rows),
        labels=whole.labels[rows],
        image_ids=tuple(whole.image_ids[row] for row in rows),
        groups=groups,
        fine=fine,
        rows=rows,
    )


def store_key(
    fingerprint: str,
    *,
    side: int,
    interpolation: str,
    fine: int | None = None,
    view: View = USUAL_VIEW,
) -> str:
    """Return 24 hex digits that name the pixels of a store.

    And the side of a finer train split where one is asked for.
    """
    parts = [VERSION, fingerprint, side, interpolation]
    # Left out where it is the usual one, so that stores of former versions keep their names.
    if view != USUAL_VIEW:
        parts.append(view)
    named = json.dumps(parts)
    key = hashlib.sha256(named.encode()).hexdigest()[:24]
    if fine is None:
        return key
    # Behind it, not in it: `clean_key` is the same with and without the finer images.
    return f"{key}-{fine}"


def open_store(path: Path) -> ImageStore:
    """Open a store that `build_store` made.

    Raises StoreError where it is missing, incomplete or of another size than its meta.json says.
    """
    try:
        return _open_store(path)
    except Exception as error:  # damage comes in every shape, and all of it means the same
        raise StoreError(
            f"an image store must be whole, {path} is not ({error}); "
            "remove it, and it is built again."
        ) from error


def verify_store(path: Path) -> None:
    """Compare every array with the digest that was taken when the store was built.

    Reads everything. Raises StoreError where one differs.
    """
    open_store(path)
    meta = _read_meta(path)
    # file name without suffix -> its size and digest
    described = dict(meta["splits"])
    if meta.get(FINE):
        described[FINE] = meta[FINE]
    for name, written in described.items():
        if digest_of_file(path / f"{name}.npy") != written["sha256"]:
            raise StoreError(
                f"an image store must hold what was written, {name}.npy of {path} does not; "
                "remove the folder, and it is built again."
            )


def files_of(meta: bytes) -> tuple[str, ...]:
    """Return the names of the arrays that belong to a meta.json.

    Raises StoreError where it is none.
    """
    try:
        written = unsealed_json(meta, fields=_META_FIELDS)
    except ValueError as error:
        raise StoreError(
            f"an image store must have a sound meta.json, got a damaged one ({error}); "
            "remove the store, and it is built again."
        ) from error
    names = list(written["splits"])
    if written.get(FINE):
        names.append(FINE)
    files = []
    for name in names:
        files.append(f"{name}.npy")
    return tuple(files)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes respect and that ends with this process, however it ends."""
    with path.open("a") as file:
        # the kernel drops it when the file is closed
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _open_store(path: Path) -> ImageStore:
    meta = _read_meta(path)
    side = int(meta["side"])
    names: tuple[str, ...] = SPLITS
    if WHOLE in meta["splits"]:
        names = (WHOLE,)
    splits = {}
    for name in names:
        splits[name] = _open_split(path / f"{name}.npy", meta["splits"][name], side=side)
    if meta.get(FINE):
        # the same images and labels as train, at another side
        described = {**meta["splits"][names[0]], **meta[FINE]}
        fine = _open_split(path / f"{FINE}.npy", described, side=int(meta[FINE]["side"]))
        splits[names[0]] = dataclasses.replace(splits[names[0]], fine=fine.images)
    class_names = tuple(map(str, meta["class_names"]))
    return ImageStore(
        path=path,
        side=side,
        class_names=class_names,
        splits=splits,
        fingerprint=str(meta["fingerprint"]),
    )


def _open_split(path: Path, meta: Mapping[str, Any], *, side: int) -> StoredSplit:
    labels = np.array(meta["labels"], dtype=np.int64)
    image_ids = tuple(map(str, meta["image_ids"]))
    # Sizes on open, digests in `verify_store`: reading gigabytes would take every command minutes.
    n_bytes = path.stat().st_size
    # a file that was cut off would be mapped, and kill the process where it ends
    if n_bytes != meta["n_bytes"]:
        raise ValueError(f"{path.name} has {n_bytes} bytes instead of {meta['n_bytes']}")
    # Mapped, so that all processes share one copy in the page cache; no pickle from a disk is run.
    images = np.load(path, mmap_mode="r", allow_pickle=False)
    has_form = images.shape == (len(labels), side, side, 3) and images.dtype == np.uint8
    if not has_form or len(image_ids) != len(labels):
        raise ValueError(f"{path.name} holds {images.dtype} of shape {images.shape}")
    groups = None
    # Stores from before there were groups have none, and stay readable.
    if "groups" in meta:
        groups = tuple(map(str, meta["groups"]))
        if len(groups) != len(labels):
            raise ValueError(f"{path.name} has {len(labels)} images and {len(groups)} groups")
    return StoredSplit(images=images, labels=labels, image_ids=image_ids, groups=groups)


def _read_meta(path: Path) -> dict[str, Any]:
    return unsealed_json((path / META).read_bytes(), fields=_META_FIELDS)
