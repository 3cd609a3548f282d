"""Images that are there more than once, byte for byte: reported before training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.data.sources._base import Item
from ablate.errors import escaped


@dataclass(frozen=True, slots=True)
class HashedItem:
    """An image whose content has been hashed."""

    split: str
    item: Item
    digest: str


Pair = tuple[HashedItem, HashedItem]
"""An image and a later one with the same bytes."""


def copies(images: Sequence[HashedItem]) -> list[str]:
    """Return lines on how many images are copies of an earlier one, the worst kind first."""
    # The worst: one image taught as two classes, then one that is trained on and scored.
    pairs = _pairs(images)
    contrary = list(filter(_has_other_label, pairs))
    leaked = list(filter(_is_in_other_split, pairs))
    lines = []
    if contrary:
        lines.append(_line("warning", contrary, "with different labels"))
    if leaked:
        lines.append(_line("warning", leaked, "in another split"))
    # Harmless beside the other two, and not worth a line of its own then.
    if pairs and not contrary and not leaked:
        lines.append(_line("note", pairs, "with the same label in the same split"))
    return lines


def _has_other_label(pair: Pair) -> bool:
    return pair[0].item.label != pair[1].item.label


def _is_in_other_split(pair: Pair) -> bool:
    return pair[0].split != pair[1].split


def _pairs(images: Sequence[HashedItem]) -> list[Pair]:
    by_digest: defaultdict[str, list[HashedItem]] = defaultdict(list)
    for image in images:
        by_digest[image.digest].append(image)
    pairs: list[Pair] = []
    for first, *others in by_digest.values():
        # Each with the first one, not with one another: three copies are two too many.
        for other in others:
            pairs.append((first, other))
    return pairs


def _line(word: str, pairs: Sequence[Pair], how: str) -> str:
    first, other = pairs[0]
    example = f"{_name(first)} = {_name(other)}"
    n_images = f"{len(pairs)} images are exact copies"
    if len(pairs) == 1:
        n_images = "1 image is an exact copy"
    return f"{word}: {n_images} of another one {how}, for example {example}"


def _name(image: HashedItem) -> str:
    return f"{escaped(image.item.image_id)} ({image.split})"
