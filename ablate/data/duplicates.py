"""Near-duplicates across splits: images of val or test that a network was all but trained on.

Correlation of small versions finds them: a coarse grey one names candidates, a finer coloured one
confirms them. A copy that was scaled, recompressed, mirrored or made lighter is found; one that
was cropped or turned is not.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.checksum import sealed_json, unsealed_json
from ablate.data.image_rows import ImageRows
from ablate.data.store import ImageStore
from ablate.files import write_text
from ablate.study.record import NearDuplicate, NearDuplicates
from ablate.study.trial import WHOLE

# Part of the file's name: an answer of an older search is left alone, and not read.
VERSION = 1
KEPT = f"near_duplicates_v{VERSION}.json"
"""The answer, beside the images."""
ALIKE = 0.985
"""Correlation from which two images count as one, at both sizes."""
# Sides in pixels: 256 grey numbers an image name candidates, 6,912 coloured ones confirm them.
_COARSE, _FINE = 16, 48
# Rows of a product at a time: 2,048 x 100,000 correlations are 0.8 GB.
_ROWS = 2048
_MOST_PAIRS = 3_000_000_000
"""More comparisons than this take minutes: nothing is looked for then."""
# More are counted, not named: where splits overlap as a whole, pairs come by the thousand.
_MOST_NAMED = 50


def near_duplicates(store: ImageStore) -> NearDuplicates | None:
    """Return the pairs of a store's images across splits, the most alike first.

    Where each seed has a split of its own any two images may stand on two sides, but for those of
    one group. None where there are too many images to compare. Looked for once per store: the
    answer is kept beside its images.
    """
    if store.whole is not None:
        store = replace(store, splits={WHOLE: store.whole}, whole=None, sides="")
    kept = store.path / KEPT
    with suppress(OSError, ValueError):  # not there, or damaged: looked for again
        return read_near_duplicates(kept)
    n_pairs = 0
    for first, second in _compared(store):
        n_pairs += len(store.split(first).labels) * len(store.split(second).labels)
    if n_pairs > _MOST_PAIRS:
        return None
    found = _search(store)
    with suppress(OSError):  # a full disk costs the next command a second, not this one its study
        write_text(kept, sealed_json(found.model_dump(mode="json")))
    return found


def read_near_duplicates(path: Path) -> NearDuplicates:
    """Read an answer that was kept.

    Raises ValueError where it is damaged, OSError where there is none.
    """
    return NearDuplicates.model_validate(
        unsealed_json(path.read_bytes(), fields=NearDuplicates.model_fields)
    )


def _compared(store: ImageStore) -> list[tuple[str, str]]:
    """The splits that are compared, two by two; all images with themselves where there is one."""
    names = tuple(store.splits)
    if len(names) == 1:
        return [(names[0], names[0])]
    return list(itertools.combinations(names, 2))


def _search(store: ImageStore) -> NearDuplicates:
    most_alike_first = sorted(_pairs(store), key=_order)
    # A symmetric image is alike both ways: once, the better way, is enough.
    best: dict[tuple[str, str], NearDuplicate] = {}
    for pair in most_alike_first:
        best.setdefault((pair.first_id, pair.second_id), pair)
    named = sorted(best.values(), key=_order)
    return NearDuplicates(n_pairs=len(named), pairs=tuple(named[:_MOST_NAMED]))


def _pairs(store: ImageStore) -> list[NearDuplicate]:
    """Every pair that is alike at both sizes; a pair may be there as it is and mirrored."""
    coarse, mirrored = _coarse_signatures(store)
    # Coarse and grey first, all with all as one product of matrices; then the few that are left.
    pairs = []
    for first, second in _compared(store):
        for other, is_mirrored in ((coarse[second], False), (mirrored[second], True)):
            for i, j in _alike(coarse[first], other):
                candidate = _Candidate(first, i, second, j, is_mirrored)
                if not candidate.may_be_apart(store):
                    continue
                likeness = candidate.likeness(store)
                if likeness >= ALIKE:
                    pairs.append(candidate.pair(store, likeness))
    return pairs


def _coarse_signatures(
    store: ImageStore,
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Split -> signatures of its images as they are, and mirrored."""
    coarse = {}
    mirrored = {}
    # train is only ever the first of two
    second_of_two = {second for _, second in _compared(store)}
    for name, split in store.splits.items():
        images = split.images
        coarse[name] = signatures(images, size=_COARSE, is_grey=True)
        if name in second_of_two:
            mirrored[name] = signatures(images[:, :, ::-1], size=_COARSE, is_grey=True)
    return coarse, mirrored


def _order(pair: NearDuplicate) -> tuple[float, str, str]:
    """The most alike first; by name where they are equally alike, so that the order is settled."""
    return -pair.likeness, pair.first_id, pair.second_id


def signatures(images: ImageRows, *, size: int, is_grey: bool) -> NDArray[np.float32]:
    """(N, side, side, 3) -> (N, size * size * channels): block means less their mean, of length 1.

    A flat image, which is like any other, becomes 0.
    """
    side = images.shape[1]
    n_channels = 3
    if is_grey:
        n_channels = 1
    # Images smaller than `size` fill a part, and the rest stays 0.
    out = np.zeros((len(images), size * size * n_channels), dtype=np.float32)
    # Blocks need not be equal: 224 pixels in 48 blocks are 4 or 5 each.
    edges = np.linspace(0, side, min(size, side) + 1).astype(int)[:-1]
    widths = np.diff([*edges, side])
    # Some at a time: floats take four times the room of a split that is mapped from disk.
    for start in range(0, len(images), 256):
        block = images[start : start + 256].astype(np.float32)
        if is_grey:
            block = block.mean(axis=3, keepdims=True)
        # Sums over rows, then over columns; divided by the blocks' areas they are means.
        small = np.add.reduceat(np.add.reduceat(block, edges, axis=1), edges, axis=2)
        flat = (small / (widths[:, None] * widths)[None, :, :, None]).reshape(len(block), -1)
        out[start : start + 256, : flat.shape[1]] = _centred(flat)
    return out


def _centred(flat: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (N, D) less their mean and of length 1; those without contrast become 0."""
    # So brightness and contrast drop out of the correlation.
    flat -= flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    is_flat = norm < np.sqrt(flat.shape[1])  # contrast below one grey level
    return np.where(is_flat, 0, flat / np.maximum(norm, 1e-9))


def _alike(first: NDArray[np.float32], second: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Rows of images, one of each split, whose signatures correlate."""
    found = []
    for start in range(0, len(first), _ROWS):
        # Signatures have length 1: their product is the correlation of two images.
        rows, columns = np.nonzero(first[start : start + _ROWS] @ second.T >= ALIKE)
        for i, j in zip(rows, columns, strict=True):
            found.append((start + int(i), int(j)))
    return found


@dataclass(frozen=True)
class _Candidate:
    """Two images of different splits that may be one."""

    first: str
    """Split of the one."""
    i: int
    """Its row."""
    second: str
    j: int
    is_mirrored: bool

    def may_be_apart(self, store: ImageStore) -> bool:
        """Whether the two are images of different splits, or may be with another seed."""
        if self.first != self.second:
            return True
        groups = store.split(self.first).groups
        # one pair once; and a group is never on two sides
        return self.i < self.j and (groups is None or groups[self.i] != groups[self.j])

    def likeness(self, store: ImageStore) -> float:
        """Correlation of the finer, coloured versions."""
        one = store.split(self.first).images[self.i : self.i + 1]
        other = store.split(self.second).images[self.j : self.j + 1]
        if self.is_mirrored:
            other = other[:, :, ::-1]
        a, b = signatures(np.concatenate([one, other]), size=_FINE, is_grey=False)
        return float(a @ b)

    def pair(self, store: ImageStore, likeness: float) -> NearDuplicate:
        """For the record, with the images' labels."""
        return NearDuplicate(
            first_split=self.first,
            first_id=store.split(self.first).image_ids[self.i],
            first_label=store.targets(self.first).label(self.i),
            second_split=self.second,
            second_id=store.split(self.second).image_ids[self.j],
            second_label=store.targets(self.second).label(self.j),
            # rounding may take a correlation of equal images above 1
            likeness=round(min(likeness, 1.0), 4),
            is_mirrored=self.is_mirrored,
        )
