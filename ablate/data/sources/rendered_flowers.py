"""rendered_flowers: 14 species of flowers drawn from parameters, so that nothing is downloaded.

Hard enough that the arms of a grid differ: a linear probe (EfficientNet-Lite0, ImageNet weights,
128 px, logistic regression) reaches a macro F1 of about 0.79 on val and test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ablate.data.rendering.scene import SIDE, render
from ablate.data.rendering.species import SPECIES
from ablate.data.sources._base import Collection, Item
from ablate.streams import stream
from ablate.study.trial import DataSpec

VERSION = "1"
"""Must grow with any change of the pixels.

A test compares small versions of some images with stored ones.
"""
# Never that of a grid file: the data set is the same in every study.
SEED = 102
IMAGES_PER_SPECIES = {"train": 30, "val": 20, "test": 30}


def collect(spec: DataSpec, *, data_dir: Path) -> Collection:
    """Return all images as recipes; nothing is drawn before it is read."""
    del spec, data_dir
    return Collection(
        title=f"rendered flowers ({len(SPECIES)} species)",
        version=VERSION,
        licence="Apache-2.0",
        origin=f"drawn by ablate from parameters, seed {SEED}, {SIDE} x {SIDE} pixels",
        is_synthetic=True,
        class_names=tuple(species.name for species in SPECIES),
        items=tuple(_items()),
    )


def _items() -> Iterator[Item]:
    for split, n in IMAGES_PER_SPECIES.items():
        for species_index in range(len(SPECIES)):
            for i in range(n):
                yield _item(species_index, split, i)


def _item(species_index: int, split: str, i: int) -> Item:
    name = SPECIES[species_index].name
    # By name and number: another species, or more images, change none that are there.
    key = stream(SEED, "render", name, split, i)
    # Nothing is rendered for the digest: version and key determine the pixels.
    digest = hashlib.sha256(f"rendered_flowers {VERSION} {name} {key}".encode()).hexdigest()
    return Item(
        f"{split}/{name}/{i:03d}",
        species_index,
        split,
        read=partial(render, species_index, key=key),
        digest=partial(str, digest),
    )
