"""The image store: every image decoded and resized once, kept as a memory-mapped array per split, shared by all trials and processes.

    <home>/images/<key>/meta.json                    what is in it, and the digest of every array
                        train.npy val.npy test.npy   (N, side, side, 3) uint8
                        fine.npy                     (N, fine, fine, 3) uint8: train nearer its own resolution, where crops are cut from it

The key names everything that determines the pixels, so a store is never updated: it is built whole in `<key>.partial`, renamed into place, and verified on
open. A build that was killed, or that found the disk full, is taken up by the next one: `done.txt` lists the images that are there.
"""

from __future__ import annotations

import dataclasses
import difflib
import errno
import fcntl
import hashlib
import itertools
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablate.checksum import sealed_json, unsealed_json
from ablate.data.dataset import DataSet, Split
from ablate.data.each_image import image_threads, refuse
from ablate.data.filling import ArrayFile, Place, checksum, sound_places
from ablate.errors import DataError, StoreError
from ablate.study.trial import SPLITS
from ablate.targets import Targets, targets_of_array

VERSION = 1
"""Part of the key; grows when the same images would be stored otherwise."""
INTERPOLATIONS = {
    name: Image.Resampling[name.upper()]
    for name in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
}
MAX_ASPECT = 8
"""Images longer than this many times their width are cut to it before they are resized, so that no sliver grows without bound."""
MAX_FINE_BYTES = 8_000_000_000
"""Bound on `fine.npy`; a larger data set is kept at a lower resolution, so that what a crop shows does not depend on the disk."""
MAX_VERIFIED_BYTES = 1_000_000_000
"""Stores up to this size are compared with their digests whenever a command opens them: a second at most. `ablate cache verify` compares all."""
_FINE = "fine"
_DONE = "done.txt"
PARTIAL = ".partial"
"""Suffix of a store that is being built."""
_META_FIELDS = ("version", "fingerprint", "side", "interpolation", "class_names", "splits", _FINE)
_N_SIZED = 32

Progress = Callable[[int, int], None]
"""Called with the number of images done and of all images."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class StoredSplit:
    """One split as arrays."""

    images: NDArray[np.uint8]
    """(N, side, side, 3), RGB, memory-mapped and read-only."""
    labels: NDArray[np.int64]
    """(N,) positions in `class_names`; (N, C) of 0 and 1 where images have several labels."""
    image_ids: tuple[str, ...]
    fine: NDArray[np.uint8] | None = None
    """(N, fine, fine, 3), the same squares nearer their own resolution, or None: crops of `images` would be resized twice, and softer than clean images."""


@dataclass(frozen=True)
class ImageStore:
    """An open store."""

    path: Path
    side: int
    """Height and width of every image in pixels."""
    class_names: tuple[str, ...]
    splits: Mapping[str, StoredSplit]

    @property
    def clean_key(self) -> str:
        """What names the pixels of clean images, whether a finer train split is there or not."""
        return self.path.name.partition("-")[0]

    def split(self, name: str) -> StoredSplit:
        """Return train, val or test."""
        return self.splits[name]

    def targets(self, name: str) -> Targets:
        """The labels of train, val or test."""
        return targets_of_array(self.splits[name].labels, n_classes=len(self.class_names))


def build_store(
    data_set: DataSet,
    *,
    home: Path,
    side: int,
    interpolation: str,
    fine: int | None = None,
    on_progress: Progress | None = None,
) -> ImageStore:
    """Return the store of `data_set` at `side` pixels below `home`; decode the images only where no good store is there yet.

    `fine` asks for the train split at so many pixels beside, for crops; images that have fewer, and data sets above `MAX_FINE_BYTES`, get fewer.
    Processes that ask at the same time wait for one of them. Raises DataError naming all damaged images at once, StoreError where the disk is too
    small, full or cannot be written.
    """
    if interpolation not in INTERPOLATIONS:
        near = difflib.get_close_matches(interpolation, INTERPOLATIONS, n=1, cutoff=0.0)[0]
        raise DataError(
            f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got {interpolation!r}; did you mean {near}?"
        )
    final = (
        home
        / "images"
        / store_key(data_set.facts.fingerprint, side=side, interpolation=interpolation, fine=fine)
    )
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with locked(final.with_suffix(".lock")):
            if (final / "meta.json").exists():
                try:
                    return _reopen(final, data_set)
                except StoreError:
                    shutil.rmtree(final)
            fine = (
                None
                if fine is None
                else _fine_side(data_set.splits["train"], side=side, asked=fine)
            )
            _build(
                data_set,
                final,
                side=side,
                fine=fine,
                interpolation=interpolation,
                on_progress=on_progress or _silent,
            )
            return open_store(final)
    except OSError as error:
        if error.errno in _FULL:
            raise StoreError(
                f"the image store needs more room in {final.parent} than the disk has ({error.strerror}); "
                "make room, and the same command goes on where it stopped."
            ) from error
        raise StoreError(
            f"the image store must be writable, {final.parent} is not ({error.strerror}); choose another home with ABLATE_HOME."
        ) from error


def _reopen(path: Path, data_set: DataSet) -> ImageStore:
    """Open the store that an earlier command built. Raises StoreError where it does not hold what the data set says, or what was written."""
    store = open_store(path)
    for name, split in data_set.splits.items():
        stored = store.split(name)
        if _labelled(stored.image_ids, stored.labels) != _labelled(split.image_ids, split.labels):
            raise StoreError(
                f"an image store must hold the images that were asked for, {name} of {path} holds others."
            )
    if store.class_names != data_set.facts.class_names:
        raise StoreError(
            f"an image store must hold the classes that were asked for, {path} holds others."
        )
    if sum(file.stat().st_size for file in path.glob("*.npy")) <= MAX_VERIFIED_BYTES:
        verify_store(path)
    return store


def _labelled(image_ids: Sequence[str], labels: NDArray[np.int64]) -> dict[str, Any]:
    """Image -> its label or labels. Their order does not matter: it is no part of the fingerprint, and a store keeps its own."""
    return dict(zip(image_ids, labels.tolist(), strict=True))


def store_key(fingerprint: str, *, side: int, interpolation: str, fine: int | None = None) -> str:
    """Return 24 hex digits that name the pixels of a store, and the side of a finer train split where one is asked for."""
    key = hashlib.sha256(
        json.dumps([VERSION, fingerprint, side, interpolation]).encode()
    ).hexdigest()[:24]
    return key if fine is None else f"{key}-{fine}"


def _fine_side(train: Split, *, side: int, asked: int) -> int | None:
    """The side of the train split that crops are cut from: what is asked, at most what the images have and `MAX_FINE_BYTES` allow.

    None where that is `side`. It may be below: images smaller than `side` were enlarged for it, and a crop would be resized twice.
    """
    n_images, shorter = len(train.labels), [0]
    for i in sorted({i * n_images // _N_SIZED for i in range(_N_SIZED)}):
        with suppress(DataError):  # damaged images are all named later
            shorter.append(min(train.read(i).size))
    wanted = min(asked, max(shorter), math.isqrt(MAX_FINE_BYTES // (3 * n_images)))
    return wanted if 0 < wanted != side else None


def open_store(path: Path) -> ImageStore:
    """Open a store that `build_store` made. Raises StoreError where it is missing, incomplete or of another size than its meta.json says."""
    try:
        meta = _read_meta(path)
        side = int(meta["side"])
        class_names = tuple(map(str, meta["class_names"]))
        splits = {
            name: _open_split(path / f"{name}.npy", meta["splits"][name], side=side)
            for name in SPLITS
        }
        if meta.get(_FINE):
            fine = _open_split(
                path / f"{_FINE}.npy",
                {**meta["splits"]["train"], **meta[_FINE]},
                side=int(meta[_FINE]["side"]),
            )
            splits["train"] = dataclasses.replace(splits["train"], fine=fine.images)
    except Exception as error:  # damage comes in every shape, and all of it means the same
        raise StoreError(
            f"an image store must be whole, {path} is not ({error}); remove it, and it is built again."
        ) from error
    return ImageStore(path=path, side=side, class_names=class_names, splits=splits)


def verify_store(path: Path) -> None:
    """Compare every array with the digest that was taken when the store was built. Reads everything. Raises StoreError where one differs."""
    open_store(path)
    meta = _read_meta(path)
    for name, written in {
        **meta["splits"],
        **({_FINE: meta[_FINE]} if meta.get(_FINE) else {}),
    }.items():
        if _sha256(path / f"{name}.npy") != written["sha256"]:
            raise StoreError(
                f"an image store must hold what was written, {name}.npy of {path} does not; remove the folder, and it is built again."
            )


def _read_meta(path: Path) -> dict[str, Any]:
    return unsealed_json((path / "meta.json").read_bytes(), fields=_META_FIELDS)


def _open_split(path: Path, meta: Mapping[str, Any], *, side: int) -> StoredSplit:
    labels = np.array(meta["labels"], dtype=np.int64)
    if path.stat().st_size != meta["n_bytes"]:
        raise ValueError(
            f"{path.name} has {path.stat().st_size} bytes instead of {meta['n_bytes']}"
        )
    images = np.load(path, mmap_mode="r", allow_pickle=False)
    if (
        images.shape != (len(labels), side, side, 3)
        or images.dtype != np.uint8
        or len(meta["image_ids"]) != len(labels)
    ):
        raise ValueError(f"{path.name} holds {images.dtype} of shape {images.shape}")
    return StoredSplit(images=images, labels=labels, image_ids=tuple(map(str, meta["image_ids"])))


def files_of(meta: bytes) -> tuple[str, ...]:
    """Return the names of the arrays that belong to a meta.json. Raises StoreError where it is none."""
    try:
        written = unsealed_json(meta, fields=_META_FIELDS)
        return (
            *(f"{name}.npy" for name in SPLITS),
            *([f"{_FINE}.npy"] if written.get(_FINE) else []),
        )
    except ValueError as error:
        raise StoreError(
            f"an image store must have a sound meta.json, got a damaged one ({error}); remove the store, and it is built again."
        ) from error


def _build(
    data_set: DataSet,
    final: Path,
    *,
    side: int,
    fine: int | None,
    interpolation: str,
    on_progress: Progress,
) -> None:
    """Decode into a folder beside the final one, then rename. Under the lock, whatever stands there is a dead builder's, and is taken up.

    An interrupt and a full disk leave the folder for the next builder; images that cannot be read do not: mended ones have another key.
    """
    partial = final.with_suffix(PARTIAL)
    if final.exists():
        shutil.rmtree(final)
    if not partial.is_dir():
        _check_room(data_set, final.parent, side=side, fine=fine)
        partial.mkdir()
    try:
        _fill(
            data_set,
            partial,
            side=side,
            fine=fine,
            resample=INTERPOLATIONS[interpolation],
            on_progress=on_progress,
        )
    except DataError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    meta = {
        "version": VERSION,
        "fingerprint": data_set.facts.fingerprint,
        "side": side,
        "interpolation": interpolation,
        "class_names": data_set.facts.class_names,
        "splits": {
            name: _describe(partial / f"{name}.npy", split)
            for name, split in data_set.splits.items()
        },
        **(
            {}
            if fine is None
            else {_FINE: {"side": fine, **_size_and_digest(partial / f"{_FINE}.npy")}}
        ),
    }
    _write_durably(partial / "meta.json", sealed_json(meta))
    (partial / _DONE).unlink()
    partial.rename(final)


def _fill(
    data_set: DataSet,
    partial: Path,
    *,
    side: int,
    fine: int | None,
    resample: Image.Resampling,
    on_progress: Progress,
) -> None:
    """Decode whatever is missing of the arrays. Raises DataError for all images that cannot be read, OSError where the disk is full."""
    with ExitStack() as files:
        arrays: dict[str, tuple[ArrayFile, ...]] = {}
        for name, split in data_set.splits.items():
            arrays[name] = (
                files.enter_context(
                    closing(ArrayFile(partial / f"{name}.npy", n=len(split.labels), side=side))
                ),
            )
        if fine is not None:
            n_train = len(data_set.splits["train"].labels)
            arrays["train"] += (
                files.enter_context(
                    closing(ArrayFile(partial / f"{_FINE}.npy", n=n_train, side=fine))
                ),
            )
        _decode(data_set, arrays, partial / _DONE, resample=resample, on_progress=on_progress)
        for array in itertools.chain.from_iterable(arrays.values()):
            array.finish()


def _decode(
    data_set: DataSet,
    arrays: Mapping[str, Sequence[ArrayFile]],
    done: Path,
    *,
    resample: Image.Resampling,
    on_progress: Progress,
) -> None:
    """Fill what is missing of the arrays with a few threads. Raises one DataError for all images that cannot be read."""
    places = [
        (name, i) for name, split in data_set.splits.items() for i in range(len(split.labels))
    ]
    there = sound_places(done, arrays)
    missing = [place for place in places if place not in there]

    def fill(place: Place) -> str:
        name, i = place
        image = data_set.splits[name].read(i)
        squares = [square(image, side=array.side, resample=resample) for array in arrays[name]]
        for array, pixels in zip(arrays[name], squares, strict=True):
            array.put(i, pixels)
        return f"{name} {i} {checksum(squares)}\n"

    damaged: list[tuple[Place, str]] = []
    with done.open("a") as log, image_threads() as pool:
        futures = {pool.submit(fill, place): place for place in missing}
        try:
            for n_done, future in enumerate(as_completed(futures), start=len(there) + 1):
                error = future.exception()
                if isinstance(error, DataError):
                    damaged.append((futures[future], str(error)))
                elif error is not None:
                    raise error
                else:
                    log.write(future.result())
                    log.flush()
                on_progress(n_done, len(places))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    refuse([message for _, message in sorted(damaged)])


def square(image: Image.Image, *, side: int, resample: Image.Resampling) -> NDArray[np.uint8]:
    """Resize the shorter side of an RGB image to `side` and cut the middle square: (side, side, 3) uint8."""
    width, height = image.size
    short = min(width, height)
    if max(width, height) > MAX_ASPECT * short:
        image = _cut_middle(image, min(width, MAX_ASPECT * short), min(height, MAX_ASPECT * short))
        width, height = image.size
    size = (
        (side, int(side * height / width))
        if width <= height
        else (int(side * width / height), side)
    )
    resized = image if image.size == size else image.resize(size, resample)
    return np.asarray(_cut_middle(resized, side, side), dtype=np.uint8)


def _cut_middle(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _describe(path: Path, split: Split) -> dict[str, Any]:
    return {"labels": split.labels.tolist(), "image_ids": split.image_ids, **_size_and_digest(path)}


def _size_and_digest(path: Path) -> dict[str, Any]:
    return {"n_bytes": path.stat().st_size, "sha256": _sha256(path)}


def _check_room(data_set: DataSet, folder: Path, *, side: int, fine: int | None) -> None:
    needed = sum(len(split.labels) for split in data_set.splits.values()) * side * side * 3
    needed += len(data_set.splits["train"].labels) * (fine or 0) ** 2 * 3
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(
            f"the image store needs {needed / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are free; make room, or ask for fewer images."
        )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes respect and that ends with this process, however it ends."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _silent(n_done: int, n_all: int) -> None:
    """Report nothing."""
