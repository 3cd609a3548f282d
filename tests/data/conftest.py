"""Real image files in real folders, small and made on the spot."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def make_image() -> Callable[..., Path]:
    """Write an image of noise that follows from its `seed`; return its path."""

    def make(path: Path, *, seed: int = 0, size: tuple[int, int] = (24, 18)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return make


@pytest.fixture
def plants(tmp_path: Path, make_image: Callable[..., Path]) -> Path:
    """A data folder with `plants/<split>/<class>/<n>.png`.

    3 classes; 4 train, 2 val and 2 test images of each.
    """
    for split, n in (("train", 4), ("val", 2), ("test", 2)):
        for label, name in enumerate(("fern", "moss", "rose")):
            for i in range(n):
                make_image(
                    tmp_path / "plants" / split / name / f"{i}.png",
                    seed=100 * len(split) + 10 * label + i,
                )
    return tmp_path


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., None]:
    """Write an image of its own pixels to each path below `data`; six in a folder.

    `draw("pets/cat", "pets/dog/1.png")`. The bytes are written by hand: no library decides them.
    """
    count = itertools.count()

    def one(path: Path) -> None:
        number = next(count)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"P6 2 2 255\n" + bytes([number % 256, number // 256, 7]) * 4)

    def write(*names: str) -> None:
        for name in names:
            path = tmp_path / "data" / name
            for image in [path] if path.suffix else [path / f"{i}.ppm" for i in range(6)]:
                one(image)

    return write
