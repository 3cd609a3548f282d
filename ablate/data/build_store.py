"""Building image stores: decode what is missing, describe it, rename it into place.

A store is built whole in `<key>.partial`. A build that was killed, or that found the disk full, is
taken up by the next one: `done.txt` lists the images that are there. Stores that are wanted at the
same time, such as those of several image sizes, are filled in one pass: see `fill_stores`.
"""

from __future__ import annotations

import difflib
import errno
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.checksum import digest_of_file, sealed_json
from ablate.data.dataset import DataSet, Split, as_stored, cropped_split
from ablate.data.fill_stores import DONE, ImageProgress, StoreOrder, all_places, fill_stores
from ablate.data.square import INTERPOLATIONS
from ablate.data.store import (
    FINE,
    META,
    PARTIAL,
    VERSION,
    ImageStore,
    locked,
    open_store,
    store_key,
    verify_store,
)
from ablate.errors import DataError, StoreError
from ablate.recipe.shown_part import USUAL_VIEW, View

MAX_FINE_BYTES = 8_000_000_000
"""Bound on `fine.npy`; a larger data set is kept at a lower resolution, so that what a crop shows
does not depend on the disk."""
MAX_VERIFIED_BYTES = 1_000_000_000
"""Stores up to this size are compared with their digests whenever a command opens them: a second at
most. `ablate cache verify` compares all."""
_N_SIZED = 32
"""Images, evenly chosen, whose sizes say what resolution a data set has."""
# No space, no quota, a file that is larger than allowed.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class WantedImages:
    """How images are to be stored."""

    side: int
    """Pixels of every image."""
    interpolation: str
    fine: int | None = None
    """Pixels of the train split beside, for crops; None: there are none."""
    view: View = USUAL_VIEW
    """That of `square`."""

    def key(self, fingerprint: str) -> str:
        """The name of the store of a data set, see `store_key`."""
        # What is asked for, not what the images allow: that is known after some are read.
        return store_key(
            fingerprint,
            side=self.side,
            interpolation=self.interpolation,
            fine=self.fine,
            view=self.view,
        )


def build_store(
    data_set: DataSet,
    *,
    home: Path,
    side: int,
    interpolation: str,
    fine: int | None = None,
    view: View = USUAL_VIEW,
    on_progress: ImageProgress | None = None,
) -> ImageStore:
    """Return the store of `data_set` at `side` pixels below `home`; see `build_stores`."""
    wanted = WantedImages(side, interpolation, fine, view)
    return build_stores(data_set, [wanted], home=home, on_progress=on_progress)[wanted]


def build_stores(
    data_set: DataSet,
    wanted: Sequence[WantedImages],
    *,
    home: Path,
    on_progress: ImageProgress | None = None,
) -> dict[WantedImages, ImageStore]:
    """Return the stores of `data_set` below `home` as they are wanted.

    Images are decoded only where no good store is there yet, and once for all stores that lack
    them. `fine` asks for the train split at so many pixels beside, for crops; images that have
    fewer, and data sets above `MAX_FINE_BYTES`, get fewer. Processes that ask at the same time wait
    for one of them. Raises DataError naming all damaged images at once, StoreError where the disk
    is too small, full or cannot be written.
    """
    kept = as_stored(data_set)
    paths = {}
    for one in wanted:
        _check_interpolation(one.interpolation)
        paths[one] = home / "images" / one.key(kept.facts.fingerprint)
    folder = home / "images"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as locks:
            # In one order for all processes: two that each hold what the other wants would wait for
            # ever.
            for path in sorted(paths.values()):
                # Beside the folder, not in it: the folder is removed and renamed under the lock.
                locks.enter_context(locked(path.with_suffix(".lock")))
            stores = _built_or_found(kept, paths, on_progress or _silent)
            return {one: _seen(store, data_set) for one, store in stores.items()}
    except OSError as error:
        raise _disk_error(error, folder) from error


def _seen(store: ImageStore, data_set: DataSet) -> ImageStore:
    """The store with train, val and test: of the first seed, where each has its own split."""
    if data_set.resplits is None:
        return store
    return store.with_sides(data_set.resplits.sides(0))


def _built_or_found(
    data_set: DataSet, paths: Mapping[WantedImages, Path], on_progress: ImageProgress
) -> dict[WantedImages, ImageStore]:
    """Under the locks: whoever waited for them usually finds what the other process built."""
    found: dict[WantedImages, ImageStore] = {}
    missing: dict[WantedImages, Path] = {}
    for one, path in paths.items():
        store = _find(path, data_set)
        if store is None:
            missing[one] = path
        else:
            found[one] = store
    if missing:
        _build(data_set, missing, on_progress)
    stores = {}
    for one, path in paths.items():
        # Those that were there are open already, and verified.
        stores[one] = found.get(one) or open_store(path)
    return stores


def _find(path: Path, data_set: DataSet) -> ImageStore | None:
    """The good store of an earlier command; None where there is none."""
    if not (path / META).exists():
        return None
    try:
        return _reopen(path, data_set)
    except StoreError:
        # no error of the caller's: a damaged store is built again
        shutil.rmtree(path)
        return None


def _check_interpolation(name: str) -> None:
    if name not in INTERPOLATIONS:
        near = difflib.get_close_matches(name, INTERPOLATIONS, n=1, cutoff=0.0)[0]
        raise DataError(
            f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got {name!r}; "
            f"did you mean {near}?"
        )


def _disk_error(error: OSError, folder: Path) -> StoreError:
    if error.errno in _FULL:
        return StoreError(
            f"the image store needs more room in {folder} than the disk has ({error.strerror}); "
            "make room, and the same command goes on where it stopped."
        )
    return StoreError(
        f"the image store must be writable, {folder} is not ({error.strerror}); "
        "choose another home with ABLATE_HOME."
    )


def _reopen(path: Path, data_set: DataSet) -> ImageStore:
    """Open the store that an earlier command built.

    Raises StoreError where it does not hold what the data set says, or what was written.
    """
    store = open_store(path)
    _check_same(store, data_set)
    n_bytes = 0
    for file in path.glob("*.npy"):
        n_bytes += file.stat().st_size
    if n_bytes <= MAX_VERIFIED_BYTES:
        verify_store(path)
    return store


def _check_same(store: ImageStore, data_set: DataSet) -> None:
    """A store's labels and classes are those of the data set. Raises StoreError."""
    for name, split in data_set.splits.items():
        stored = store.split(name)
        if _labelled(stored.image_ids, stored.labels) != _labelled(split.image_ids, split.labels):
            raise StoreError(
                "an image store must hold the images that were asked for, "
                f"{name} of {store.path} holds others."
            )
    if store.class_names != data_set.facts.class_names:
        raise StoreError(
            f"an image store must hold the classes that were asked for, {store.path} holds others."
        )


def _labelled(image_ids: Sequence[str], labels: NDArray[np.int64]) -> dict[str, Any]:
    """Image -> its label or labels.

    Their order does not matter: it is no part of the fingerprint, and a store keeps its own.
    """
    return dict(zip(image_ids, labels.tolist(), strict=True))


def _orders(data_set: DataSet, missing: Mapping[WantedImages, Path]) -> list[StoreOrder]:
    """What is to be built, with finer images as far as the data have them."""
    train = data_set.splits[cropped_split(data_set)]
    most = 0
    if any(one.fine is not None for one in missing):
        most = _most_pixels(train)  # some images are read: once for all stores
    orders = []
    for one, path in missing.items():
        fine = None
        if one.fine is not None:
            fine = _fine_side(min(one.fine, most), side=one.side, n_images=len(train.labels))
        partial = path.with_suffix(PARTIAL)
        orders.append(StoreOrder(one.side, fine, one.interpolation, one.view, partial))
    return orders


def _most_pixels(train: Split) -> int:
    """The largest of some images' shorter sides: the resolution that a data set has."""
    n_images = len(train.labels)
    shorter_sides = [0]
    # fewer images than _N_SIZED are read once each
    chosen = sorted({i * n_images // _N_SIZED for i in range(_N_SIZED)})
    for i in chosen:
        with suppress(DataError):  # damaged images are all named later
            shorter_sides.append(min(train.read(i).size))
    return max(shorter_sides)


def _fine_side(most: int, *, side: int, n_images: int) -> int | None:
    """The side of the train split that crops are cut from.

    At most what is asked and the images have, and what `MAX_FINE_BYTES` allows; None where that is
    `side`. It may be below: images smaller than `side` were enlarged for it, and a crop would be
    resized twice.
    """
    # side with which n_images squares of 3 bytes a pixel just fit
    allowed = math.isqrt(MAX_FINE_BYTES // (3 * n_images))
    fine = min(most, allowed)
    if fine in (0, side):
        return None
    return fine


def _build(
    data_set: DataSet, missing: Mapping[WantedImages, Path], on_progress: ImageProgress
) -> None:
    """Decode into folders beside the final ones, then rename.

    Under the locks, whatever stands there is a dead builder's, and is taken up. An interrupt and a
    full disk leave the folders for the next builder; images that cannot be read do not: mended ones
    have another key.
    """
    orders = _orders(data_set, missing)
    for path in missing.values():
        # without a meta.json, else it would have been opened
        if path.exists():
            shutil.rmtree(path)
    begun = [order for order in orders if order.partial.is_dir()]
    _check_room(data_set, [order for order in orders if order not in begun])
    for order in orders:
        order.partial.mkdir(exist_ok=True)
    try:
        fill_stores(data_set, orders, on_progress=on_progress)
    except DataError:
        for order in orders:
            shutil.rmtree(order.partial, ignore_errors=True)
        raise
    for order, final in zip(orders, missing.values(), strict=True):
        # Last: a folder with a meta.json counts as whole.
        _write_durably(order.partial / META, sealed_json(_describe(data_set, order)))
        (order.partial / DONE).unlink()
        order.partial.rename(final)


def _describe(data_set: DataSet, order: StoreOrder) -> dict[str, Any]:
    """What meta.json says."""
    facts = data_set.facts
    partial = order.partial
    splits = {}
    for name, split in data_set.splits.items():
        splits[name] = {
            "labels": split.labels.tolist(),
            "image_ids": split.image_ids,
            **_size_and_digest(partial / f"{name}.npy"),
        }
        if split.groups is not None:
            splits[name]["groups"] = split.groups
    # Keys of meta.json, which `data.store` reads: stores of former versions stay readable.
    meta = {
        "version": VERSION,
        "fingerprint": facts.fingerprint,
        "side": order.side,
        "interpolation": order.interpolation,
        "class_names": facts.class_names,
        "splits": splits,
    }
    if order.fine is not None:
        meta[FINE] = {"side": order.fine, **_size_and_digest(partial / f"{FINE}.npy")}
    return meta


def _size_and_digest(path: Path) -> dict[str, Any]:
    return {"n_bytes": path.stat().st_size, "sha256": digest_of_file(path)}


def _check_room(data_set: DataSet, orders: Sequence[StoreOrder]) -> None:
    n_images = len(all_places(data_set))
    n_train = len(data_set.splits[cropped_split(data_set)].labels)
    needed = 0
    for order in orders:
        # bytes: three channels, one byte each
        needed += 3 * (n_images * order.side**2 + n_train * (order.fine or 0) ** 2)
    if not orders:
        return
    folder = orders[0].partial.parent
    # Before anything is decoded: a disk that fills up after an hour wastes the hour.
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(
            f"the image store needs {needed / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB "
            "are free; make room, or ask for fewer images."
        )


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        # Before the rename: else a power cut may leave the name without the content.
        os.fsync(file.fileno())


def _silent(n_done: int, n_all: int) -> None:
    """Report nothing."""
