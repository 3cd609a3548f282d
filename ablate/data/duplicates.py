"""Near-duplicates across splits: images of val or test that a network has, all but, been trained on.

Found by correlation of small versions: a coarse grey one names candidates, a finer coloured one confirms them. A copy that was scaled, recompressed, mirrored
or made lighter is found; one that was cropped or turned is not.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.checksum import sealed_json, unsealed_json
from ablate.data.store import ImageStore, StoredSplit
from ablate.files import write_text
from ablate.study.record import NearDuplicate, NearDuplicates
from ablate.study.trial import SPLITS

VERSION = 1
KEPT = f"near_duplicates_v{VERSION}.json"
"""The answer, beside the images."""
ALIKE = 0.985
"""Correlation from which two images count as one, at both sizes."""
_COARSE, _FINE = 16, 48
_ROWS = 2048
_MOST_PAIRS = 3_000_000_000
"""More comparisons than this take minutes: nothing is looked for then."""
_MOST_NAMED = 50


def near_duplicates(store: ImageStore) -> NearDuplicates | None:
    """Return the pairs of a store's images across splits, the most alike first; None where there are too many images to compare.

    Looked for once a store: the answer is kept beside its images.
    """
    kept = store.path / KEPT
    with suppress(OSError, ValueError):  # not there, or damaged: looked for again
        return read_near_duplicates(kept)
    sizes = [len(store.split(name).labels) for name in SPLITS]
    if sum(a * b for a, b in itertools.combinations(sizes, 2)) > _MOST_PAIRS:
        return None
    found = _search(store)
    with suppress(OSError):  # a full disk costs the next command a second, not this one its study
        write_text(kept, sealed_json(found.model_dump(mode="json")))
    return found


def read_near_duplicates(path: Path) -> NearDuplicates:
    """Read an answer that was kept. Raises ValueError where it is damaged, OSError where there is none."""
    return NearDuplicates.model_validate(
        unsealed_json(path.read_bytes(), fields=NearDuplicates.model_fields)
    )


def _search(store: ImageStore) -> NearDuplicates:
    coarse = {
        name: signatures(store.split(name).images, size=_COARSE, is_grey=True) for name in SPLITS
    }
    mirrored = {
        name: signatures(store.split(name).images[:, :, ::-1], size=_COARSE, is_grey=True)
        for name in SPLITS[1:]
    }
    pairs = []
    for first, second in itertools.combinations(SPLITS, 2):
        a, b = store.split(first), store.split(second)
        for other, is_mirrored in ((coarse[second], False), (mirrored[second], True)):
            for i, j in _alike(coarse[first], other):
                likeness = _likeness(a, b, i=i, j=j, is_mirrored=is_mirrored)
                if likeness >= ALIKE:
                    pairs.append(
                        _pair(
                            store,
                            first,
                            second,
                            i=i,
                            j=j,
                            likeness=likeness,
                            is_mirrored=is_mirrored,
                        )
                    )
    pairs.sort(key=lambda pair: (-pair.likeness, pair.first_id, pair.second_id))
    best = {
        (pair.first_id, pair.second_id): pair for pair in reversed(pairs)
    }  # a symmetric image is alike both ways: once is enough
    named = sorted(best.values(), key=lambda pair: (-pair.likeness, pair.first_id, pair.second_id))
    return NearDuplicates(n_pairs=len(named), pairs=tuple(named[:_MOST_NAMED]))


def signatures(images: NDArray[np.uint8], *, size: int, is_grey: bool) -> NDArray[np.float32]:
    """(N, side, side, 3) -> (N, size * size * channels): block means less their mean, of length 1. A flat image, which is like any other, becomes 0."""
    out = np.zeros(
        (len(images), size * size * (1 if is_grey else 3)), dtype=np.float32
    )  # images smaller than `size` fill a part
    edges = np.linspace(0, images.shape[1], min(size, images.shape[1]) + 1).astype(int)[:-1]
    for start in range(0, len(images), 256):
        block = images[start : start + 256].astype(np.float32)
        block = block.mean(axis=3, keepdims=True) if is_grey else block
        small = np.add.reduceat(np.add.reduceat(block, edges, axis=1), edges, axis=2)
        widths = np.diff([*edges, images.shape[1]])
        flat = (small / (widths[:, None] * widths)[None, :, :, None]).reshape(len(block), -1)
        flat -= flat.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(flat, axis=1, keepdims=True)
        is_flat = norm < np.sqrt(flat.shape[1])  # contrast below one grey level
        out[start : start + 256, : flat.shape[1]] = np.where(
            is_flat, 0, flat / np.maximum(norm, 1e-9)
        )
    return out


def _alike(first: NDArray[np.float32], second: NDArray[np.float32]) -> list[tuple[int, int]]:
    found = []
    for start in range(0, len(first), _ROWS):
        rows, columns = np.nonzero(first[start : start + _ROWS] @ second.T >= ALIKE)
        found += [(start + int(i), int(j)) for i, j in zip(rows, columns, strict=True)]
    return found


def _likeness(a: StoredSplit, b: StoredSplit, *, i: int, j: int, is_mirrored: bool) -> float:
    other = b.images[j : j + 1]
    both = np.concatenate([a.images[i : i + 1], other[:, :, ::-1] if is_mirrored else other])
    one, two = signatures(both, size=_FINE, is_grey=False)
    return float(one @ two)


def _pair(
    store: ImageStore,
    first: str,
    second: str,
    *,
    i: int,
    j: int,
    likeness: float,
    is_mirrored: bool,
) -> NearDuplicate:
    a, b = store.split(first), store.split(second)
    return NearDuplicate(
        first_split=first,
        first_id=a.image_ids[i],
        first_label=store.targets(first).label(i),
        second_split=second,
        second_id=b.image_ids[j],
        second_label=store.targets(second).label(j),
        likeness=round(min(likeness, 1.0), 4),
        is_mirrored=is_mirrored,
    )
