"""Look at a folder: what lies in it, what labels it has, how large its images are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.data.layouts import Found, Listing, Sorted, Trap, recognise, sort_masks
from ablate.data.layouts._headers import Headers, read_headers
from ablate.data.layouts._listing import ODD, list_folder
from ablate.data.layouts.alike import Alike, compare_all
from ablate.data.layouts.counted import counted
from ablate.data.layouts.marked import MARKED
from ablate.data.layouts.mask_files import MaskFacts, mask_facts
from ablate.errors import DataError, escaped, some

_N_NAMED = 3
Tell = Callable[[str], None]
"""Takes a line for whoever waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """All that was seen of a folder."""

    listing: Listing
    sorted_images: Sorted
    found: Found
    """Without the images that cannot be read."""
    headers: Headers
    masks: MaskFacts | None
    alike: Alike | None
    """None where comparing all images would take too long."""
    traps: tuple[Trap, ...]
    """Of files and labels; those of splits and groups are seen later."""

    @property
    def root(self) -> Path:
        """The folder, without links."""
        return self.listing.root


def look_at_folder(folder: Path, tell: Tell) -> Looked:
    """Read names, tables and headers of a folder, and compare its images. Raises DataError."""
    listing = list_folder(folder)
    tell(f"{counted(listing.images, 'image')} and {counted(listing.others, 'other file')}")
    sorted_images = sort_masks(listing.root, listing.images)
    found = recognise(listing, sorted_images)
    tell(f"layout: {found.layout} ({found.evidence})")
    names = [image.path for image in found.images]
    headers = read_headers(listing.root, names)
    alike = compare_all(listing.root, headers.of)
    masks = None
    if sorted_images.masks:
        masks = mask_facts(listing.root, sorted_images.masks.values())
    damaged = dict(headers.damaged)
    if alike is not None:
        for name in alike.damaged:
            damaged[name] = f"it cannot be decoded: {escaped(name)}"
    looked = Looked(
        listing=listing,
        sorted_images=sorted_images,
        found=_without(found, damaged),
        headers=headers,
        masks=masks,
        alike=alike,
        traps=(),
    )
    return replace(looked, traps=tuple(_traps(looked, damaged)))


def _without(found: Found, damaged: dict[str, str]) -> Found:
    """The labels of the images that can be read. Raises DataError where too few are left."""
    kept = tuple(image for image in found.images if image.path not in damaged)
    rest = replace(found, images=kept)
    if len(rest.class_names) < 2:
        first = next(iter(damaged.values()), "")
        raise DataError(
            f"a study needs images of two classes at least, {len(damaged)} of "
            f"{len(found.images)} images cannot be read, and the others are of "
            f"{len(rest.class_names)}: {first}"
        )
    return rest


def _traps(looked: Looked, damaged: dict[str, str]) -> Iterator[Trap]:
    for kind, names in looked.listing.odd.items():
        shown = some(names, most=_N_NAMED)
        yield Trap("left out", f"{kind}: {len(names)} left out ({shown}); {ODD[kind]}")
    yield from _mask_traps(looked)
    if damaged:
        why = some(list(damaged.values()), most=_N_NAMED)
        yield Trap("damaged", f"{counted(damaged, 'image')} cannot be read, left out: {why}")
    yield from looked.found.traps
    copies = looked.sorted_images.copies
    if copies:
        photo, copy = next(iter(copies.items()))
        text = (
            f"{counted(copies, 'image')} stand here in two formats ({escaped(photo)} and "
            f"{escaped(copy)}): the second of each is left out"
        )
        yield Trap("copies", text)


def _mask_traps(looked: Looked) -> Iterator[Trap]:
    sorted_images = looked.sorted_images
    n_masks = len(sorted_images.masks) + len(sorted_images.unpaired)
    if not n_masks or looked.masks is None:
        return
    example = next(iter(sorted_images.masks.values()))
    # Where masks are the labels, they were read for that.
    use = "they are left out"
    if MARKED in looked.found.class_names:
        use = "they are no photographs, and give the labels"
    covered = ""
    if looked.masks.covered is not None:
        covered = f"; those that mark something cover {looked.masks.covered:.1%} of an image"
    text = (
        f"{n_masks} of {len(looked.listing.images)} images are masks of others, for example "
        f"{escaped(example)}: {use} ({looked.masks.n_empty} of {looked.masks.n_read} that were "
        f"read are empty{covered})"
    )
    yield Trap("masks", text)
