"""One pass over the images of a data set, for every store that lacks them.

An image is decoded once and resized for each store from its own pixels: a store made from another
one would hold pixels that were resized twice, other than those of a store that is built alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ablate.data.dataset import DataSet, cropped_split
from ablate.data.each_image import image_threads, refuse
from ablate.data.filling import ArrayFile, Place, checksum, sound_places
from ablate.data.square import INTERPOLATIONS, square
from ablate.data.store import FINE
from ablate.errors import DataError
from ablate.recipe.shown_part import View

DONE = "done.txt"
ImageProgress = Callable[[int, int], None]
"""Called with the number of images done and of all images."""


@dataclass(frozen=True)
class StoreOrder:
    """A store that is to be filled."""

    side: int
    """Pixels of every image."""
    fine: int | None
    """Pixels of the finer train images, or None."""
    interpolation: str
    view: View
    partial: Path
    """The folder in which it is built."""


@dataclass(frozen=True)
class _Filling:
    """A store at work."""

    order: StoreOrder
    arrays: Mapping[str, Sequence[ArrayFile]]
    """Split -> the arrays that its images are written to."""
    log: TextIO
    there: set[Place]
    """What an earlier build left."""


_Lines = list[tuple[_Filling, str]]
"""What one image adds to the `done.txt` of each store that lacked it."""


def fill_stores(
    data_set: DataSet, orders: Sequence[StoreOrder], *, on_progress: ImageProgress
) -> None:
    """Decode whatever is missing of the stores, each image once.

    Raises DataError for all images that cannot be read, OSError where the disk is full.
    """
    # However the build ends, every file is closed.
    with ExitStack() as files:
        fillings = []
        for order in orders:
            fillings.append(_open_filling(data_set, order, files))
        _decode(data_set, fillings, on_progress)
        # Before meta.json is written: it must never be on the disk ahead of the pixels.
        for filling in fillings:
            for of_split in filling.arrays.values():
                for array in of_split:
                    array.finish()


def all_places(data_set: DataSet) -> list[Place]:
    """Every image of every split."""
    places: list[Place] = []
    for name, split in data_set.splits.items():
        for i in range(len(split.labels)):
            places.append((name, i))
    return places


def _open_filling(data_set: DataSet, order: StoreOrder, files: ExitStack) -> _Filling:
    def open_array(name: str, n: int, side: int) -> ArrayFile:
        array = ArrayFile(order.partial / f"{name}.npy", n=n, side=side)
        return files.enter_context(closing(array))

    arrays: dict[str, list[ArrayFile]] = {}
    for name, split in data_set.splits.items():
        arrays[name] = [open_array(name, len(split.labels), order.side)]
    if order.fine is not None:
        cropped = cropped_split(data_set)
        n_images = len(data_set.splits[cropped].labels)
        arrays[cropped].append(open_array(FINE, n_images, order.fine))
    done = order.partial / DONE
    there = sound_places(done, arrays)
    log = files.enter_context(done.open("a"))
    return _Filling(order, arrays, log, there)


def _decode(data_set: DataSet, fillings: Sequence[_Filling], on_progress: ImageProgress) -> None:
    """Fill what is missing of the arrays with a few threads.

    Raises one DataError for all images that cannot be read.
    """
    places = all_places(data_set)
    with image_threads() as pool:
        futures: dict[Future[_Lines], Place] = {}
        for place in places:
            lacking = [filling for filling in fillings if place not in filling.there]
            if lacking:
                futures[pool.submit(_fill_place, data_set, lacking, place)] = place
        # What an earlier build left counts as done, in the progress, too.
        n_there = len(places) - len(futures)
        try:
            damaged = _gather(futures, on_progress, n_there=n_there)
        except BaseException:
            # an interrupt, too: what has begun is finished, so that no image is half written
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    refuse(damaged)


def _gather(
    futures: Mapping[Future[_Lines], Place], on_progress: ImageProgress, *, n_there: int
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
            for filling, line in future.result():
                filling.log.write(line)
                filling.log.flush()
        on_progress(n_done, n_there + len(futures))
    # by split and position, not in the order in which threads came to them
    return [message for _, message in sorted(damaged)]


def _fill_place(data_set: DataSet, lacking: Sequence[_Filling], place: Place) -> _Lines:
    """Decode one image into the arrays of its split, of each store that lacks it."""
    name, i = place
    image = data_set.splits[name].read(i)
    lines: _Lines = []
    for filling in lacking:
        order = filling.order
        resample = INTERPOLATIONS[order.interpolation]
        # A train image may have two sizes in one store.
        squares = []
        for array in filling.arrays[name]:
            pixels = square(image, side=array.side, resample=resample, view=order.view)
            array.put(i, pixels)
            squares.append(pixels)
        lines.append((filling, f"{name} {i} {checksum(squares)}\n"))
    return lines
