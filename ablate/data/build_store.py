"""Building the image store: decode what is missing, describe it, rename it into place.

A store is built whole in `<key>.partial`. A build that was killed, or that found the disk full, is
taken up by the next one: `done.txt` lists the images that are there.
"""

from __future__ import annotations

import difflib
import errno
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from ablate.checksum import digest_of_file, sealed_json
from ablate.data.dataset import DataSet, Split
from ablate.data.each_image import image_threads, refuse
from ablate.data.filling import ArrayFile, Place, checksum, sound_places
from ablate.data.square import INTERPOLATIONS, square
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
from ablate.study.trial import WHOLE

MAX_FINE_BYTES = 8_000_000_000
"""Bound on `fine.npy`; a larger data set is kept at a lower resolution, so that what a crop shows
does not depend on the disk."""
MAX_VERIFIED_BYTES = 1_000_000_000
"""Stores up to this size are compared with their digests whenever a command opens them: a second at
most. `ablate cache verify` compares all."""
_DONE = "done.txt"
_N_SIZED = 32
"""Images, evenly chosen, whose sizes say what resolution a data set has."""
# No space, no quota, a file that is larger than allowed.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

ImageProgress = Callable[[int, int], None]
"""Called with the number of images done and of all images."""


@dataclass(frozen=True)
class _Stored:
    """The images of a data set as they are kept: by split, or all together."""

    fingerprint: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Split]

    @classmethod
    def of(cls, data_set: DataSet) -> _Stored:
        """All together where each seed has a split of its own: no image is kept twice."""
        class_names = data_set.facts.class_names
        if data_set.resplits is None or data_set.whole is None:
            return cls(data_set.facts.fingerprint, class_names, data_set.splits)
        return cls(data_set.resplits.whole_fingerprint, class_names, {WHOLE: data_set.whole})

    @property
    def cropped(self) -> str:
        """The split that crops are cut from."""
        if WHOLE in self.splits:
            return WHOLE
        return "train"

    @property
    def n_cropped(self) -> int:
        """Images of that split."""
        return len(self.splits[self.cropped].labels)


@dataclass(frozen=True)
class _Order:
    """What is to be built."""

    stored: _Stored
    side: int
    """Pixels of every image."""
    fine: int | None
    """Pixels of the finer train images, or None."""
    interpolation: str
    view: View
    on_progress: ImageProgress


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
    """Return the store of `data_set` at `side` pixels below `home`; `view` is that of `square`.

    Images are decoded only where no good store is there yet. `fine` asks for the train split at so
    many pixels beside, for crops; images that have fewer, and data sets above `MAX_FINE_BYTES`, get
    fewer. Where each seed has a split of its own, all images are kept together, and what is
    returned has the first seed's splits. Processes that ask at the same time wait for one of them.
    Raises DataError naming all damaged images at once, StoreError where the disk is too small, full
    or cannot be written.
    """
    _check_interpolation(interpolation)
    stored = _Stored.of(data_set)
    # The key has what is asked for, not what the images allow: that is known after some are read.
    key = store_key(
        stored.fingerprint, side=side, interpolation=interpolation, fine=fine, view=view
    )
    final = home / "images" / key
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        # Beside the folder, not in it: the folder is removed and renamed under the lock.
        with locked(final.with_suffix(".lock")):
            # Whoever waited for the lock usually finds the store that the other process built.
            if (final / META).exists():
                try:
                    return _seen(_reopen(final, stored), data_set)
                except StoreError:
                    # no error of the caller's: a damaged store is built again
                    shutil.rmtree(final)
            if fine is not None:
                fine = _fine_side(stored.splits[stored.cropped], side=side, asked=fine)
            order = _Order(stored, side, fine, interpolation, view, on_progress or _silent)
            _build(order, final)
            return _seen(open_store(final), data_set)
    except OSError as error:
        raise _disk_error(error, final.parent) from error


def _seen(store: ImageStore, data_set: DataSet) -> ImageStore:
    """The store with train, val and test."""
    if data_set.resplits is None:
        return store
    return store.with_sides(data_set.resplits.sides(0))


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


def _reopen(path: Path, stored: _Stored) -> ImageStore:
    """Open the store that an earlier command built.

    Raises StoreError where it does not hold what the data set says, or what was written.
    """
    store = open_store(path)
    _check_same(store, stored)
    n_bytes = 0
    for file in path.glob("*.npy"):
        n_bytes += file.stat().st_size
    if n_bytes <= MAX_VERIFIED_BYTES:
        verify_store(path)
    return store


def _check_same(store: ImageStore, wanted: _Stored) -> None:
    """A store's labels and classes are those of the data set. Raises StoreError."""
    for name, split in wanted.splits.items():
        stored = store.split(name)
        if _labelled(stored.image_ids, stored.labels) != _labelled(split.image_ids, split.labels):
            raise StoreError(
                "an image store must hold the images that were asked for, "
                f"{name} of {store.path} holds others."
            )
    if store.class_names != wanted.class_names:
        raise StoreError(
            f"an image store must hold the classes that were asked for, {store.path} holds others."
        )


def _labelled(image_ids: Sequence[str], labels: NDArray[np.int64]) -> dict[str, Any]:
    """Image -> its label or labels.

    Their order does not matter: it is no part of the fingerprint, and a store keeps its own.
    """
    return dict(zip(image_ids, labels.tolist(), strict=True))


def _fine_side(train: Split, *, side: int, asked: int) -> int | None:
    """The side of the train split that crops are cut from.

    What is asked, at most what the images have and `MAX_FINE_BYTES` allow; None where that is
    `side`. It may be below: images smaller than `side` were enlarged for it, and a crop would be
    resized twice.
    """
    n_images = len(train.labels)
    shorter_sides = [0]
    # fewer images than _N_SIZED are read once each
    chosen = sorted({i * n_images // _N_SIZED for i in range(_N_SIZED)})
    for i in chosen:
        with suppress(DataError):  # damaged images are all named later
            shorter_sides.append(min(train.read(i).size))
    # side with which n_images squares of 3 bytes a pixel just fit
    allowed = math.isqrt(MAX_FINE_BYTES // (3 * n_images))
    fine = min(asked, max(shorter_sides), allowed)
    if fine in (0, side):
        return None
    return fine


def _build(order: _Order, final: Path) -> None:
    """Decode into a folder beside the final one, then rename.

    Under the lock, whatever stands there is a dead builder's, and is taken up. An interrupt and a
    full disk leave the folder for the next builder; images that cannot be read do not: mended ones
    have another key.
    """
    partial = final.with_suffix(PARTIAL)
    # without a meta.json, else it would have been opened
    if final.exists():
        shutil.rmtree(final)
    if not partial.is_dir():
        _check_room(order, final.parent)
        partial.mkdir()
    try:
        _fill(order, partial)
    except DataError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    # Last: a folder with a meta.json counts as whole.
    _write_durably(partial / META, sealed_json(_describe(order, partial)))
    (partial / _DONE).unlink()
    partial.rename(final)


def _fill(order: _Order, partial: Path) -> None:
    """Decode whatever is missing of the arrays.

    Raises DataError for all images that cannot be read, OSError where the disk is full.
    """
    # However the build ends, every file is closed.
    with ExitStack() as files:

        def open_array(name: str, n: int, side: int) -> ArrayFile:
            array = ArrayFile(partial / f"{name}.npy", n=n, side=side)
            return files.enter_context(closing(array))

        arrays: dict[str, list[ArrayFile]] = {}
        for name, split in order.stored.splits.items():
            arrays[name] = [open_array(name, len(split.labels), order.side)]
        if order.fine is not None:
            stored = order.stored
            arrays[stored.cropped].append(open_array(FINE, stored.n_cropped, order.fine))
        _decode(order, arrays, partial / _DONE)
        # Before meta.json is written: it must never be on the disk ahead of the pixels.
        for of_split in arrays.values():
            for array in of_split:
                array.finish()


def _decode(order: _Order, arrays: Mapping[str, Sequence[ArrayFile]], done: Path) -> None:
    """Fill what is missing of the arrays with a few threads.

    Raises one DataError for all images that cannot be read.
    """
    places = _all_places(order.stored)
    # What an earlier build left counts as done, in the progress, too.
    there = sound_places(done, arrays)
    with done.open("a") as log, image_threads() as pool:
        futures: dict[Future[str], Place] = {}
        for place in places:
            if place not in there:
                futures[pool.submit(_fill_place, order, arrays, place)] = place
        try:
            damaged = _gather(futures, log, order.on_progress, n_there=len(there))
        except BaseException:
            # an interrupt, too: what has begun is finished, so that no image is half written
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    refuse(damaged)


def _gather(
    futures: Mapping[Future[str], Place], log: TextIO, on_progress: ImageProgress, *, n_there: int
) -> list[str]:
    """Log images as they are done; return what is wrong with the damaged ones."""
    damaged: list[tuple[Place, str]] = []
    for n_done, future in enumerate(as_completed(futures), start=n_there + 1):
        error = future.exception()
        # Damaged images are named together; a full disk ends the build at once.
        if isinstance(error, DataError):
            damaged.append((futures[future], str(error)))
        elif error is not None:
            raise error
        else:
            # Behind the pixels: a line of `done.txt` is trusted after its checksum fits.
            log.write(future.result())
            log.flush()
        on_progress(n_done, n_there + len(futures))
    # by split and position, not in the order in which threads came to them
    return [message for _, message in sorted(damaged)]


def _all_places(stored: _Stored) -> list[Place]:
    places: list[Place] = []
    for name, split in stored.splits.items():
        for i in range(len(split.labels)):
            places.append((name, i))
    return places


def _fill_place(order: _Order, arrays: Mapping[str, Sequence[ArrayFile]], place: Place) -> str:
    """Decode one image into the arrays of its split; returns its line of `done.txt`."""
    name, i = place
    resample = INTERPOLATIONS[order.interpolation]
    image = order.stored.splits[name].read(i)
    # Decoded once for both sizes of a train image.
    squares = []
    for array in arrays[name]:
        pixels = square(image, side=array.side, resample=resample, view=order.view)
        array.put(i, pixels)
        squares.append(pixels)
    return f"{name} {i} {checksum(squares)}\n"


def _describe(order: _Order, partial: Path) -> dict[str, Any]:
    """What meta.json says."""
    splits = {}
    for name, split in order.stored.splits.items():
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
        "fingerprint": order.stored.fingerprint,
        "side": order.side,
        "interpolation": order.interpolation,
        "class_names": order.stored.class_names,
        "splits": splits,
    }
    if order.fine is not None:
        meta[FINE] = {"side": order.fine, **_size_and_digest(partial / f"{FINE}.npy")}
    return meta


def _size_and_digest(path: Path) -> dict[str, Any]:
    return {"n_bytes": path.stat().st_size, "sha256": digest_of_file(path)}


def _check_room(order: _Order, folder: Path) -> None:
    n_images = len(_all_places(order.stored))
    n_train = order.stored.n_cropped
    # bytes: three channels, one byte each
    needed = 3 * (n_images * order.side**2 + n_train * (order.fine or 0) ** 2)
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
