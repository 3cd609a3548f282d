"""Images that are masks of other images: told apart, paired, and asked whether they are empty."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ablate.data.each_image import image_threads
from ablate.data.images import FORMATS
from ablate.data.layouts._headers import evenly
from ablate.data.sources._roles import MASK_FOLDERS, image_of_mask

# Names of folders that may hold photographs of a class as well: only with an image for each mask.
_PERHAPS_MASKS = {"label", "labels"}
_MOST_PEEKED = 8
_MOST_VALUES = 20
"""Different values of a mask: classes of pixels, not shades."""
_MOST_MEASURED = 1000


@dataclass(frozen=True, slots=True)
class Sorted:
    """A folder's image files, the photographs apart from their masks."""

    photos: tuple[str, ...]
    masks: Mapping[str, str]
    """Photograph -> its mask."""
    unpaired: tuple[str, ...]
    """Masks without a photograph."""
    copies: Mapping[str, str]
    """Photograph -> the same name in another format that is no mask."""


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """What masks cover."""

    n_empty: int
    n_read: int
    covered: float | None
    """Median share of the pixels that a mask with any covers, in [0, 1]."""


def sort_masks(root: Path, images: Sequence[str]) -> Sorted:
    """Tell masks from photographs by folders, by words in names, and by their pixels.

    Pixels decide only where a `.png` has the name of a `.jpg`; a few are read.
    """
    masks, photos = _by_folder(images)
    beside = _by_word(photos)
    # A mask beside its photograph must not become the photograph of another mask.
    unmarked = [name for name in photos if name not in beside]
    twins = _by_twin(unmarked)
    pairs = _pairs(masks, unmarked)
    for mask, photo in beside.items():
        pairs[photo] = mask
    copies = twins
    if twins and _are_masks(root, list(twins.values())):
        pairs |= twins
        copies = {}
    left_out = {*beside, *twins.values(), *masks}
    kept = tuple(name for name in images if name not in left_out)
    unpaired = sorted(set(masks) - set(pairs.values()))
    return Sorted(kept, pairs, tuple(unpaired), copies)


def _by_folder(images: Sequence[str]) -> tuple[list[str], list[str]]:
    """Images in folders of masks, and the others; all are others where no other is there."""
    masks: list[str] = []
    perhaps: list[str] = []
    photos: list[str] = []
    for name in images:
        folders = set(map(str.lower, PurePosixPath(name).parts[:-1]))
        if folders & MASK_FOLDERS:
            masks.append(name)
        elif folders & _PERHAPS_MASKS:
            perhaps.append(name)
        else:
            photos.append(name)
    if perhaps and 2 * _n_paired(perhaps, photos) > len(perhaps):
        masks += perhaps
    else:
        photos += perhaps
    if not photos:
        return [], list(images)
    return sorted(masks), sorted(photos)


def _n_paired(masks: Sequence[str], photos: Sequence[str]) -> int:
    stems = set(map(_stem, photos))
    n_paired = 0
    for name in masks:
        n_paired += _photo_stem(name, stems) is not None
    return n_paired


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _photo_stem(mask: str, stems: set[str]) -> str | None:
    """The stem of the photograph of a mask in a folder of its own."""
    stem = _stem(mask)
    if stem in stems:
        return stem
    return image_of_mask(stem, stems)


def _by_word(photos: Sequence[str]) -> dict[str, str]:
    """Mask -> photograph, for `a_mask.png` beside `a.jpg`."""
    found = {}
    for names in _by_place(photos).values():
        of_stem = dict(zip(map(_stem, names), names, strict=True))
        for stem, name in of_stem.items():
            photo = image_of_mask(stem, of_stem)
            if photo is not None:
                found[name] = of_stem[photo]
    return found


def _by_twin(photos: Sequence[str]) -> dict[str, str]:
    """Photograph -> the `.png` (or other file without loss) of its name beside it."""
    found = {}
    for names in _by_place(photos).values():
        photo_of_stem = {}
        for name in names:
            if PurePosixPath(name).suffix.lower() in (".jpg", ".jpeg"):
                photo_of_stem[_stem(name)] = name
        for name in names:
            photo = photo_of_stem.get(_stem(name))
            if photo is not None and photo != name:
                found[photo] = name
    return found


def _by_place(images: Iterable[str]) -> dict[str, list[str]]:
    """Folder -> its images."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for name in images:
        places[str(PurePosixPath(name).parent)].append(name)
    return places


def _pairs(masks: Sequence[str], photos: Sequence[str]) -> dict[str, str]:
    """Photograph -> its mask in a folder of masks: the same stem, and the nearest path."""
    of_stem: defaultdict[str, list[str]] = defaultdict(list)
    for name in photos:
        of_stem[_stem(name)].append(name)
    stems = set(of_stem)
    pairs = {}
    for mask in masks:
        stem = _photo_stem(mask, stems)
        if stem is not None:
            # Numbers start again in each class, as in MVTec AD: then the path decides.
            nearest = max(of_stem[stem], key=partial(_n_shared, mask))
            pairs[nearest] = mask
    return pairs


def _n_shared(mask: str, photo: str) -> int:
    """How many folders two paths have in common: `crack/masks/1.png` and `crack/images/1.png`."""
    return len(set(PurePosixPath(mask).parts[:-1]) & set(PurePosixPath(photo).parts[:-1]))


def _are_masks(root: Path, names: Sequence[str]) -> bool:
    """Whether most of a few images have as few values as masks."""
    peeked = evenly(names, _MOST_PEEKED)
    n_masks = 0
    for name in peeked:
        pixels = _pixels(root / name)
        if pixels is not None and len(np.unique(pixels)) <= _MOST_VALUES:
            n_masks += 1
    return 2 * n_masks > len(peeked)


def _pixels(path: Path) -> np.ndarray | None:
    """The values of a mask as they are stored; indices of a palette stay indices."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            is_lossy = image.format == "JPEG"
            pixels = np.asarray(image)
    except Exception:
        return None
    # JPEG blurs a mask: what is darker than half is background.
    if is_lossy:
        pixels = np.where(pixels > 127, 255, 0)
    return pixels


def covered_shares(root: Path, masks: Sequence[str]) -> list[float | None]:
    """The share of each mask's pixels that is marked; None for one that cannot be read."""
    with image_threads() as pool:
        return list(pool.map(partial(_covered_share, root), masks))


def _covered_share(root: Path, name: str) -> float | None:
    pixels = _pixels(root / name)
    if pixels is None or pixels.size == 0:
        return None
    # Colours: marked where any channel is, and transparency is no mark.
    if pixels.ndim == 3:
        pixels = pixels[..., :3].max(axis=2)
    return float(np.count_nonzero(pixels) / pixels.size)


def mask_facts(root: Path, masks: Iterable[str]) -> MaskFacts:
    """How many of some masks are empty, and what the others cover; of many a sample is read."""
    shares = covered_shares(root, evenly(sorted(masks), _MOST_MEASURED))
    n_empty = 0
    marked = []
    for share in shares:
        if share:
            marked.append(share)
        # None is a mask that cannot be read: neither empty nor not.
        elif share is not None:
            n_empty += 1
    covered = None
    if marked:
        covered = float(np.median(marked))
    return MaskFacts(n_empty, n_empty + len(marked), covered)
