"""Real image files in real folders, small and made on the spot."""

from __future__ import annotations

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
    """A data folder with `plants/<split>/<class>/<n>.png`: 3 classes; 4 train, 2 val and 2 test images of each."""
    for split, n in (("train", 4), ("val", 2), ("test", 2)):
        for label, name in enumerate(("fern", "moss", "rose")):
            for i in range(n):
                make_image(tmp_path / "plants" / split / name / f"{i}.png", seed=100 * len(split) + 10 * label + i)
    return tmp_path
