"""Images that are there more than once, byte for byte: said before training."""

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


def copies(images: Sequence[HashedItem]) -> list[str]:
    """Say how many images are copies of an earlier one, the worst kind first."""
    groups: defaultdict[str, list[HashedItem]] = defaultdict(list)
    for image in images:
        groups[image.digest].append(image)
    pairs = [(group[0], other) for group in groups.values() for other in group[1:]]
    contrary = [pair for pair in pairs if pair[0].item.label != pair[1].item.label]
    leaked = [pair for pair in pairs if pair[0].split != pair[1].split]
    lines = []
    if contrary:
        lines.append(_line("warning", contrary, "with other labels"))
    if leaked:
        lines.append(_line("warning", leaked, "in another split"))
    if pairs and not contrary and not leaked:
        lines.append(_line("note", pairs, "with the same label in the same split"))
    return lines


def _line(word: str, pairs: Sequence[tuple[HashedItem, HashedItem]], where: str) -> str:
    first, other = pairs[0]
    example = f"{_name(first)} = {_name(other)}"
    n_images = "1 image is" if len(pairs) == 1 else f"{len(pairs)} images are"
    return f"{word}: {n_images} there again {where}, byte for byte, for example {example}"


def _name(image: HashedItem) -> str:
    return f"{escaped(image.item.image_id)} ({image.split})"
