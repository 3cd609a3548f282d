"""rendered_bouquets: pictures of none to three of 14 species of flowers, for task multilabel.

Drawn from parameters, so that nothing has to be downloaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ablate.data.rendering.scene import SIDE, render_together
from ablate.data.rendering.species import SPECIES
from ablate.data.sources._base import Collection, Item
from ablate.streams import stream
from ablate.study.trial import DataSpec

VERSION = "1"
"""Must grow with any change of the pixels.

A test compares small versions of some images with stored ones.
"""
# Another seed than that of rendered_flowers: the two share no picture.
SEED = 103
N_IMAGES = {"train": 500, "val": 250, "test": 400}
SHARE_BY_NUMBER = (0.06, 0.34, 0.4, 0.2)
"""How often a picture shows none, one, two, three species."""


def collect(spec: DataSpec, *, data_dir: Path) -> Collection:
    """Return all images as recipes; nothing is drawn before it is read."""
    del spec, data_dir
    return Collection(
        title=f"rendered bouquets ({len(SPECIES)} species)",
        version=VERSION,
        licence="Apache-2.0",
        origin=f"drawn by ablate from parameters, seed {SEED}, {SIDE} x {SIDE} pixels",
        is_synthetic=True,
        class_names=tuple(species.name for species in SPECIES),
        items=tuple(_items()),
    )


def _items() -> Iterator[Item]:
    # Splits of its own: they are official ones, and nothing is drawn from them.
    for split, n in N_IMAGES.items():
        for i in range(n):
            yield _item(split, i)


def _item(split: str, i: int) -> Item:
    key = stream(SEED, "render", split, i)
    # Which species an image shows has a stream of its own, apart from how they are drawn.
    rng = np.random.Generator(np.random.Philox(stream(SEED, "render", "species", split, i)))
    n_species = int(rng.choice(len(SHARE_BY_NUMBER), p=SHARE_BY_NUMBER))
    species = rng.choice(len(SPECIES), size=n_species, replace=False)
    chosen = tuple(sorted(species.tolist()))
    # Nothing is rendered for the digest: version and key determine the pixels.
    digest = hashlib.sha256(f"rendered_bouquets {VERSION} {chosen} {key}".encode()).hexdigest()
    return Item(
        f"{split}/{i:03d}",
        chosen,
        split,
        read=partial(render_together, chosen, key=key),
        digest=partial(str, digest),
    )
